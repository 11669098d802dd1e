"""Of a large model a part is looked at, and of sparse deltas what moves."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from privaudit.engine.layout import Layout
from privaudit_attacks.coordinates import moving, thinned

SHAPES = [("words", (50, 40)), ("filters", (6, 3, 2, 2)), ("bias", (6,)), ("out", (2, 6))]
LAYOUT = Layout.of(SHAPES)


def test_a_small_model_is_looked_at_as_it_is() -> None:
    indices, layout = thinned(LAYOUT, LAYOUT.size, np.random.default_rng(1))
    assert indices is None
    assert layout is LAYOUT


@given(limit=st.integers(100, LAYOUT.size - 1), seed=st.integers(0, 9))
def test_large_tensors_lose_columns_and_no_row(limit: int, seed: int) -> None:
    indices, layout = thinned(LAYOUT, limit, np.random.default_rng(seed))
    assert indices is not None
    kept = indices.numpy()
    assert (np.diff(kept) > 0).all()
    assert len(kept) == layout.size <= max(limit, 50 + 84)
    assert [piece.name for piece in layout.slices] == [piece.name for piece in LAYOUT.slices]
    for small, large in zip(layout.slices, LAYOUT.slices, strict=True):
        rows = (kept[small.start : small.stop] - large.start) // (
            (large.stop - large.start) // large.shape[0]
        )
        assert small.shape[0] == large.shape[0]
        assert (np.bincount(rows, minlength=large.shape[0]) == rows.size // large.shape[0]).all()


def test_what_moves_is_looked_at_first() -> None:
    deltas = torch.zeros(4, 100)
    deltas[1, 10:20], deltas[3, 15:30] = -1.0, 2.0
    rng = np.random.default_rng(1)
    assert moving(deltas, 20, rng).tolist() == list(range(10, 30))
    few = moving(deltas, 5, rng).tolist()
    assert len(set(few)) == 5
    assert set(few) <= set(range(10, 30))
    assert set(range(10, 30)) < set(moving(deltas, 40, rng).tolist())
    assert moving(deltas, 1000, rng).tolist() == list(range(100))
