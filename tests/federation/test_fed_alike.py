"""Deltas that count alike, over a number of clients fixed beforehand; cohorts drawn by Poisson."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy.stats import binom
from small_models import dense_engine, rows

from privaudit.defences.central import CentralDP
from privaudit.defences.transforms import Transforms
from privaudit.federation.aggregation import Aggregator, Submission
from privaudit.federation.rounds import (
    ClientWork,
    LocalTraining,
    RoundOutcome,
    poisson_cohort,
    run_round,
)
from privaudit.randomness import Seed

ENGINE, SAMPLES = dense_engine(), rows(50)
SIZES = (3, 10, 20)
WORK = [ClientWork(c, [np.arange(size)]) for c, size in enumerate(SIZES)]


def one_round(work: Sequence[ClientWork], training: LocalTraining) -> RoundOutcome:
    return run_round(ENGINE, SAMPLES, ENGINE.initial, work, training, round_number=0, seed=Seed(1))


def private(multiplier: float, **settings: object) -> LocalTraining:
    step = CentralDP(bound=0.01, multiplier=multiplier)
    return LocalTraining(0.1, transforms=Transforms(defences=(step,)), **settings)


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_nobody_changes_what_another_counts(lost: int) -> None:
    aggregator = Aggregator(2, norm_bound=1.0, fixed=4)
    for client, size in enumerate(SIZES):
        delta = torch.tensor([0.5, float(client)]) if client != lost else torch.tensor([9.0, 9.0])
        aggregator.add(Submission(client, 0.4 * delta, size))
    kept = [client for client in range(3) if client != lost]
    assert aggregator.weights() == dict.fromkeys(kept, 0.25)
    assert torch.allclose(aggregator.delta(), 0.4 * torch.tensor([0.5 * 2, float(sum(kept))]) / 4)


def test_a_round_of_dp_fedavg_is_the_mean_of_clipped_deltas_and_noise() -> None:
    bare = [one_round([item], LocalTraining(0.1)).delta for item in WORK]
    clipped = [delta * min(1.0, 0.01 / float(delta.norm())) for delta in bare]
    found = one_round(WORK, private(1e-9))
    assert torch.allclose(found.delta, torch.stack(clipped).mean(0), atol=1e-8)
    assert found.weights == dict.fromkeys(range(3), 1 / 3)
    noise = one_round(WORK, private(50.0)).delta
    assert float(noise.std()) == pytest.approx(50.0 * 0.01 / 3, rel=0.2)


def test_a_round_without_clients_is_noise_over_the_number_expected() -> None:
    found = one_round([], private(50.0, expected=5))
    assert found.metrics.clients == 0
    assert found.weights == {}
    assert float(found.delta.std()) == pytest.approx(50.0 * 0.01 / 5, rel=0.2)


def test_each_client_takes_part_by_itself() -> None:
    drawn = [poisson_cohort(10, 3, Seed(s).generator("cohort")) for s in range(2000)]
    counts = np.bincount([len(cohort) for cohort in drawn], minlength=11)
    expected = 2000 * binom.pmf(np.arange(11), 10, 0.3)
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected.max())
    together = np.mean([0 in cohort and 1 in cohort for cohort in drawn])
    assert together == pytest.approx(0.09, abs=0.03)
    assert poisson_cohort(4, None, Seed(1).generator("cohort")) == [0, 1, 2, 3]
