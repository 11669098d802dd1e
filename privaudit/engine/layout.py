"""How the parameters of a model lie in one flat vector: the vocabulary of every delta."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class ParameterSlice:
    """One parameter tensor: its name, shape and place [start, stop) in the flat vector."""

    name: str
    shape: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class Layout:
    """All parameter tensors of a model, in ``model.named_parameters()`` order."""

    slices: tuple[ParameterSlice, ...]

    @classmethod
    def of(cls, named_shapes: Sequence[tuple[str, Sequence[int]]]) -> Layout:
        """The layout of tensors with these names and shapes, one after the other."""
        slices, start = [], 0
        for name, shape in named_shapes:
            stop = start + math.prod(shape)
            slices.append(ParameterSlice(name, tuple(int(s) for s in shape), start, stop))
            start = stop
        return cls(tuple(slices))

    @property
    def size(self) -> int:
        """P, the number of parameters."""
        return self.slices[-1].stop if self.slices else 0

    def split(self, vector: np.ndarray) -> dict[str, np.ndarray]:
        """Views of a [..., P] array, by name, each [..., *shape]."""
        lead = vector.shape[:-1]
        return {s.name: vector[..., s.start : s.stop].reshape(*lead, *s.shape) for s in self.slices}

    def parts(self, most: int) -> Iterator[tuple[int, int, Layout]]:
        """Start, stop and layout of parts of a vector, of about ``most`` coordinates each.

        A part is some whole tensors, or some rows (at least one) of a larger tensor.
        """
        start, some = 0, list[ParameterSlice]()
        for piece in self.slices:
            if some and piece.stop - start > most:
                yield start, piece.start, Layout.of([(p.name, p.shape) for p in some])
                start, some = piece.start, []
            some.append(piece)
            if piece.stop - start <= most:
                continue
            row = math.prod(piece.shape[1:])
            # As many rows in each, or nearly: sums of a single column may be rounded otherwise.
            count = -(-piece.shape[0] // max(1, most // row))
            for rows in np.array_split(range(piece.shape[0]), count):
                stop = start + len(rows) * row
                yield start, stop, Layout.of([(piece.name, (len(rows), *piece.shape[1:]))])
                start = stop
            some = []
        if some:
            yield start, self.size, Layout.of([(p.name, p.shape) for p in some])

    def to_json(self) -> list[dict[str, Any]]:
        """Names and shapes, for a trace's manifest."""
        return [{"name": s.name, "shape": list(s.shape)} for s in self.slices]

    @classmethod
    def from_json(cls, rows: Sequence[dict[str, Any]]) -> Layout:
        """The inverse of :meth:`to_json`."""
        return cls.of([(row["name"], row["shape"]) for row in rows])
