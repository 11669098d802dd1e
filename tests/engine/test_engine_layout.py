"""The flat vector: a partition of the parameters, in their order."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from small_models import dense_engine

from privaudit.engine.layout import Layout

shapes = st.lists(st.lists(st.integers(1, 4), max_size=3), min_size=1, max_size=5)


@given(shapes)
def test_slices_tile_the_vector_and_split_gives_every_value_once(sizes: list[list[int]]) -> None:
    layout = Layout.of([(f"p{i}", size) for i, size in enumerate(sizes)])
    assert layout.size == sum(math.prod(size) for size in sizes)
    stacked = np.arange(2 * layout.size).reshape(2, layout.size)
    parts = layout.split(stacked)
    assert [p.shape for p in parts.values()] == [(2, *size) for size in sizes]
    joined = np.concatenate([p.reshape(2, -1) for p in parts.values()], axis=1)
    assert np.array_equal(joined, stacked)


@given(shapes)
def test_json_round_trip(sizes: list[list[int]]) -> None:
    layout = Layout.of([(f"p{i}", size) for i, size in enumerate(sizes)])
    assert Layout.from_json(layout.to_json()) == layout


def test_an_engine_lays_out_its_parameters_in_their_order() -> None:
    engine = dense_engine()
    parts = engine.layout.split(engine.initial.numpy())
    for name, parameter in engine.model.named_parameters():
        assert np.array_equal(parts[name], parameter.detach().numpy())


@given(shapes, st.integers(1, 30))
def test_parts_tile_the_vector_in_whole_tensors_or_rows_of_one(
    sizes: list[list[int]], most: int
) -> None:
    layout = Layout.of([(f"p{i}", size) for i, size in enumerate(sizes)])
    reached, rows = 0, dict.fromkeys((piece.name for piece in layout.slices), 0)
    for start, stop, part in layout.parts(most):
        assert start == reached
        assert stop - start == part.size
        assert part.size <= most or [piece.shape[:1] for piece in part.slices] == [(1,)]
        for piece in part.slices:
            rows[piece.name] += piece.shape[0] if piece.shape else 1
        reached = stop
    assert reached == layout.size
    assert list(rows.values()) == [piece.shape[0] if piece.shape else 1 for piece in layout.slices]
