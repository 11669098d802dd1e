"""Dropout draws from the seed it is given and leaves torch's global generator alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from small_models import rows
from torch import Tensor, nn

from privaudit.engine.engine import Engine, LocalRule
from privaudit.randomness import Seed


class FunctionalDropout(nn.Module):
    """Dropout without a dropout layer, as in many models of users (and in nn.LSTM)."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 3)

    def forward(self, batch: Tensor) -> Tensor:
        return self.layer(nn.functional.dropout(batch, 0.5, self.training))


def layered() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 32), nn.Dropout(0.5), nn.Linear(32, 3))


@pytest.fixture(params=[layered, FunctionalDropout])
def engine(request: pytest.FixtureRequest) -> Engine:
    build: Callable[[], nn.Module] = request.param
    return Engine(build())


BATCHES = [np.arange(20)] * 2


def test_the_same_seed_drops_the_same_features(engine: Engine) -> None:
    samples = rows(20)
    first = engine.gradients(engine.initial, samples, BATCHES, Seed(1))
    torch.rand(5)  # somebody else draws from the global generator
    assert torch.equal(engine.gradients(engine.initial, samples, BATCHES, Seed(1)), first)
    assert not torch.equal(engine.gradients(engine.initial, samples, BATCHES, Seed(2)), first)
    assert not torch.equal(first[0], first[1]), "each batch must draw its own mask"


def test_training_is_reproducible(engine: Engine) -> None:
    samples = rows(20)

    def delta(seed: int) -> Tensor:
        return engine.train(
            engine.initial, samples, BATCHES, rule=LocalRule(0.1, 0.0), seed=Seed(seed)
        ).delta

    first = delta(1)
    torch.rand(5)
    assert torch.equal(delta(1), first)
    assert not torch.equal(delta(2), first)


def test_the_global_generator_is_untouched(engine: Engine) -> None:
    samples = rows(20)
    state = torch.random.get_rng_state()
    engine.gradients(engine.initial, samples, BATCHES, Seed(1))
    engine.train(engine.initial, samples, BATCHES, rule=LocalRule(0.1, 0.0), seed=Seed(1))
    engine.evaluate(engine.initial, samples)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_evaluation_drops_nothing(engine: Engine) -> None:
    samples = rows(20)
    assert engine.evaluate(engine.initial, samples) == engine.evaluate(engine.initial, samples)


def test_nobody_finds_an_opaque_root_by_trying_small_seeds() -> None:
    node = Seed(7).child("run", 0)
    hidden = node.opaque("the data's checksum")
    assert hidden == node.opaque("the data's checksum")
    assert hidden.path == ()
    assert hidden != node.opaque("another checksum")
    tried = {Seed(guess).child("run", 0).opaque("").root for guess in range(1000)}
    assert hidden.root not in tried
