"""Models with several inputs, and with answers other than a tensor: the same gradients."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from privaudit.engine.engine import Engine, LocalRule, Samples
from privaudit.engine.frozen import frozen_digest
from privaudit.engine.local_rule import LocalOptions
from privaudit.errors import UserError
from privaudit.randomness import Seed

RNG = np.random.default_rng(0)
LEFT, RIGHT = (RNG.normal(size=(20, 3)).astype(np.float32) for _ in range(2))
LABELS = RNG.integers(0, 2, 20)
BATCHES = [np.arange(8), np.arange(8, 16)]


class Two(nn.Module):
    """Two inputs; ``how`` it answers."""

    def __init__(self, how: str = "tensor") -> None:
        super().__init__()
        self.how, self.layer = how, nn.Linear(3, 2)

    def forward(self, left: Tensor, right: Tensor) -> Any:
        logits = self.layer(left) - self.layer(right * 0.5)
        ways = {"dict": {"logits": logits}, "object": SimpleNamespace(logits=logits)}
        return ways.get(self.how, [logits] if self.how == "list" else logits)


class One(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, both: Tensor) -> Tensor:
        return self.layer(both[:, :3]) - self.layer(both[:, 3:] * 0.5)


def engine(model: nn.Module, batched: bool) -> Engine:
    with torch.no_grad():
        model.layer.weight.copy_(torch.arange(6.0).view(2, 3) / 6)  # type: ignore[union-attr,operator]
        model.layer.bias.zero_()  # type: ignore[union-attr,operator]
    return Engine(model, batched=batched)


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("how", ["tensor", "dict", "object"])
@pytest.mark.parametrize("names", [True, False])
def test_several_inputs_and_other_answers(names: bool, how: str, batched: bool) -> None:
    inputs: Any = {"right": RIGHT, "left": LEFT} if names else (LEFT, RIGHT)
    samples = Samples.of(inputs, LABELS)
    several = engine(Two(how), batched)
    plain = Samples.of(np.concatenate([LEFT, RIGHT], axis=1), LABELS)
    one = engine(One(), batched)
    for rule in (LocalRule(0.1, 0.9), LocalRule(0.1, options=LocalOptions(optimiser="adam"))):
        found = several.train(several.initial, samples, BATCHES, rule=rule, seed=Seed(0))
        expected = one.train(one.initial, plain, BATCHES, rule=rule, seed=Seed(0))
        torch.testing.assert_close(found.delta, expected.delta, rtol=1e-4, atol=1e-6)
    found_gradients = several.gradients(several.initial, samples, BATCHES, Seed(0))
    expected_gradients = one.gradients(one.initial, plain, BATCHES, Seed(0))
    torch.testing.assert_close(found_gradients, expected_gradients, rtol=1e-4, atol=1e-6)
    assert several.evaluate(several.initial, samples) == pytest.approx(
        one.evaluate(one.initial, plain)
    )
    assert len(samples.chosen(np.arange(5))) == 5


def test_an_answer_without_logits_is_named() -> None:
    alone = engine(Two("list"), False)
    with pytest.raises(UserError, match="gives list, which is no tensor and has no logits"):
        alone.gradients(alone.initial, Samples.of((LEFT, RIGHT), LABELS), BATCHES, Seed(0))


def test_the_digest_is_of_what_is_frozen_and_of_nothing_else() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 2))
    assert frozen_digest(model) is None
    model[0].requires_grad_(False)
    first = frozen_digest(model)
    with torch.no_grad():
        model[2].weight.add_(1)
        model[1].running_mean.add_(1)  # type: ignore[union-attr]
    assert frozen_digest(model) == first
    with torch.no_grad():
        model[0].weight[0, 0] += 1e-6
    assert frozen_digest(model) != first
    assert len(Engine(model).layout.slices) == 4
