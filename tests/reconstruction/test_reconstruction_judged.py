"""What counts as rebuilt."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privaudit.evaluation.rebuilding import mean_over_runs, rebuilt, words


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


def test_mean_over_runs() -> None:
    found = mean_over_runs([0.4, 0.5, 0.6])
    assert found.value == pytest.approx(0.5)
    # By hand: t(0.975, 2) = 4.3027, deviation 0.1.
    assert found.high - found.value == pytest.approx(4.3027 * 0.1 / 3**0.5, rel=1e-4)
    assert np.isnan(mean_over_runs([0.3]).low)
    assert mean_over_runs([0.9, 1.0]).high == 1.0
    assert mean_over_runs([0.0, 0.1]).low == 0.0
    assert mean_over_runs([0.0, 0.1], least=-1.0).low < 0
