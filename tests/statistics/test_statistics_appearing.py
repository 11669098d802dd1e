"""A change in scores: found where there is one, as rarely as claimed where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, kstest, mannwhitneyu

from privaudit.federation.schedule import FEWEST_ROUNDS, LEAST_STRETCH, MOST_ROUNDS, stretches
from privaudit.statistics.appearing import FEWEST, LEAST, MOST, _cuts, _sums, appearance
from privaudit.statistics.permutation import permutation_p_value
from privaudit.statistics.runs import RunScores

ROUNDS = 40


def test_without_a_change_p_is_uniform_and_alarms_are_as_rare_as_said() -> None:
    rng = np.random.default_rng(0)
    # Heavy tails and a handful of values alike: ranks are all that counts.
    made = [rng.standard_cauchy(ROUNDS) for _ in range(600)]
    found = [appearance(scores, 1) for scores in made]
    assert kstest([one.p_value for one in found], "uniform").pvalue > 0.001
    for hits in (sum(one.found for one in found), sum(one.alarm is not None for one in found)):
        assert binomtest(hits, len(found), 0.05).pvalue > 0.001
    tied = [appearance(np.round(scores), 1).found for scores in made[:100]]
    assert binomtest(sum(tied), len(tied), 0.05, alternative="greater").pvalue > 0.001
    assert appearance(np.zeros(ROUNDS), 1).p_value == 1.0
    assert appearance(np.zeros(ROUNDS), 1).alarm is None


@pytest.mark.parametrize(("start", "end"), [(10, ROUNDS), (25, ROUNDS), (12, 24)])
def test_a_stretch_is_found_where_it_is(start: int, end: int) -> None:
    rng = np.random.default_rng(start)
    scores = rng.standard_normal((60, ROUNDS))
    scores[:, start:end] += 3.0
    found = [appearance(one, 1) for one in scores]
    assert sum(one.found for one in found) >= 59
    assert np.median([abs(one.start - start) for one in found]) <= 1
    assert np.median([abs(one.end - end) for one in found]) <= 1
    alarms = [one.alarm for one in found if one.alarm is not None]
    in_time = [alarm for alarm in alarms if start <= alarm <= start + 8]
    assert len(in_time) >= 50
    falling = [appearance(-one, 1) for one in scores]  # it disappears: other rounds stand out
    assert all(one.start != start for one in falling if one.found)


def test_heights_are_those_of_the_definition() -> None:
    scores = np.random.default_rng(3).standard_normal(FEWEST)
    ranks = (scores.argsort().argsort() - (FEWEST - 1) / 2).astype(np.float32)
    for start, (sums,) in _sums(ranks[None]):
        for length, found in enumerate(sums, start=LEAST):
            part = ranks[start : start + length]
            assert found == pytest.approx(
                part.sum() / (length * (FEWEST - length)) ** 0.5, abs=1e-5
            )
    (seen,) = _cuts(ranks[None])
    for last in range(3, FEWEST):
        highest = -np.inf
        for cut in range(1, last + 1):
            before, after = scores[:cut], scores[cut : last + 1]
            u = mannwhitneyu(after, before).statistic - len(after) * len(before) / 2
            highest = max(highest, u / (len(after) * len(before) * (last + 2) / 12) ** 0.5)
        assert seen[last] == pytest.approx(highest, abs=1e-4)


def test_it_is_the_schedule_s_rounds_that_are_looked_through() -> None:
    assert (FEWEST, MOST, LEAST) == (FEWEST_ROUNDS, MOST_ROUNDS, LEAST_STRETCH)
    for rounds in (FEWEST - 1, MOST + 1):
        with pytest.raises(ValueError, match="are needed"):
            appearance(np.zeros(rounds), 1)


def test_scores_that_drift_make_no_star_of_a_stretch() -> None:
    """Against the stretches that might have been drawn a drift is no evidence."""
    rng = np.random.default_rng(5)
    possible = stretches(ROUNDS, None)
    exact, any_order = [], []
    for _ in range(100):
        runs = [
            RunScores(
                rng.standard_normal(ROUNDS) + np.arange(ROUNDS) / 8,
                possible[rng.integers(len(possible))],
                possible=possible,
            )
            for _ in range(3)
        ]
        exact.append(permutation_p_value(runs, rng, n_permutations=499))
        plain = [RunScores(run.scores, run.present) for run in runs]
        any_order.append(permutation_p_value(plain, rng, n_permutations=499))
    assert kstest(exact, "uniform").pvalue > 0.001
    assert np.mean(np.array(any_order) < 0.05) > 0.9
