"""Which coordinates are looked at: of a large model a part, of sparse deltas what moves."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from privaudit.engine.layout import Layout


def thinned(layout: Layout, limit: int, rng: np.random.Generator) -> tuple[Tensor | None, Layout]:
    """Sorted indices [D] and layout of the same model with fewer columns in its large matrices.

    Rows stay: a row is a unit or a word, and a few of its columns tell whether it is active.

    Args:
        layout: P coordinates.
        limit: the large tensors are cut to an equal share of about this many coordinates.
        rng: which columns are kept.

    Returns:
        None and the layout itself where P is within the limit.
    """
    if layout.size <= limit:
        return None, layout
    share = _share([piece.stop - piece.start for piece in layout.slices], limit)
    indices, shapes = [], []
    for piece in layout.slices:
        rows, rest = piece.shape[0], math.prod(piece.shape[1:])
        whole = np.arange(piece.start, piece.stop).reshape(rows, rest)
        shape = piece.shape
        if rows * rest > share and len(shape) > 1:
            columns = np.sort(rng.choice(rest, max(1, int(share) // rows), replace=False))
            whole, shape = whole[:, columns], (rows, len(columns))
        indices.append(whole.ravel())
        shapes.append((piece.name, shape))
    return torch.from_numpy(np.concatenate(indices)), Layout.of(shapes)


def moving(deltas: Tensor, limit: int, rng: np.random.Generator) -> Tensor:
    """Sorted indices of at most ``limit`` coordinates, first those where a row [n, P] moves."""
    order = rng.permutation(deltas.shape[1])
    moved = deltas.any(0).numpy()[order]
    chosen = order[np.argsort(~moved, kind="stable")][:limit]
    return torch.from_numpy(np.sort(chosen))


def _share(sizes: list[int], limit: int) -> float:
    """The size to which the largest are cut so that all add up to ``limit``."""
    left = float(limit)
    for number, size in enumerate(sorted(sizes)):
        share = left / (len(sizes) - number)
        if size > share:
            return share
        left -= size
    return math.inf
