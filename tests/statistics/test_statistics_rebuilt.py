"""Intervals of shares over runs, and the test of answers against other rounds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from privaudit.statistics.rebuilt import gain_over_runs, least_p, mean_over_runs, of_other_rounds_p

LEVEL = 0.95


def test_by_hand() -> None:
    found = mean_over_runs([[40.0, 40.0], [50.0, 50.0], [60.0, 60.0]], top=60.0, counted=False)
    # t(0.975, 2) = 4.3027, deviation 10; the upper limit ends at what there can be.
    assert found.value - found.low == pytest.approx(4.3027 * 10 / 3**0.5, rel=1e-4)
    assert found.high == 60.0
    assert (found.n_runs, found.n_rounds) == (3, 6)


def test_shares_that_do_not_vary_are_no_certainty() -> None:
    """Student's t of three runs that are all 1 has no width; nine rounds are no proof of 1."""
    found = mean_over_runs([[1.0] * 3] * 3)
    assert found.high == 1.0
    assert found.low == pytest.approx(0.025 ** (1 / 9))
    none = gain_over_runs([[0.0] * 3] * 3, [[0.0] * 3] * 3)
    assert none.low <= 0 <= none.high
    sure = gain_over_runs([[1.0] * 3] * 3, [[0.0] * 3] * 3)
    assert sure.low == pytest.approx(found.low)


@pytest.mark.parametrize(("between", "runs"), [(0.0, 3), (0.15, 4), (0.3, 6)])
def test_intervals_cover(between: float, runs: int) -> None:
    """Runs differ in their share, rounds of a run are draws of a batch of 4 with it."""
    rng, times, mean = np.random.default_rng(11), 600, 0.6
    covered = 0
    for _ in range(times):
        shares = np.clip(mean + between * rng.uniform(-1, 1, runs), 0, 1)
        found = mean_over_runs([rng.binomial(4, share, 8) / 4 for share in shares])
        covered += found.low <= mean <= found.high
    assert binomtest(covered, times, LEVEL, alternative="less").pvalue > 1e-4


def test_answers_about_nothing_are_told_as_rarely_as_is_said() -> None:
    """Whole batches that happen to stand in answers, of some rounds more often than of others."""
    rng, times, told = np.random.default_rng(12), 300, 0
    for _ in range(times):
        likely = rng.random((2, 6, 1))
        told += of_other_rounds_p(list((rng.random((2, 6, 6)) < likely) * 1.0), rng) <= 0.05
    assert binomtest(told, times, 0.05, alternative="greater").pvalue > 1e-4


def test_answers_about_their_batch_are_told() -> None:
    rng = np.random.default_rng(13)
    assert least_p(1, 3) == pytest.approx(1 / 6), "three rounds of one run tell nothing"
    assert of_other_rounds_p([np.eye(3)], rng) == pytest.approx(least_p(1, 3), abs=0.02)
    assert least_p(2, 5) == 1e-4
    assert of_other_rounds_p([np.eye(5)] * 2, rng) <= 0.001
    assert of_other_rounds_p([np.ones((5, 5))], rng) == 1.0, "all words of the vocabulary"
    assert of_other_rounds_p([1.0 - np.eye(5)], rng) == 1.0
