"""The published attack as a member: a forest on pooled sums as they are."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import ExtraTreesRegressor

from privaudit.attack.adversary import ShadowRound
from privaudit.engine.layout import Layout
from privaudit.randomness import Seed
from privaudit.statistics.roc import auc
from privaudit_attacks.peaks import FEATURES, Forest, Peaks
from privaudit_attacks.simulation import StandIns
from privaudit_attacks.stacking import MemberScores

LAYOUT = Layout.of([("weight", (3, 4)), ("bias", (3,))])
K = 3


def member(shift: float, *, offset: float = 0.0, rounds: int = 60) -> tuple[MemberScores, float]:
    """The member, and its AUC over what was seen; a weight's mean moves with the property.

    The stand-ins that weigh it are a constant apart from what is learned from.
    """
    rng = torch.Generator().manual_seed(3)
    numpy_rng = np.random.default_rng(4)
    halves = np.arange(8) % 2

    def drawn(n: int, present: bool) -> torch.Tensor:
        rows = torch.randn(n, LAYOUT.size, generator=rng)
        rows[:, 5] += shift * present
        return rows

    truth, labels = np.arange(rounds) % 2 == 0, np.repeat([True, False], 4)
    peaks, kept = None, range(rounds - 20, rounds)
    for number in range(rounds):
        absent = drawn(8, False)
        shadow = ShadowRound(drawn(8, True), absent, absent, K, halves)
        others = sum(drawn(8, False) for _ in range(K - 1))
        rows = torch.cat([drawn(4, True), drawn(4, False)]) + others + offset
        seen = drawn(1, bool(truth[number])) + sum(drawn(1, False) for _ in range(K - 1))
        if peaks is None:
            shown = torch.cat([shadow.present, shadow.absent])
            peaks = Peaks(LAYOUT, shown, 640, np.random.default_rng(5))
        peaks.add(shadow, StandIns(rows, labels, halves), seen, kept, numpy_rng)
    assert peaks is not None
    n = len(kept)
    found = peaks.member(Forest(50, Seed(6)), np.tile(labels, n), np.tile(halves, n))
    assert found.held_out.shape == (8 * n,)
    return found, auc(found.observed, truth)


def test_it_tells_what_moves_a_weight() -> None:
    found, area = member(6.0)
    assert area > 0.9
    labels = np.tile(np.repeat([True, False], 4), 20)
    assert auc(found.held_out, labels) > 0.85


def test_it_learns_from_sums_as_they_are_not_from_the_stand_ins_that_weigh_it() -> None:
    assert member(6.0, offset=40.0)[1] > 0.9


def test_nothing_is_told_where_nothing_moves() -> None:
    """60 rounds, 30 of each: the AUC of a blind score has a deviation of .075."""
    assert abs(member(0.0)[1] - 0.5) < 4 * 0.075


def test_of_many_pooled_values_some_are_looked_at() -> None:
    layout = Layout.of([("weight", (60, 70))])
    shown = torch.ones(2, layout.size)
    peaks = Peaks(layout, shown, 64, np.random.default_rng(1))
    assert len(peaks._chosen) == FEATURES


@given(st.integers(0, 2**32 - 1))
def test_the_trees_are_those_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, asked = (rng.normal(size=(n, 30)).astype(np.float16) for n in (40, 7))
    present = rng.random(40) < 0.5
    ours = Forest(5, Seed(seed))(rows, present, asked)
    theirs = ExtraTreesRegressor(
        n_estimators=5,
        max_features="sqrt",
        min_samples_leaf=2,
        random_state=Seed(seed).child("forest", 40).integer() % 2**32,
    )
    assert (ours == theirs.fit(rows, present.astype(float)).predict(asked)).all()
