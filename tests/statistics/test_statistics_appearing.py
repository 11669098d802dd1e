"""A change in scores: found where there is one, as rarely as claimed where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, kstest

from privaudit.federation.schedule import FEWEST_ROUNDS, LEAST_STRETCH, MOST_ROUNDS, stretches
from privaudit.statistics.appearing import FEWEST, LEAST, MOST, _so_far, _sums, appearance
from privaudit.statistics.permutation import permutation_p_value
from privaudit.statistics.runs import RunScores

ROUNDS = 40


@pytest.mark.parametrize("drift", [0.0, 5.0])
def test_without_a_change_p_is_uniform_and_alarms_are_as_rare_as_said(drift: float) -> None:
    """Also where all scores drift as the model moves: that is no change."""
    rng = np.random.default_rng(0)
    line = drift * np.arange(ROUNDS) / ROUNDS
    made = [rng.standard_t(5, ROUNDS) + line for _ in range(600)]
    found = [appearance(scores, 1) for scores in made]
    assert kstest([one.p_value for one in found], "uniform").pvalue > 0.001
    for hits in (sum(one.found for one in found), sum(one.alarm is not None for one in found)):
        assert binomtest(hits, len(found), 0.05).pvalue > 0.001


def test_scores_that_say_nothing_find_nothing() -> None:
    for scores in (np.zeros(ROUNDS), np.full(ROUNDS, 1e9), np.arange(ROUNDS) * 1e-9):
        said = appearance(scores, 1)
        assert (said.p_value, said.alarm) == (1.0, None)


@pytest.mark.parametrize(("start", "end"), [(10, ROUNDS), (25, ROUNDS), (12, 24)])
def test_a_stretch_is_found_where_it_is(start: int, end: int) -> None:
    rng = np.random.default_rng(start)
    scores = rng.standard_normal((40, ROUNDS))
    scores[:, start:end] += 4.0
    found = [appearance(one, 1) for one in scores]
    assert sum(one.found for one in found) >= 38
    assert np.median([abs(one.start - start) for one in found]) <= 1
    in_time = [one for one in found if one.alarm and start <= one.alarm <= start + 8]
    assert len(in_time) >= (34 if start > 20 else 10)  # few rounds before are little to go by
    falling = [appearance(-one, 1) for one in scores]  # it disappears: other rounds stand out
    assert all(one.start != start for one in falling if one.found)


def test_heights_are_those_of_the_definition() -> None:
    """The gain of a stretch in a least-squares fit that has a straight line beside it."""

    def gain(values: np.ndarray, start: int, end: int) -> float:
        numbers = np.arange(len(values))
        line = np.stack([np.ones(len(values)), numbers], axis=1)
        stretch = ((numbers >= start) & (numbers < end)).astype(float)
        left = stretch - line @ np.linalg.lstsq(line, stretch, rcond=None)[0]
        return float(values @ left / np.linalg.norm(left))

    values = np.random.default_rng(3).permutation(FEWEST).astype(np.float32)
    for start, (sums,) in _sums(values[None]):
        for length, found in enumerate(sums, start=LEAST):
            assert found == pytest.approx(gain(values, start, start + length), abs=1e-3)
    (seen,) = _so_far(values[None])
    assert not np.isfinite(seen[: 2 * LEAST - 1]).any()
    for rounds in range(2 * LEAST, FEWEST + 1):
        part = values[:rounds].astype(float)
        spread = np.std(part - np.polyval(np.polyfit(range(rounds), part, 1), range(rounds)))
        highest = max(gain(part, start, rounds) for start in range(LEAST, rounds - 1))
        assert seen[rounds - 1] == pytest.approx(highest / spread, abs=1e-3)


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
