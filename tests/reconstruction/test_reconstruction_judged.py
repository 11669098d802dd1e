"""What counts as rebuilt."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privaudit.evaluation.rebuilding import (
    MEASURES,
    MOST_DB,
    NUMBER,
    Rebuilt,
    errors_of,
    frequent_words,
    guessed,
    likeness,
    measured,
    psnr,
    ranges,
    rebuilt,
    words,
)


@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(0, 8))
def test_share_is_what_was_put_in(seed: int, batch: int, known: int) -> None:
    rng = np.random.default_rng(seed)
    truth, known = rng.standard_normal((batch, 6)), min(known, batch)
    truth *= 10.0 ** rng.integers(-3, 4, 6)
    scale = ranges(np.concatenate([truth, -truth]))
    off = truth + rng.choice([-0.009, 0.009], truth.shape) * scale
    far = truth + 0.02 * scale
    answer = rng.permutation(np.concatenate([off[:known], far[known:]]))
    assert rebuilt(truth, answer, scale) == pytest.approx(known / batch)


def test_a_large_column_does_not_hide_a_small_one() -> None:
    truth = np.array([[1000.0, 0.0], [0.0, 1.0]])
    assert rebuilt(truth, truth + np.array([0.0, 0.5]), ranges(truth)) == 0.0
    assert rebuilt(truth, truth + np.array([9.0, 0.009]), ranges(truth)) == 1.0
    assert ranges(np.array([[2.0, 1.0], [2.0, 4.0]])).tolist() == [1.0, 3.0]


def test_one_entry_does_not_count_for_two_records() -> None:
    twins = np.ones((2, 3))
    assert rebuilt(twins, twins[:1], 1.0) == 0.5
    assert rebuilt(twins, np.zeros((0, 3)), 1.0) == 0.0


def test_words() -> None:
    assert words(np.array([1, 2, 2, 3]), np.array([2, 3, 4])) == (2 / 3, 2 / 3)
    assert words(np.array([1]), np.array([], dtype=int)) == (0.0, 0.0)


def test_psnr_of_the_best_assignment() -> None:
    black, white = np.zeros((1, 2, 2)), np.ones((1, 2, 2))
    both = np.concatenate([black, white])
    assert likeness(both, both[::-1]) == MOST_DB
    assert likeness(black, black + 0.1) == pytest.approx(20.0)
    assert likeness(black, black - 0.1) == MOST_DB, "what is outside [0, 1] is cut off"
    grey = 10 * np.log10(4)
    assert likeness(black, black[:0]) == pytest.approx(grey)
    assert likeness(both, white) == pytest.approx((MOST_DB + grey) / 2), "one image, one record"


@pytest.mark.parametrize("seed", range(5))
def test_images_are_assigned_for_the_largest_sum_of_decibels(seed: int) -> None:
    # An exact image stays with its record, though squared errors would pair them otherwise.
    rng = np.random.default_rng(seed)
    truth = rng.random((3, 1, 2, 2))
    answer = np.concatenate([truth[:1], rng.random((2, 1, 2, 2))])
    each = [
        psnr(errors_of(truth, answer[list(order)])).sum()
        for order in itertools.permutations(range(3))
    ]
    assert likeness(truth, answer) >= max(each) / 3 - 1e-9


def test_a_guess_of_texts_is_the_words_that_most_texts_hold() -> None:
    # Words 1 to 3 stand in every text, one more word in each alone.
    own = np.array([[1, 2, 3, word, 0, 0] for word in range(10, 30)])
    guess = frequent_words(own, 2, np.random.default_rng(0))
    assert sorted(guess) == [1, 2, 3], "one of twenty more costs more precision than it gains"
    found = guessed("text", [own[:2]], own, 1.0, np.random.default_rng(0))
    assert (found["recall"], found["precision"]) == ([3 / 5], [1.0])
    assert found[NUMBER] == [pytest.approx(3 / 4)]


@given(st.integers(0, 10**6), st.integers(1, 12))
def test_no_other_number_of_frequent_words_does_better(seed: int, batch: int) -> None:
    rng = np.random.default_rng(seed)
    own = rng.zipf(1.5, (30, 8)) % 50
    guess = frequent_words(own, batch, np.random.default_rng(1))
    there = own[np.random.default_rng(1).permutation(30)[:batch]]  # the first batch of its own
    assert 0 not in guess
    assert len(np.unique(guess)) == len(guess)
    assert guessed("text", [there], own, 1.0, np.random.default_rng(1))[NUMBER][0] > 0


WORDS = {
    "measure": "words",
    "shares": [[1.0, 0.2], [0.1, 0.9]],
    "guess": [0.3, 0.4],
    "answered": [5, 6],
    "beside": {n: [0.5, 0.5] for n in ("recall", "precision", "guess_recall", "guess_precision")},
}


@pytest.mark.parametrize(
    "change",
    [
        {"measure": "letters"},
        {"shares": [[1.0, 0.2]]},
        {"shares": [[1.1, 0.2], [0.1, 0.9]]},
        {"shares": [[-0.1, 0.2], [0.1, 0.9]]},
        {"guess": [0.3, float("nan")]},
        {"guess": [0.3]},
        {"answered": [5, -1]},
        {"beside": {}},
        {"beside": WORDS["beside"] | {"recall": [0.5, 2.0]}},
        {"beside": WORDS["beside"] | {"recall": [0.5]}},
    ],
)
def test_numbers_no_judge_could_give_are_no_record(change: dict) -> None:
    assert Rebuilt(**WORDS).found == [1.0, 0.9]
    with pytest.raises(ValueError, match="1 validation error"):
        Rebuilt(**WORDS | change)


@pytest.mark.parametrize("kind", ["table", "image", "text"])
def test_answers_are_judged_beside_those_to_other_rounds(kind: str) -> None:
    rng = np.random.default_rng(3)
    shape = (4, 2, 6) if kind != "text" else (4, 2, 5)
    values = rng.random(shape) if kind != "text" else rng.integers(1, 60, shape)
    truth = list(values)
    answers = [
        [[float(w)] for w in np.unique(batch)] if kind == "text" else batch.tolist()
        for batch in truth
    ]
    answers[3] = []
    own = rng.random((5, 6)) if kind != "text" else rng.integers(1, 60, (5, 5))
    scale = ranges(own)
    guess = guessed(kind, truth, own, scale, rng)
    found = measured(kind, truth, answers, guess, scale)
    top = MEASURES[found.measure].top
    assert found.found[:3] == [top] * 3
    assert found.found[3] < top
    assert found.guess == guess[NUMBER]
    assert found.answered[3] == 0 < found.answered[0]
    assert max(found.shares[0][1:]) < top
    assert all(len(of) == 4 for of in found.beside.values())
    assert set(found.beside) == MEASURES[found.measure].names_beside
