from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri

from privaudit.statistics import roc
from privaudit.statistics.runs import RunScores
from privaudit.statistics.variance import (
    auc_variance,
    delong_difference_variance,
    delong_variance,
    kernel_variance,
)


@st.composite
def labelled_scores(draw):
    """Small integers, so that ties are common; both labels occur."""
    scores = draw(st.lists(st.integers(-4, 4), min_size=2, max_size=25))
    present = draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores)))
    present[0], present[1] = True, False
    return np.array(scores, dtype=float), np.array(present)


def naive_auc(scores, present):
    pairs = [(a, b) for a in scores[present] for b in scores[~present]]
    return sum((a > b) + 0.5 * (a == b) for a, b in pairs) / len(pairs)


@pytest.mark.parametrize("d", [-1.0, 0.0, 0.7, 2.5])
def test_auc_of_normal_quantiles_is_the_closed_form(d):
    n = 1000
    quantiles = ndtri((np.arange(n) + 0.5) / n)
    scores = np.concatenate([quantiles + d, quantiles])
    # Each empirical distribution function is within 1 / (2 n) of the normal one.
    assert roc.auc(scores, np.arange(2 * n) < n) == pytest.approx(ndtr(d / np.sqrt(2)), abs=1 / n)


@given(labelled_scores())
def test_auc_is_the_share_of_pairs_in_order(data):
    assert roc.auc(*data) == pytest.approx(naive_auc(*data))


@given(labelled_scores())
def test_auc_turns_around_with_the_scores_and_with_the_labels(data):
    scores, present = data
    assert roc.auc(-scores, present) == pytest.approx(1 - roc.auc(scores, present))
    assert roc.auc(scores, ~present) == pytest.approx(1 - roc.auc(scores, present))


@given(labelled_scores())
def test_auc_reads_only_the_order(data):
    scores, present = data
    assert roc.auc(scores**3 + 7, present) == pytest.approx(roc.auc(scores, present))


@given(labelled_scores())
def test_area_under_the_points_is_the_auc_drawn_a_little_to_chance(data):
    curve = roc.roc_curve(*data)
    n_absent = (~data[1]).sum()
    expected = (n_absent * roc.auc(*data) + 0.5) / (n_absent + 1)
    assert np.trapezoid(curve.tpr, curve.fpr) == pytest.approx(expected)
    assert (curve.fpr[0], curve.tpr[0], curve.fpr[-1], curve.tpr[-1]) == (0, 0, 1, 1)
    assert (np.diff(curve.tpr) >= 0).all()


@given(labelled_scores(), st.integers(0, 1000))
def test_equal_scores_count_as_the_mean_over_their_orders(data, seed):
    scores, present = data
    rng = np.random.default_rng(seed)
    levels = np.unique(scores, return_inverse=True)[1]
    orders = [levels + rng.random(scores.size) / 2 for _ in range(400)]
    mean = np.mean([roc.roc_curve(order, present).tpr for order in orders], axis=0)
    assert roc.roc_curve(scores, present).tpr == pytest.approx(mean, abs=0.15)


@pytest.mark.parametrize(("rounds", "fpr"), [(40, 0.1), (60, 0.05), (200, 0.01)])
@pytest.mark.parametrize("levels", [None, 40, 3])
def test_a_blind_guess_gets_the_false_positive_rate(rounds, fpr, levels):
    rng = np.random.default_rng(rounds)
    present = np.arange(rounds) % 2 == 0
    guesses = rng.standard_normal((4000, rounds)) if levels is None else None
    if guesses is None:
        guesses = rng.integers(0, levels, (4000, rounds)).astype(float)
    found = [roc.tpr_at_fpr(scores, present, fpr) for scores in guesses]
    assert np.mean(found) == pytest.approx(fpr, abs=0.006)


def test_one_tied_score_more_does_not_turn_the_rate_over():
    """The best threshold allowed gave .300 with 200 tied absent scores and 0 with 201."""
    rng = np.random.default_rng(0)
    present = np.arange(4000) < 2000
    scores = rng.standard_normal(4000)
    scores[:600] = scores[2000:2200] = 5.0
    before = roc.tpr_at_fpr(scores, present, 0.1)
    scores[2200] = 5.0
    assert roc.tpr_at_fpr(scores, present, 0.1) == pytest.approx(before, abs=0.005)
    assert before == pytest.approx(0.3, abs=0.005)
    assert roc.tpr_at_fpr(np.zeros(4000), present, 0.1) == pytest.approx(0.1)


def test_one_percent_is_estimable_from_99_absent_rounds_on():
    present = np.arange(200) < 101
    scores = np.arange(200.0)
    assert roc.tpr_at_fpr(scores, present, 0.01) == 0.0
    assert roc.tpr_at_fpr(scores[:199], present[:199], 0.01) is None
    assert roc.tpr_at_fpr(-scores, present, 0.01) == 1.0


def test_operating_point_is_the_attacks_own():
    scores = np.array([0.9, 0.5, 0.2, 0.7, 0.4, 0.1, 0.0])
    present = np.array([True, True, True, False, False, False, False])
    # Strictly above 0.5 says "present": one of three, one of four. No better threshold is sought.
    assert roc.rates(scores, present, 0.5) == (1 / 3, 1 / 4)
    assert roc.accuracy(scores, present, 0.5) == pytest.approx(4 / 7)
    assert roc.advantage(scores, present, 0.5) == pytest.approx(1 / 12)
    assert roc.balanced_accuracy(scores, present, 0.5) == pytest.approx(13 / 24)


def test_one_label_has_no_auc():
    with pytest.raises(ValueError, match="3 present and 0 absent"):
        roc.auc(np.arange(3.0), np.ones(3, dtype=bool))


@pytest.mark.parametrize("fpr", [0.0, 1.0, -0.1])
def test_refuses_a_false_positive_rate_out_of_range(fpr):
    with pytest.raises(ValueError, match="fpr must be in"):
        roc.tpr_at_fpr(np.arange(2.0), np.array([True, False]), fpr)


def test_runs_weigh_equal_and_levels_of_scores_do_not_matter_within_runs():
    short = RunScores(np.array([1.0, 0.0]), np.array([True, False]))
    long = RunScores(np.array([10.0, 11, 12, 13]), np.array([True, False, True, False]))
    assert roc.mean_auc([short, long]) == pytest.approx((1 + 0.25) / 2)


def test_labels_on_runs_compare_runs():
    present = [RunScores(np.array([3.0, 1.0]), np.ones(2, bool)) for _ in range(2)]
    absent = [RunScores(np.array([2.0, 0.0]), np.zeros(2, bool))]
    assert roc.mean_auc(present + absent) == pytest.approx(0.75)


def test_pairwise_auc_is_the_auc_of_each_pair():
    rng = np.random.default_rng(0)
    runs = [RunScores(rng.integers(0, 4, n).astype(float), np.ones(n, bool)) for n in (3, 5, 2)]
    table = roc.pairwise_auc(runs)
    for i, a in enumerate(runs):
        for j, b in enumerate(runs):
            scores = np.concatenate([a.scores, b.scores])
            assert table[i, j] == pytest.approx(
                naive_auc(scores, np.arange(scores.size) < a.n_rounds) if i != j else 0.5
            )


def test_variance_without_signal_is_that_of_the_rank_sum():
    assert auc_variance(0.5, 7, 12) == pytest.approx((7 + 12 + 1) / (12 * 7 * 12))


@given(labelled_scores())
def test_delong_is_the_variance_of_the_mean_comparisons(data):
    scores, present = data
    wins = np.sign(scores[present][:, None] - scores[~present][None]) / 2 + 0.5
    expected = sum(
        w.var(ddof=1) / w.size for w in (wins.mean(axis=1), wins.mean(axis=0)) if w.size > 1
    )
    assert delong_variance(scores, present) == pytest.approx(expected)
    assert kernel_variance(wins) == pytest.approx(expected)


@pytest.mark.parametrize("auc", [0.5, 0.8, 0.95])
def test_both_variances_are_what_simulated_aucs_vary(auc):
    rng, n, m, n_simulations = np.random.default_rng(1), 25, 40, 4000
    present = np.arange(n + m) < n
    scores = rng.standard_normal((n_simulations, n + m)) + np.sqrt(2) * ndtri(auc) * present
    variance = np.var([roc.auc(s, present) for s in scores])
    delong = np.mean([delong_variance(s, present) for s in scores[:400]])
    # A variance from 4000 draws has a relative standard error of sqrt(2 / 4000) = 2 %, more with
    # heavy tails; the formula errs, towards caution, by 30 % at most.
    assert delong == pytest.approx(variance, rel=0.12)
    assert 0.93 * variance < auc_variance(auc, n, m) < 1.4 * variance


def test_difference_of_an_attack_and_itself_or_a_constant() -> None:
    rng = np.random.default_rng(3)
    scores, present = rng.standard_normal(40), np.arange(40) % 2 == 0
    assert delong_difference_variance(scores, scores, present) == 0
    constant = delong_difference_variance(scores, np.zeros(40), present)
    assert constant == pytest.approx(delong_variance(scores, present))


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_variance_of_a_difference_is_that_of_repeated_draws(correlation: float) -> None:
    """Within 5 standard errors of a variance from 2,000 draws (2 sqrt(2 / 2000) relative)."""
    rng = np.random.default_rng(4)
    present, draws = np.arange(60) % 2 == 0, 2000
    shared = rng.standard_normal((draws, 60)) * np.sqrt(correlation)
    a, b = (
        shared + rng.standard_normal((draws, 60)) * np.sqrt(1 - correlation) + shift * present
        for shift in (1.0, 0.5)
    )
    differences = [roc.auc(x, present) - roc.auc(y, present) for x, y in zip(a, b, strict=True)]
    said = np.mean(
        [delong_difference_variance(x, y, present) for x, y in zip(a[:400], b[:400], strict=True)]
    )
    assert said == pytest.approx(np.var(differences), rel=5 * np.sqrt(2 / draws))
