"""What counts as rebuilt."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privaudit.evaluation.rebuilding import (
    GUESS,
    MEASURES,
    MOST_DB,
    guessed,
    likeness,
    measured,
    rebuilt,
    words,
)


@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(0, 8))
def test_share_is_what_was_put_in(seed: int, batch: int, known: int) -> None:
    rng = np.random.default_rng(seed)
    truth, known = rng.standard_normal((batch, 6)), min(known, batch)
    scale = np.abs(truth).max(axis=1, keepdims=True)
    off = truth + rng.choice([-0.009, 0.009], truth.shape) * scale
    far = truth + 0.02 * scale
    answer = rng.permutation(np.concatenate([off[:known], far[known:]]))
    assert rebuilt(truth, answer) == pytest.approx(known / batch)


def test_one_entry_does_not_count_for_two_records() -> None:
    twins = np.ones((2, 3))
    assert rebuilt(twins, twins[:1]) == 0.5
    assert rebuilt(twins, np.zeros((0, 3))) == 0.0


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


def test_a_guess_of_texts_has_as_many_as_stand_behind() -> None:
    own = np.arange(1, 41).reshape(20, 2)
    truth, rng = [own[:3]], np.random.default_rng(0)
    whole = guessed("text", truth, own, 20, rng)
    assert whole[GUESS] == [1.0]
    assert whole["precision"] == [pytest.approx(3 / 20)]
    assert guessed("text", truth, own, 1, rng)[GUESS][0] <= 1 / 3


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
    guess = guessed(kind, truth, own, 2, rng)
    found = measured(kind, truth, answers, guess)
    top = MEASURES[found.measure].top
    assert found.found[:3] == [top] * 3
    assert found.found[3] < top
    assert found.guess == guess[GUESS]
    assert found.answered[3] == 0 < found.answered[0]
    assert max(found.shares[0][1:]) < top
    assert all(len(of) == 4 for of in found.beside.values())
    assert set(found.beside) == {
        name for n in MEASURES[found.measure].beside for name in (n, f"guess_{n}")
    }
