"""Scores only: the numbers are those of the statistics room, bad input is one line."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

import privaudit

RNG = np.random.default_rng(3)
INSIDE, OUTSIDE = RNG.normal(1, 1, 150), RNG.normal(0, 1, 120)


def test_the_numbers_are_those_of_other_implementations() -> None:
    found = privaudit.evaluate(INSIDE, OUTSIDE, threshold=0.5)
    truth = np.r_[np.ones(150), np.zeros(120)]
    scores = np.r_[INSIDE, OUTSIDE]
    assert found.auc.value == pytest.approx(roc_auc_score(truth, scores))
    assert found.auc.low < found.auc.value < found.auc.high
    accuracy, advantage = found.metrics["accuracy"], found.metrics["advantage"]
    assert accuracy is not None
    assert accuracy.value == pytest.approx(np.mean((scores > 0.5) == truth))
    assert advantage is not None
    assert advantage.value == pytest.approx((INSIDE > 0.5).mean() - (OUTSIDE > 0.5).mean())
    assert (found.n_in, found.n_out, found.n_runs, found.threshold) == (150, 120, 1, 0.5)
    assert found.p_value < 0.001


def test_a_blind_guess_is_not_significant() -> None:
    same = RNG.normal(0, 1, 400)
    found = privaudit.evaluate(same[:200], same[200:])
    assert found.auc.low < 0.5 < found.auc.high
    assert found.p_value > 0.01


def test_several_runs_give_an_interval_over_runs() -> None:
    several = privaudit.evaluate(np.split(INSIDE, 3), np.split(OUTSIDE, 3))
    assert several.n_runs == 3
    assert several.auc.method == "hierarchical over runs"
    assert "3 runs" in repr(several)


def test_what_few_scores_cannot_tell() -> None:
    found = privaudit.evaluate(INSIDE[:20], OUTSIDE[:20])
    assert found.metrics["tpr_at_10_fpr"] is not None
    assert repr(found).count("(rough)") == 1
    assert found.metrics["tpr_at_1_fpr"] is None
    frame = found.to_frame()
    assert math.isnan(frame.loc["TPR at 1 % FPR", "value"])
    assert "not estimable" in frame.loc["TPR at 1 % FPR", "method"]
    assert "TPR at 1 % FPR         not estimable" in repr(found)
    assert "not estimable" in found._repr_html_()
    assert found._repr_html_().startswith("<table>")


def test_the_same_scores_give_the_same_result() -> None:
    assert privaudit.evaluate(INSIDE, OUTSIDE) == privaudit.evaluate(INSIDE, OUTSIDE)


@pytest.mark.parametrize(
    ("inside", "outside", "message"),
    [
        ([], [1.0], "in_scores: must be one-dimensional and not empty"),
        ([1.0], [], "out_scores: must be"),
        ([], [], "in_scores"),
        ([1.0, math.nan], [0.0], r"in_scores: 1 of 2 are not finite \(first at 1\)"),
        ([1.0], [math.inf], "out_scores: 1 of 1"),
        (np.ones((2, 2)), [0.0], r"in_scores: must be one-dimensional .* shape \[2, 2\]"),
        (3.0, [0.0], r"shape \[\]"),
        (["a"], [0.0], "must be numbers"),
        ([1j], [0.0], "must be numbers"),
        ([None], [0.0], "must be numbers"),
        ([[1.0], [2.0]], [[1.0]], "in_scores come from 2 runs, out_scores from 1"),
        ([[1.0], []], [[1.0], [2.0]], "in_scores"),
        ([[1.0, 2.0], 3.0], [0.0, 1.0], "in_scores"),
        ([[0.9], [0.5]], [[0.1], [0.2]], "2 runs of one score each.*as a flat array"),
        (torch.ones(2, dtype=torch.complex64), [0.0], "must be numbers, got complex64"),
        (torch.ones(2).to_sparse(), [0.0], "in_scores: not an array of numbers"),
        (pd.Series([1.0, None], dtype="Float64"), [0.0], "in_scores: 1 of 2 are not finite"),
        (np.ma.array([1.0, 2.0], mask=[0, 1]), [0.0], "in_scores: 1 of 2 are not finite"),
    ],
)
def test_scores_that_cannot_be_judged(inside: object, outside: object, message: str) -> None:
    with pytest.raises(ValueError, match=message) as refusal:
        privaudit.evaluate(inside, outside)  # type: ignore[arg-type]
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "inside",
    [
        torch.tensor(INSIDE, requires_grad=True),
        [torch.tensor(score, requires_grad=True) for score in INSIDE],
        torch.tensor(INSIDE, dtype=torch.bfloat16),
        pd.Series(INSIDE, dtype="Float64"),
        INSIDE.astype(np.float16),
    ],
)
def test_whatever_holds_the_numbers(inside: object) -> None:
    expected = privaudit.evaluate(INSIDE, OUTSIDE).auc.value
    found = privaudit.evaluate(inside, OUTSIDE)  # type: ignore[arg-type]
    assert found.auc.value == pytest.approx(expected, abs=0.005)  # bfloat16 rounds
    assert found.hints == ()


def test_probabilities_at_threshold_zero_get_a_hint() -> None:
    inside, outside = RNG.random(50), RNG.random(50)
    found = privaudit.evaluate(inside, outside)
    assert "probabilities" in found.hints[0]
    assert found.hints[0] in repr(found)
    assert found.hints[0] in found._repr_html_()
    assert privaudit.evaluate(inside, outside, threshold=0.5).hints == ()
    assert privaudit.evaluate([1, 1, 0], [0, 1, 0]).hints == ()  # labels: above 0 is 1
    assert "at or below" in privaudit.evaluate(-INSIDE - 9, -OUTSIDE - 9).hints[0]


def test_a_threshold_must_be_a_number() -> None:
    with pytest.raises(privaudit.UserError, match="threshold"):
        privaudit.evaluate([1.0], [0.0], threshold=math.nan)


scores = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=12)


@settings(max_examples=40)
@given(scores, scores)
def test_intervals_hold_their_value(inside: list[float], outside: list[float]) -> None:
    found = privaudit.evaluate(inside, outside)
    for interval in found.metrics.values():
        assert interval is None or interval.low <= interval.value <= interval.high
    assert 0 < found.p_value <= 1
