"""Server optimisers beside Algorithm 2 of Reddi et al., written out number by number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from small_models import dense_engine, rows

from privaudit.engine.local_rule import LocalOptions
from privaudit.errors import UserError
from privaudit.federation.rounds import ClientWork, LocalTraining, run_rounds
from privaudit.federation.server import ServerOptions, server_step
from privaudit.options import parse_options
from privaudit.randomness import Seed

ETA, BETA1, BETA2, TAU = 0.3, 0.8, 0.95, 0.02
MEANS = np.random.default_rng(0).normal(size=(12, 3)) * [1, 0.1, 0.01]


def by_hand(way: str, means: list[float]) -> list[float]:
    """Steps of one coordinate."""
    m, v, steps = 0.0, TAU**2, []
    for delta in means:
        if way == "fedavg":
            steps.append(ETA * delta)
        elif way == "fedavgm":
            m = BETA1 * m + delta
            steps.append(ETA * m)
        else:
            m = BETA1 * m + (1 - BETA1) * delta
            if way == "fedadam":
                v = BETA2 * v + (1 - BETA2) * delta**2
            else:
                v = v - (1 - BETA2) * delta**2 * math.copysign(1.0, v - delta**2)
            steps.append(ETA * m / (math.sqrt(v) + TAU))
    return steps


def options(way: str, **others: Any) -> ServerOptions:
    given = {"lr": ETA, "beta1": BETA1, "beta2": BETA2, "tau": TAU} | others
    return ServerOptions(optimiser=way, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("way", ["fedavg", "fedavgm", "fedadam", "fedyogi"])
def test_a_step_is_that_of_the_paper(way: str) -> None:
    memory: dict[str, Any] = {}
    steps = [server_step(options(way), torch.tensor(mean), memory) for mean in MEANS]
    found = torch.stack([step for step in steps if step is not None]).numpy()
    expected = np.stack([by_hand(way, list(column)) for column in MEANS.T], axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_plain_averages_move_the_model_by_themselves() -> None:
    assert server_step(ServerOptions(), torch.ones(2), {}) is None


@pytest.mark.parametrize("way", ["fedavgm", "fedadam", "fedyogi"])
def test_rounds_move_by_the_steps_and_tell_the_average(way: str) -> None:
    engine, samples = dense_engine(), rows(60)
    training = LocalTraining(0.1, server=options(way), local=LocalOptions(proximal=0.1))
    work = [ClientWork(client, [np.arange(20 * client, 20 * client + 20)]) for client in range(3)]
    memory: dict[str, Any] = {}
    before, apart = engine.initial, 0.0
    for outcome in run_rounds(
        engine, samples, before, lambda _: work, training, rounds=4, seed=Seed(1)
    ):
        step = server_step(options(way), outcome.delta, memory)
        assert outcome.step is not None
        assert step is not None
        torch.testing.assert_close(outcome.step, step)
        torch.testing.assert_close(outcome.before, before)
        before, apart = before + step, max(apart, float((step - outcome.delta).abs().max()))
    assert apart > 1e-3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"optimiser": "fedsgd"}, "'fedavg', 'fedavgm', 'fedadam' or 'fedyogi'"),
        ({"beta1": 1.0}, "less than 1"),
        ({"tau": 0.0}, "greater than 0"),
        ({"lr": "high"}, "valid number"),
        ({"eta": 0.1}, "unknown option 'eta'"),
    ],
)
def test_options_that_cannot_be_are_named(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as found:
        parse_options(ServerOptions, given, where="server")
    assert said in str(found.value)
