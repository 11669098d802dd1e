"""Models whose gradients depend on the batch, on the last call, or on chance."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from small_models import rows
from torch import Tensor, nn

from privaudit.engine.engine import Engine, LocalRule
from privaudit.errors import UserError
from privaudit.randomness import Seed

SEED = Seed(3)
BATCH = np.arange(10)


def normalising(layer: nn.Module | None = None) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Linear(5, 7), nn.Sequential(layer or nn.BatchNorm1d(7)), nn.ReLU(), nn.Linear(7, 3)
        )


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(7), nn.SyncBatchNorm(7)])
def test_batch_norm_is_remarked_on_by_name(layer: nn.Module) -> None:
    (remark,) = Engine(normalising(layer)).remarks
    assert "'1.0'" in remark
    assert type(layer).__name__ in remark
    assert "depend on which records share a batch" in remark


def test_gradients_with_batch_norm_are_those_of_the_whole_batch() -> None:
    reference = normalising()
    engine, samples = Engine(copy.deepcopy(reference)), rows(30)
    batches = [BATCH, np.arange(10, 30)]
    found = engine.gradients(engine.initial, samples, batches, SEED)
    for row, batch in zip(found, batches, strict=True):
        loss = nn.functional.cross_entropy(reference(samples.inputs[batch]), samples.labels[batch])
        parts = torch.autograd.grad(loss, list(reference.parameters()))
        expected = torch.cat([part.flatten() for part in parts])
        torch.testing.assert_close(row, expected, rtol=1e-4, atol=1e-6)


def test_running_statistics_do_not_travel_between_clients() -> None:
    engine, samples = Engine(normalising()), rows(30)
    buffers = [b.clone() for b in engine.model.buffers()]
    first = engine.train(engine.initial, samples, [BATCH], rule=LocalRule(0.1, 0), seed=SEED)
    tested = engine.evaluate(engine.initial, samples)
    engine.train(
        engine.initial, samples, [np.arange(20, 30)] * 5, rule=LocalRule(9.0, 0), seed=SEED
    )
    assert engine.evaluate(engine.initial, samples) == tested
    again = engine.train(engine.initial, samples, [BATCH], rule=LocalRule(0.1, 0), seed=SEED)
    assert torch.equal(first.delta, again.delta)
    assert any(not torch.equal(b, s) for b, s in zip(engine.model.buffers(), buffers, strict=True))
    engine.train(engine.initial, samples, [BATCH], rule=LocalRule(0.1, 0), seed=SEED)
    assert int(engine.model[1][0].num_batches_tracked) == 1


def test_batch_norm_is_evaluated_with_the_statistics_of_the_test_batches() -> None:
    model = normalising()
    samples = rows(30)
    with torch.no_grad():
        logits = copy.deepcopy(model).train()(samples.inputs)
        expected = float(nn.functional.cross_entropy(logits, samples.labels))
    engine = Engine(model)
    assert engine.evaluate(engine.initial, samples)[0] == pytest.approx(expected, rel=1e-5)


def test_no_test_batch_is_left_with_one_record() -> None:
    engine = Engine(normalising())
    engine.evaluate(engine.initial, rows(11), batch_size=10)


def test_batch_norm_on_one_record_is_a_users_error() -> None:
    engine = Engine(normalising())
    with pytest.raises(UserError, match=r"batch of one record.*batch size"):
        engine.gradients(engine.initial, rows(4), [np.array([1])], SEED)


class Remembers(nn.Module):
    """Scales by a number kept from call to call: as a buffer, or out of anybody's sight."""

    def __init__(self, seen: bool) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 3)
        if seen:
            self.register_buffer("calls", torch.ones(()))
        else:
            self.calls = torch.ones(())

    def forward(self, batch: Tensor) -> Tensor:
        self.calls = self.calls + 1  # another tensor, not the same one changed
        return self.layer(batch) * self.calls


def test_buffers_are_put_back_even_when_replaced() -> None:
    engine, samples = Engine(Remembers(seen=True)), rows(10)
    first = engine.gradients(engine.initial, samples, [BATCH], SEED)
    assert torch.equal(engine.gradients(engine.initial, samples, [BATCH], SEED), first)
    assert engine.remarks == ()


def test_a_model_that_does_not_repeat_itself_is_remarked_on() -> None:
    engine, samples = Engine(Remembers(seen=False)), rows(10)
    assert engine.remarks == ()
    engine.gradients(engine.initial, samples, [BATCH], SEED)
    (remark,) = engine.remarks
    assert "not deterministic" in remark
    engine.gradients(engine.initial, samples, [BATCH], SEED)
    assert len(engine.remarks) == 1


def test_dropout_is_deterministic() -> None:
    engine = Engine(nn.Sequential(nn.Linear(5, 32), nn.Dropout(0.5), nn.Linear(32, 3)))
    engine.gradients(engine.initial, rows(10), [BATCH], SEED)
    assert engine.remarks == ()
