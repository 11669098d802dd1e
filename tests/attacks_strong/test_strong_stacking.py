"""Ridge regression, cross-fitting and the combination, against closed forms and other libraries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

from attacks.stacking import (
    RIDGES,
    MemberScores,
    combine,
    cross_fitted,
    kernel_ridge,
    separation,
    with_share,
)
from privaudit.statistics.calibration import brier_score, calibration_p_value


def rows(rng: np.random.Generator, n: int, gap: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    present = np.arange(n) % 2 == 0
    halves = (np.arange(n) // 2) % 2
    features = rng.standard_normal((n, 6))
    features[:, 0] += gap * present
    return features, present, halves


def test_kernel_ridge_is_ridge_regression_in_the_dual() -> None:
    rng = np.random.default_rng(1)
    features, present, halves = rows(rng, 80, 1.0)
    seen = rng.standard_normal((5, 6))
    found = kernel_ridge(features @ features.T, seen @ features.T, present, halves)
    expected = []
    for strength in RIDGES:
        scores = np.zeros(80)
        for half in (0, 1):
            train, test = halves != half, halves == half
            centred = features[train] - features[train].mean(0)
            alpha = strength * np.square(centred).sum() / train.sum()
            model = Ridge(alpha=alpha).fit(features[train], np.where(present[train], 1.0, -1.0))
            raw = model.predict(features[test])
            scores[test] = (raw - raw.mean()) / raw.std()
        expected.append(scores)
    distance = [np.abs(found.held_out - scores).max() for scores in expected]
    assert min(distance) < 1e-8
    best = max(separation(scores, present, halves) for scores in expected)
    assert separation(found.held_out, present, halves) == pytest.approx(best)


def test_cross_fitting_never_shows_a_model_the_rows_it_is_tested_on() -> None:
    halves = np.array([0, 1, 0, 1, 1, 0])
    calls = []

    def fit(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        calls.append((set(halves[train]), set(halves[test])))
        return np.array([1.0, 2.0, 6.0]), np.array([3.0])

    found = cross_fitted(fit, np.ones(6, bool), halves)
    assert sorted(calls) == [({0}, {1}), ({1}, {0})] or sorted(calls) == [({1}, {0}), ({0}, {1})]
    assert found.observed == pytest.approx([0.0])  # 3 is the mean of what was held out
    assert found.held_out[halves == 0].mean() == pytest.approx(0.0)


def test_separation_is_the_mean_area_of_the_halves() -> None:
    rng = np.random.default_rng(3)
    scores, present = rng.standard_normal(60), rng.random(60) < 0.4
    halves = np.arange(60) % 2
    areas = [roc_auc_score(present[halves == h], scores[halves == h]) for h in (0, 1)]
    assert separation(scores, present, halves) == pytest.approx(np.mean(areas))


def test_a_member_that_knows_nothing_is_given_less_than_one_that_does() -> None:
    rng = np.random.default_rng(4)
    present = np.arange(6000) % 2 == 0
    good = np.where(present, 1.0, -1.0) + rng.standard_normal(6000)
    blind = rng.standard_normal(6000)
    unit = [np.array([1.0, 0.0]), np.array([0.0, 1.0])]
    odds = combine([MemberScores(good, unit[0]), MemberScores(blind, unit[1])], present)
    zero = combine([MemberScores(good, np.zeros(2)), MemberScores(blind, np.zeros(2))], present)
    weights = odds - zero
    assert weights[0] > 1.5  # the likelihood ratio of unit Gaussians at +-1 has slope 2
    assert 0 <= weights[1] < 0.3


def test_members_whose_held_out_scores_are_reversed_still_say_which_round_is_likelier() -> None:
    """Few writers in either half: what was learned from one is wrong about the other, by chance."""
    present = np.arange(400) % 2 == 0
    reversed_scores = np.where(present, -1.0, 1.0) + 0.5 * np.random.default_rng(6).standard_normal(
        400
    )
    odds = combine([MemberScores(reversed_scores, np.array([-2.0, 0.0, 1.0]))] * 2, present)
    assert (np.diff(odds) > 0).all()
    assert np.abs(expit(odds) - 0.5).max() < 0.05, "nothing is sure here"


def test_the_odds_of_independent_members_are_calibrated() -> None:
    rng = np.random.default_rng(5)
    present, truth = np.arange(2000) % 2 == 0, rng.random(2000) < 0.5
    members = []
    for gap in (1.0, 0.5, 0.0):
        held_out = gap * (present - 0.5) + rng.standard_normal(2000)
        seen = gap * (truth - 0.5) + rng.standard_normal(2000)
        members.append(MemberScores(held_out, seen))
    probabilities = expit(combine(members, present))
    assert calibration_p_value(probabilities, truth, rng) > 0.001
    sharper = expit(3 * combine(members, present))
    assert calibration_p_value(sharper, truth, rng) < 0.001, "the check has no power"
    assert brier_score(probabilities, truth) < 0.25


@given(
    odds=st.lists(st.floats(-50, 50), min_size=1, max_size=30),
    share=st.floats(0.01, 0.99),
)
def test_with_share_fits_the_share_and_keeps_the_order(odds: list[float], share: float) -> None:
    values = np.array(odds)
    shifted = with_share(values, share)
    assert expit(shifted).mean() == pytest.approx(share, abs=1e-6)
    assert np.allclose(np.diff(shifted), np.diff(values), atol=1e-9)
