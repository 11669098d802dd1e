"""Ridge regression, cross-fitting and the combination, against closed forms and other libraries."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from calibration import brier_score, calibration_p_value
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

from privaudit.statistics.roc import auc
from privaudit_attacks.stacking import (
    PRIOR_WEIGHT,
    RIDGES,
    HeldOut,
    MemberScores,
    agreement,
    best_of,
    combine,
    cross_fitted,
    cross_fitted_ridge,
    ridge,
    separations,
    with_share,
)


def rows(rng: np.random.Generator, n: int, gap: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    present = np.arange(n) % 2 == 0
    halves = (np.arange(n) // 2) % 2
    features = rng.standard_normal((n, 6))
    features[:, 0] += gap * present
    return features, present, halves


def test_ridge_is_ridge_regression_in_the_dual() -> None:
    rng = np.random.default_rng(1)
    features, present, halves = rows(rng, 80, 1.0)
    seen = rng.standard_normal((5, 6))
    labels = np.where(present, 1.0, -1.0)

    def primal(strength: float, train: np.ndarray, test: np.ndarray) -> np.ndarray:
        known = features[train]
        alpha = strength * np.square(known - known.mean(0)).sum() / len(known)
        model = Ridge(alpha=alpha).fit(known, labels[train])
        predicted: np.ndarray = model.predict(test) - labels[train].mean()
        return predicted

    kernel, every = features @ features.T, np.arange(80)
    strength, found = cross_fitted_ridge(kernel, present, halves)
    expected = {}
    for tried in RIDGES:
        scores = np.zeros(80)
        for half in (0, 1):
            raw = primal(tried, np.flatnonzero(halves != half), features[halves == half])
            scores[halves == half] = (raw - raw.mean()) / raw.std()
        expected[tried] = scores
    areas = {r: separations(scores, present, halves) for r, scores in expected.items()}
    assert areas[strength].mean() == pytest.approx(max(a.mean() for a in areas.values()))
    for half in (0, 1):  # chosen on the other
        best = max(reversed(RIDGES), key=lambda r: float(areas[r][1 - half]))
        of = halves == half
        assert found.scores[of] == pytest.approx(expected[best][of], abs=1e-8)
    predicted = ridge(kernel, seen @ features.T, present, strength)
    assert predicted == pytest.approx(primal(strength, every, seen), abs=1e-8)


def test_cross_fitting_never_shows_a_model_the_rows_it_is_tested_on() -> None:
    halves = np.array([0, 1, 0, 1, 1, 0])
    calls = []

    def fit(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        calls.append((set(halves[train]), set(halves[test])))
        return np.array([1.0, 2.0, 6.0])

    found = cross_fitted(fit, halves)
    assert calls == [({1}, {0}), ({0}, {1})]
    placed = found.with_observed(np.array([3.0]))
    assert placed.observed == pytest.approx([0.0])  # 3 is the mean of what was held out
    assert placed.held_out[halves == 0].mean() == pytest.approx(0.0)


def test_separations_are_the_areas_of_the_halves() -> None:
    rng = np.random.default_rng(3)
    scores, present = rng.standard_normal(60), rng.random(60) < 0.4
    halves = np.arange(60) % 2
    areas = [roc_auc_score(present[halves == h], scores[halves == h]) for h in (0, 1)]
    assert separations(scores, present, halves) == pytest.approx(np.array(areas))


def test_the_best_of_many_that_know_nothing_does_not_look_good() -> None:
    areas, own = [], []
    present, halves = np.arange(64) % 4 < 2, np.arange(64) % 2
    for world in range(200):
        rng = np.random.default_rng(world)
        tried = [HeldOut(rng.standard_normal(64), 0.0, 1.0) for _ in range(12)]
        best, found = best_of(tried, present, halves)
        areas.append(separations(found.scores, present, halves).mean())
        own.append(separations(tried[best].scores, present, halves).mean())
    error = np.std(areas) / np.sqrt(len(areas))
    assert abs(np.mean(areas) - 0.5) < 4 * error < 0.04 < np.mean(own) - 0.5


def test_a_member_that_knows_nothing_is_given_less_than_one_that_does() -> None:
    rng = np.random.default_rng(4)
    present = np.arange(6000) % 2 == 0
    good = np.where(present, 1.0, -1.0) + rng.standard_normal(6000)
    blind = rng.standard_normal(6000)
    unit = [np.array([1.0, 0.0]), np.array([0.0, 1.0])]  # spreads below 1 are left as they are
    odds = combine([MemberScores(good, unit[0]), MemberScores(blind, unit[1])], present)
    zero = combine([MemberScores(good, np.zeros(2)), MemberScores(blind, np.zeros(2))], present)
    weights = odds - zero
    assert weights[0] > 1.5  # the likelihood ratio of unit Gaussians at +-1 has slope 2
    assert 0 <= weights[1] < 0.3


def test_the_same_stand_ins_once_more_say_no_more_of_few_records() -> None:
    """Held-out scores that few records make by chance would be believed, of enough stand-ins."""
    rng = np.random.default_rng(12)
    present = np.arange(200) % 2 == 0
    gap = np.where(present, 1.0, -1.0)
    held_out = [2 * gap + rng.standard_normal(200), gap + rng.standard_normal(200)]
    seen = rng.standard_normal((2, 5))

    def odds(times: int, draws: float) -> np.ndarray:
        members = [MemberScores(np.tile(h, times), s) for h, s in zip(held_out, seen, strict=True)]
        return combine(members, np.tile(present, times), draws=draws)

    assert odds(5, 4.0) == pytest.approx(odds(1, 4.0), abs=1e-3)
    assert np.abs(odds(5, math.inf) - odds(1, math.inf)).max() > 0.05, "the check has no power"
    assert odds(1, 20.0) == pytest.approx(odds(1, math.inf)), "as many as there are"
    equal = PRIOR_WEIGHT * (seen.sum(0) - seen.sum(0).mean())
    none = odds(1, 1e-3)
    assert none - none.mean() == pytest.approx(equal, abs=0.01), "of no records, nothing is learned"


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


def whole_run_auc(comparable: bool, *, shift: float, runs: int = 60) -> float:
    """Sums over 20 rounds, half of the runs with a weak property, ``shift`` added in all of them.

    The shift is that of records that are not the adversary's own: alike in all rounds of a run, and
    nearly so in all runs. What the held-out scores say of the members differs by chance.
    """
    rng = np.random.default_rng(8)
    present, holds = np.arange(200) % 2 == 0, np.arange(runs) % 2 == 0
    totals = []
    for held in holds:
        members = [
            MemberScores(
                0.5 * (present - 0.5) + rng.standard_normal(200),
                shift + 0.2 * rng.standard_normal() + 0.5 * held + rng.standard_normal(20),
            )
            for _ in range(4)
        ]
        totals.append(combine(members, present, comparable=comparable).sum())
    return auc(np.array(totals), holds)


def test_a_shift_of_whole_runs_does_not_order_them_by_how_sure_the_attack_is() -> None:
    """With equal weights d' is 0.5 / sqrt((0.2^2 + 1 / 20) / 4) = 3.3, an AUC of 0.99."""
    assert whole_run_auc(True, shift=0.0) > 0.95
    assert whole_run_auc(True, shift=6.0) > 0.95
    assert whole_run_auc(False, shift=6.0) < 0.8, "the check has no power"


def test_comparable_scores_keep_the_proportions_of_the_weights() -> None:
    rng = np.random.default_rng(9)
    present = np.arange(400) % 2 == 0
    gaps = (1.5, 0.2)
    held_out = [gap * present + rng.standard_normal(400) for gap in gaps]
    unit = [np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])]
    members = [MemberScores(h, u) for h, u in zip(held_out, unit, strict=True)]
    odds, scores = combine(members, present), combine(members, present, comparable=True)
    assert scores[2] == 0.0
    weights = odds[:2] - odds[2]
    assert scores[0] / scores[1] == pytest.approx(weights[0] / weights[1])
    assert scores.sum() == pytest.approx(PRIOR_WEIGHT * len(members))


def test_what_learned_from_the_tested_records_weighs_nothing() -> None:
    rng = np.random.default_rng(10)
    present = np.arange(400) % 2 == 0
    inflated = MemberScores(3.0 * present + rng.standard_normal(400), np.array([0.5, -0.5]))
    blind = MemberScores(rng.standard_normal(400), np.array([-0.5, 0.5]))
    # The direction counts as far as the others do not contradict it.
    turned = np.tile([1.0, -1.0], 3)
    signed = MemberScores(inflated.held_out, turned, signed=True)
    others = MemberScores(blind.held_out, -turned)
    believed = agreement(turned, PRIOR_WEIGHT * others.observed, 3.0)
    assert 0.1 < believed < 0.9, "else the test says nothing"
    odds = combine([signed, others], present, tested=False)
    assert odds[0] == pytest.approx(PRIOR_WEIGHT * (believed - 1.0), abs=0.03)


def test_what_no_stand_in_can_weigh_has_weights_of_its_own() -> None:
    rng = np.random.default_rng(13)
    present, held_out = np.arange(100) % 2 == 0, rng.standard_normal((2, 100))
    unit = [np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])]
    members = [
        MemberScores(h, u, blind=b) for h, u, b in zip(held_out, unit, (1.0, 3.0), strict=True)
    ]
    odds = combine(members, present, tested=False)
    assert odds == pytest.approx([0.5 * PRIOR_WEIGHT, 1.5 * PRIOR_WEIGHT, 0.0])
    tested = combine(members, present)
    assert tested == pytest.approx(combine([replace(m, blind=1.0) for m in members], present))


def test_a_direction_that_all_others_contradict_is_not_believed() -> None:
    rng = np.random.default_rng(11)
    truth = np.arange(80) % 2 == 0
    odds = 3.0 * (truth - 0.5) + rng.standard_normal(80)
    scores = truth + 0.3 * rng.standard_normal(80)
    assert agreement(scores, odds, 0.0) == 1.0
    assert agreement(-scores, odds, 0.0) < 0.01
    assert agreement(-scores, 0.01 * rng.standard_normal(80), 1.0) > 0.9, "nothing is known"
    assert agreement(np.zeros(80), odds, 1.0) == agreement(scores, np.zeros(80), 1.0) == 1.0


@given(
    odds=st.lists(st.floats(-50, 50), min_size=1, max_size=30),
    share=st.floats(0.01, 0.99),
)
def test_with_share_fits_the_share_and_keeps_the_order(odds: list[float], share: float) -> None:
    values = np.array(odds)
    shifted = with_share(values, share)
    assert expit(shifted).mean() == pytest.approx(share, abs=1e-6)
    assert np.allclose(np.diff(shifted), np.diff(values), atol=1e-9)
