from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

from privaudit.statistics import permutation
from privaudit.statistics.permutation import permutation_p_value
from privaudit.statistics.roc import mean_auc
from privaudit.statistics.runs import RunScores


def simulated_runs(rng, n_runs, n_rounds, d=0.0):
    present = np.arange(n_rounds) % 2 == 0
    return [RunScores(rng.standard_normal(n_rounds) + d * present, present) for _ in range(n_runs)]


def assignments(run):
    for chosen in combinations(range(run.n_rounds), run.n_present):
        yield RunScores(run.scores, np.isin(np.arange(run.n_rounds), chosen))


def test_small_cells_try_every_assignment():
    rng = np.random.default_rng(0)
    runs = [
        RunScores(rng.integers(0, 4, 5).astype(float), np.array([True, True, False, False, False])),
        RunScores(rng.integers(0, 4, 4).astype(float), np.array([True, False, True, False])),
    ]
    null = [mean_auc(pair) for pair in product(*(assignments(run) for run in runs))]
    expected = np.mean(np.array(null) >= mean_auc(runs) - 1e-12)
    assert permutation_p_value(runs, rng) == pytest.approx(expected)


def test_random_assignments_agree_with_all(monkeypatch):
    rng = np.random.default_rng(1)
    runs = simulated_runs(rng, 2, 8, d=0.6)
    exact = permutation_p_value(runs, rng)
    monkeypatch.setattr(permutation, "MAX_EXACT", 0)
    monkeypatch.setattr(permutation, "CHUNK_CELLS", 1000)
    drawn = permutation_p_value(runs, rng, n_permutations=20_000)
    assert 0.02 < exact < 0.98
    assert drawn == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20_000))


def test_labels_on_runs_are_exchanged_between_runs():
    rng = np.random.default_rng(2)
    runs = [RunScores(np.arange(3.0) + 10 * i, np.full(3, i > 2)) for i in range(6)]
    # Of the 20 ways to choose three of six runs, only the true one orders them perfectly.
    assert permutation_p_value(runs, rng) == pytest.approx(1 / 20)


def test_labels_on_many_runs_are_drawn_and_agree_with_all(monkeypatch):
    rng = np.random.default_rng(3)
    runs = [RunScores(rng.standard_normal(4) + 0.4 * (i > 4), np.full(4, i > 4)) for i in range(10)]
    exact = permutation_p_value(runs, rng)
    monkeypatch.setattr(permutation, "MAX_EXACT", 0)
    drawn = permutation_p_value(runs, rng, n_permutations=20_000)
    assert 0.02 < exact < 0.98
    assert drawn == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20_000))


def test_without_a_leak_five_percent_are_flagged():
    rng, n = np.random.default_rng(4), 600
    p = [permutation_p_value(simulated_runs(rng, 2, 30), rng, n_permutations=199) for _ in range(n)]
    error = np.sqrt(0.05 * 0.95 / n)
    assert 0.05 - 3 * error <= np.mean(np.array(p) <= 0.05) <= 0.05 + 3 * error


def test_level_of_a_runs_scores_is_not_evidence():
    rng = np.random.default_rng(5)
    runs = simulated_runs(rng, 3, 20, d=0.5)
    shifted = [RunScores(run.scores + 100 * i, run.present) for i, run in enumerate(runs)]
    first = permutation_p_value(runs, np.random.default_rng(0))
    assert permutation_p_value(shifted, np.random.default_rng(0)) == first


def test_a_leak_is_found_and_its_opposite_is_not():
    rng = np.random.default_rng(6)
    runs = simulated_runs(rng, 3, 60, d=1.0)
    assert permutation_p_value(runs, rng, n_permutations=999) == pytest.approx(1 / 1000)
    turned = [RunScores(-run.scores, run.present) for run in runs]
    assert permutation_p_value(turned, rng, n_permutations=999) > 0.99


def test_scores_that_say_nothing_have_p_one():
    present = np.arange(40) % 2 == 0
    runs = [RunScores(np.zeros(40), present)] * 2
    assert permutation_p_value(runs, np.random.default_rng(7), n_permutations=99) == 1.0


def test_refuses_to_draw_nothing():
    rng = np.random.default_rng(8)
    with pytest.raises(ValueError, match="n_permutations must be at least 1, got 0"):
        permutation_p_value(simulated_runs(rng, 2, 10), rng, n_permutations=0)
