"""Equations (1) and (2) of the seed paper, and what follows from them.

(1) f(w) = 1/n sum_i f_i(w): the federated objective is the mean loss over all examples, so a step
of FedSGD with all clients is a step of plain SGD on the union of their batches.
(2) w_{t+1} = sum_n c_n / c w_{t+1}^n: the new model is the mean of the clients' models, weighted by
their numbers of records.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import EPSILON, dense_engine, rows

from privaudit.engine.engine import LocalRule
from privaudit.federation.partition import Partition
from privaudit.federation.phases import TrainingPhase, train
from privaudit.federation.rounds import ClientWork, LocalTraining, run_round, run_rounds
from privaudit.randomness import Seed

SEED = Seed(11)
LR = 0.4
STEP = LocalTraining(LR)


@pytest.mark.parametrize("clients", [1, 2, 5])
def test_fedsgd_with_equal_clients_is_sgd_on_the_union(clients: int) -> None:
    engine, samples = dense_engine(), rows(60 * clients)
    rounds, size = 6, 10

    def plan(number: int) -> list[ClientWork]:
        start = number * size * clients
        return [
            ClientWork(c, [np.arange(start + c * size, start + (c + 1) * size)])
            for c in range(clients)
        ]

    *_, last = run_rounds(engine, samples, engine.initial, plan, STEP, rounds=rounds, seed=SEED)
    union = [np.arange(i * size * clients, (i + 1) * size * clients) for i in range(rounds)]
    central = engine.train(engine.initial, samples, union, rule=LocalRule(LR, 0.0), seed=SEED)
    # Each round re-associates a sum of `size * clients` terms; |w| < 4 is rounded twice a round.
    bound = rounds * (size * clients + 8) * EPSILON
    assert float(central.delta.abs().max()) > 100 * bound
    torch.testing.assert_close(last.after, engine.initial + central.delta, rtol=0, atol=bound)


@settings(max_examples=25)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=5))
def test_one_step_on_unequal_clients_is_a_step_on_the_mean_loss(sizes: list[int]) -> None:
    """Equation (1): weights c_n / c turn means per client into the mean over all examples."""
    engine, samples = dense_engine(), rows(sum(sizes))
    parts = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    work = [ClientWork(c, [part]) for c, part in enumerate(parts)]
    outcome = run_round(engine, samples, engine.initial, work, STEP, round_number=0, seed=SEED)
    gradient = engine.gradients(engine.initial, samples, [np.arange(sum(sizes))], SEED)[0]
    bound = (sum(sizes) + 8) * EPSILON * 4
    torch.testing.assert_close(outcome.delta, -LR * gradient, rtol=0, atol=bound)


def test_fedavg_is_the_weighted_mean_of_the_clients_models() -> None:
    """Equation (2), with clients that take different numbers of steps."""
    engine, samples = dense_engine(), rows(42)
    counts = [4, 8, 30]
    parts = np.split(np.arange(42), np.cumsum(counts)[:-1])
    work = [ClientWork(c, np.array_split(part, c + 1)) for c, part in enumerate(parts)]
    training = LocalTraining(LR, momentum=0.9)
    outcome = run_round(engine, samples, engine.initial, work, training, round_number=0, seed=SEED)
    models = [
        engine.initial
        + engine.train(
            engine.initial, samples, item.batches, rule=LocalRule(LR, 0.9), seed=SEED
        ).delta
        for item in work
    ]
    expected = sum(c / 42 * w for c, w in zip(counts, models, strict=True))
    torch.testing.assert_close(outcome.after, expected, rtol=0, atol=40 * EPSILON)
    assert outcome.weights == pytest.approx({0: 4 / 42, 1: 8 / 42, 2: 30 / 42})
    assert float((models[0] - models[2]).abs().max()) > 0.01, "equal models prove no weighting"


def test_local_epochs_and_records_weigh_the_training_phase() -> None:
    """c_n counts the records a client trained on, each epoch alike, so c_n / c is by records."""
    engine, samples = dense_engine(), rows(40)
    partition = Partition(np.arange(0), (np.arange(10), np.arange(10, 40)))
    phase = TrainingPhase("fedavg", 2, None, local_epochs=3, batch_size=4, training=STEP)
    for outcome in train(engine, samples, partition, phase, start=engine.initial, seed=SEED):
        assert outcome.weights == pytest.approx({0: 0.25, 1: 0.75})
        assert [v.samples for v in outcome.verdicts] == [30, 90]


def test_fedsgd_phase_takes_one_batch_of_each_client() -> None:
    engine, samples = dense_engine(), rows(40)
    partition = Partition(np.arange(0), (np.arange(10), np.arange(10, 40)))
    phase = TrainingPhase("fedsgd", 3, None, local_epochs=1, batch_size=16, training=STEP)
    for outcome in train(engine, samples, partition, phase, start=engine.initial, seed=SEED):
        # Client 0 holds fewer records than a batch: it uses each once.
        assert [v.samples for v in outcome.verdicts] == [10, 16]
