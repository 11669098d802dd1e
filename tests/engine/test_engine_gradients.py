"""The engine against plain autograd and torch.optim.SGD."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from small_models import EPSILON, Dense, dense_engine, rounding, rows
from torch import Tensor, nn

from privaudit.engine.engine import Engine, LocalRule, Samples, prepare
from privaudit.errors import UserError
from privaudit.randomness import Seed

SEED = Seed(3)


def plain_gradient(model: nn.Module, samples: Samples, batch: Sequence[int]) -> Tensor:
    """[P] gradient by torch.autograd.grad, one record after the other: the naive reference."""
    parameters = list(model.parameters())
    total = [torch.zeros_like(p) for p in parameters]
    for record in batch:
        logits = model(prepare(samples.inputs[[record]]))
        loss = nn.functional.cross_entropy(logits, samples.labels[[record]])
        for sum_, part in zip(total, torch.autograd.grad(loss, parameters), strict=True):
            sum_.add_(part)
    return torch.cat([t.flatten() for t in total]) / len(batch)


def test_gradients_equal_autograd_record_by_record() -> None:
    engine, samples = dense_engine(), rows(40)
    reference = Dense()
    reference.load_state_dict(copy.deepcopy(engine.model.state_dict()))
    batches = [np.arange(8), np.array([3, 3, 39]), np.array([17])]
    found = engine.gradients(engine.initial, samples, batches, SEED)
    assert found.shape == (3, engine.layout.size)
    for row, batch in zip(found, batches, strict=True):
        expected = plain_gradient(reference, samples, batch)
        # Sums of at most max(batch, hidden, features) products, each below the largest |x| here.
        bound = rounding(4 * max(len(batch), 7), float(samples.inputs.abs().max()))
        torch.testing.assert_close(row, expected, rtol=0, atol=bound)


def test_gradients_do_not_depend_on_what_was_asked_before() -> None:
    engine, samples = dense_engine(), rows(20)
    batch = [np.arange(10)]
    first = engine.gradients(engine.initial, samples, batch, SEED)
    engine.gradients(engine.initial + 1.0, samples, [np.arange(5, 20)], SEED)
    engine.train(engine.initial, samples, batch, rule=LocalRule(0.5, 0.9), seed=SEED)
    engine.evaluate(engine.initial - 1.0, samples)
    assert torch.equal(engine.gradients(engine.initial, samples, batch, SEED), first)


def test_arguments_are_left_as_they_were() -> None:
    engine, samples = dense_engine(), rows(20)
    parameters = engine.initial.clone()
    inputs, labels = samples.inputs.clone(), samples.labels.clone()
    engine.gradients(parameters, samples, [np.arange(4)], SEED)
    engine.train(parameters, samples, [np.arange(4)] * 3, rule=LocalRule(0.1, 0.9), seed=SEED)
    engine.evaluate(parameters, samples)
    assert torch.equal(parameters, engine.initial)
    assert torch.equal(samples.inputs, inputs)
    assert torch.equal(samples.labels, labels)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_train_is_the_sgd_of_torch(momentum: float) -> None:
    engine, samples = dense_engine(), rows(60)
    batches = [np.arange(i, i + 12) for i in range(0, 60, 12)] * 2
    reference = Dense()
    reference.load_state_dict(copy.deepcopy(engine.model.state_dict()))
    optimiser = torch.optim.SGD(reference.parameters(), lr=0.3, momentum=momentum)
    losses, correct = [], 0
    for batch in batches:
        optimiser.zero_grad()
        logits = reference(samples.inputs[batch])
        loss = nn.functional.cross_entropy(logits, samples.labels[batch])
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
        correct += int((logits.argmax(1) == samples.labels[batch]).sum())
    update = engine.train(
        engine.initial, samples, batches, rule=LocalRule(0.3, momentum), seed=SEED
    )
    expected = nn.utils.parameters_to_vector(reference.parameters()).detach() - engine.initial
    # One rounding of each parameter (|w| < 4) per step and per momentum addition.
    bound = len(batches) * 10 * 4 * EPSILON
    assert float(expected.abs().max()) > 100 * bound, "a delta within the tolerance proves nothing"
    torch.testing.assert_close(update.delta, expected, rtol=0, atol=bound)
    assert update.samples == sum(len(b) for b in batches)
    assert update.loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert update.accuracy == pytest.approx(correct / update.samples)


def test_momentum_starts_at_zero_for_every_client() -> None:
    engine, samples = dense_engine(), rows(20)
    batches = [np.arange(10), np.arange(10, 20)]
    once = engine.train(engine.initial, samples, batches, rule=LocalRule(0.1, 0.9), seed=SEED)
    again = engine.train(engine.initial, samples, batches, rule=LocalRule(0.1, 0.9), seed=SEED)
    assert torch.equal(once.delta, again.delta)


def test_one_plain_step_is_minus_lr_times_the_gradient() -> None:
    engine, samples = dense_engine(), rows(20)
    batch = np.arange(16)
    delta = engine.train(engine.initial, samples, [batch], rule=LocalRule(0.25, 0), seed=SEED).delta
    gradient = engine.gradients(engine.initial, samples, [batch], SEED)[0]
    # w - lr g and the difference from w are rounded at the size of w.
    bound = 2 * EPSILON * float(engine.initial.abs().max() + gradient.abs().max())
    torch.testing.assert_close(delta, -0.25 * gradient, rtol=0, atol=bound)


def test_the_mean_loss_weighs_records_not_batches() -> None:
    engine, samples = dense_engine(), rows(11)
    tiny = {"rule": LocalRule(1e-12), "seed": SEED}
    update = engine.train(engine.initial, samples, [np.arange(10), np.array([10])], **tiny)
    loss, accuracy = engine.evaluate(engine.initial, samples)
    assert update.loss == pytest.approx(loss, rel=1e-5)
    assert update.accuracy == pytest.approx(accuracy)


def test_evaluate_is_the_mean_over_records_whatever_the_batch_size() -> None:
    engine, samples = dense_engine(), rows(23)
    with torch.no_grad():
        logits = engine.model(samples.inputs)
        loss = float(nn.functional.cross_entropy(logits, samples.labels))
        accuracy = float((logits.argmax(1) == samples.labels).float().mean())
    for size in (1, 7, 512):
        found = engine.evaluate(engine.initial, samples, batch_size=size)
        assert found == pytest.approx((loss, accuracy), rel=1e-5)


def test_frozen_and_unused_parameters() -> None:
    model = Dense()
    model.first.weight.requires_grad_(False)
    model.spare = nn.Parameter(torch.ones(4))
    engine, samples = Engine(model), rows(10)
    assert [s.name for s in engine.layout.slices] == [
        "spare",
        "first.bias",
        "second.weight",
        "second.bias",
    ]
    gradient = engine.gradients(engine.initial, samples, [np.arange(10)], SEED)[0]
    assert torch.equal(gradient[:4], torch.zeros(4))
    assert gradient[4:].abs().max() > 0


def test_a_model_without_parameters_is_refused() -> None:
    with pytest.raises(UserError, match="no trainable parameters"):
        Engine(nn.Flatten())


def test_a_parameter_without_a_shape_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"'1\.weight' has no shape.*lazy"):
        Engine(nn.Sequential(nn.Linear(5, 7), nn.LazyLinear(3)))


def test_group_norm_needs_no_remark() -> None:
    assert Engine(nn.Sequential(nn.Linear(5, 8), nn.GroupNorm(2, 8))).remarks == ()


class Recorder(nn.Module):
    """Keeps the batch it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(2))

    def forward(self, batch: Tensor) -> Tensor:
        self.batch = batch
        return self.bias.expand(len(batch), 2)


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (
            np.array([[[0, 255], [51, 102]]] * 2, np.uint8),
            torch.tensor([[[[0.0, 1.0], [0.2, 0.4]]]] * 2),
        ),
        (np.array([[1, 2, 70000]] * 2, np.int32), torch.tensor([[1, 2, 70000]] * 2)),
        (np.array([[0.5, -1.0]] * 2, np.float32), torch.tensor([[0.5, -1.0]] * 2)),
    ],
    ids=["uint8", "int32", "float32"],
)
def test_inputs_reach_the_model_as_it_takes_them(inputs: np.ndarray, expected: Tensor) -> None:
    engine = Engine(Recorder())
    samples = Samples.of(inputs, np.array([0, 1]))
    assert samples.inputs.dtype == torch.from_numpy(inputs).dtype, "records stay as small as stored"
    engine.gradients(engine.initial, samples, [np.array([0, 1])], SEED)
    torch.testing.assert_close(engine.model.batch, expected)
    engine.evaluate(engine.initial, samples)
    torch.testing.assert_close(engine.model.batch, expected)
