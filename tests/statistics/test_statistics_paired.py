"""The order of two attacks from scores of both on the same federations."""

from __future__ import annotations

import numpy as np
import pytest

from privaudit.statistics.paired import Pair, auc_change, auc_difference, mean_change
from privaudit.statistics.runs import RunScores

KINDS = [True, False]


def settings(
    rng: np.random.Generator, *, gap: float, runs: int, of_rounds: bool
) -> list[list[Pair]]:
    """Two attacks that share half of their noise, at three numbers of participants."""

    def pair(run: int) -> Pair:
        rounds = 40 if of_rounds else 4
        present = np.arange(rounds) % 2 == 0 if of_rounds else np.full(rounds, run % 2 == 0)
        common = rng.standard_normal(rounds)
        a, b = (common + rng.standard_normal(rounds) for _ in range(2))
        return RunScores(a + (1 + gap) * present, present), RunScores(b + present, present)

    return [[pair(run) for run in range(runs)] for _ in range(3)]


@pytest.mark.parametrize("of_rounds", KINDS)
def test_equal_attacks_are_not_ordered_and_unequal_ones_are(of_rounds: bool) -> None:
    rng, n = np.random.default_rng(1), 100
    runs = 4 if of_rounds else 16
    equal = [auc_difference(settings(rng, gap=0, runs=runs, of_rounds=of_rounds)) for _ in range(n)]
    wrong = sum(found is None or found.ordered for found in equal)
    assert wrong <= n * 0.05 + 3 * np.sqrt(n * 0.05 * 0.95)
    apart = auc_difference(settings(rng, gap=3, runs=3 * runs, of_rounds=of_rounds))
    assert apart is not None
    assert apart.ordered
    assert apart.value > 0
    assert (apart.turned.value, apart.turned.low) == (-apart.value, -apart.high)


@pytest.mark.parametrize("of_rounds", KINDS)
def test_too_few_runs_say_nothing(of_rounds: bool) -> None:
    rng = np.random.default_rng(2)
    few = settings(rng, gap=1, runs=1 if of_rounds else 3, of_rounds=of_rounds)
    assert auc_difference(few) is None


def test_runs_that_happen_to_agree_leave_room() -> None:
    (pairs, *_) = settings(np.random.default_rng(3), gap=1, runs=1, of_rounds=True)
    found = auc_difference([pairs * 3])
    assert found is not None
    assert found.high - found.low > 0.1


@pytest.mark.parametrize("of_rounds", KINDS)
def test_audits_with_nothing_in_common_are_told_apart_only_where_they_differ(
    of_rounds: bool,
) -> None:
    rng, n, runs = np.random.default_rng(4), 100, 4 if of_rounds else 16

    def audit(d_prime: float, count: int) -> list[RunScores]:
        """Runs that differ by more than their rounds explain."""
        made = []
        for run in range(count):
            rounds = 40 if of_rounds else 4
            present = np.arange(rounds) % 2 == 0 if of_rounds else np.full(rounds, run % 2 == 0)
            shift = d_prime + 0.4 * rng.standard_normal() * of_rounds
            made.append(RunScores(rng.standard_normal(rounds) + shift * present, present))
        return made

    same = [auc_change(audit(0.8, runs), audit(0.8, runs + 2)) for _ in range(n)]
    wrong = sum(found is None or found.ordered for found in same)
    assert wrong <= n * 0.05 + 3 * np.sqrt(n * 0.05 * 0.95)
    apart = auc_change(audit(0.0, 3 * runs), audit(3.0, 3 * runs))
    assert apart is not None
    assert apart.ordered
    assert apart.value > 0.2
    assert apart.p_value < 0.001
    assert auc_change(audit(0.0, 1 if of_rounds else 3), audit(0.0, runs)) is None


@pytest.mark.parametrize("paired", [True, False])
def test_shares_that_change_are_told_and_others_are_not(paired: bool) -> None:
    """Runs differ in how much of a batch of four is rebuilt; where paired, in both audits alike."""
    rng, n, rounds = np.random.default_rng(5), 200, 4

    def audit(shares: np.ndarray) -> list[list[float]]:
        return [(rng.binomial(4, share, rounds) / 4).tolist() for share in shares]

    def change(before: float, after: float) -> bool:
        of_run = np.clip(before + 0.15 * rng.standard_normal(6), 0, 1)
        same = of_run if paired else np.clip(before + 0.15 * rng.standard_normal(6), 0, 1)
        then = np.clip(same + after - before, 0, 1)
        found = mean_change(audit(of_run), audit(then), paired=paired)
        assert found is not None
        assert -1 <= found.low <= found.value <= found.high <= 1
        return found.ordered

    for share in (0.0, 0.5, 1.0):
        wrong = sum(change(share, share) for _ in range(n))
        assert wrong <= n * 0.05 + 3 * np.sqrt(n * 0.05 * 0.95), share
    assert sum(change(0.9, 0.2) for _ in range(20)) == 20
    assert mean_change(audit(np.ones(1)), audit(np.ones(3)), paired=False) is None
