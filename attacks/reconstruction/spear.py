"""A batch from the gradient of a dense ReLU layer: low rank times sparse.

D. Dimitrov, M. Baader, M. Mueller & M. Vechev, "SPEAR: Exact Gradient Inversion of Batches in
Federated Learning", NeurIPS 2024. In their notation dL/dW = dL/dZ X^T has rank b, the batch size:

1. a decomposition dL/dW = L R (section 3.1); that of the batch is L Q and Q^-1 R (theorem 3.2);
2. a column of dL/dZ = L Q is 0 wherever its record leaves a unit inactive, so for any b - 1 of
   these units the column of Q spans the kernel of their rows of L. Rows are drawn at random; where
   the direction they leave is 0 on many more units than it was made to be, it is one (section 3.2);
3. of the directions found, the sparsest that are independent make Q (section 3.3);
4. their scale: as dL/db = dL/dZ 1. Here biases are one more column of the gradient, a feature that
   is 1 in every record, which says the same and is one more column to tell records apart;
5. a set is the batch if a unit has a gradient exactly where its record makes it active
   ("sparsity matching", section 3.3); else sampling goes on.

A draw hits one given record with probability about 2^-(b-1): cost doubles with every record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

ZERO = 1e-4
"""An entry of dL/dZ is zero if it is below this share of its column's largest."""

MATCHED = 0.99
"""Share of (unit, record) at which gradient and activation must agree for a set to be the batch."""

AT_ONCE = 4096
"""Draws of one step."""

FEW = 64
"""Units on which a direction is looked at first."""

Why = Literal["rebuilt", "rank", "draws"]


@dataclass(frozen=True, eq=False)
class Batch:
    """What came of it.

    Attributes:
        records: [b, F] float64, empty unless rebuilt.
        why: ``rebuilt``; ``rank``: the gradient has not as many dimensions as the batch records;
            ``draws``: none was found in as many draws as were allowed.
        draws: how many were needed.
        matched: the best agreement of gradient and activation, in [0, 1].
    """

    records: np.ndarray
    why: Why
    draws: int
    matched: float


def most_records(units: int, features: int) -> int:
    """How many records a batch may have for its gradient to have as many dimensions."""
    return min(units, features + 1)


def spear(
    weight_gradient: np.ndarray,
    bias_gradient: np.ndarray,
    weights: np.ndarray,
    biases: np.ndarray,
    records: int,
    *,
    precision: float,
    most_draws: int,
    rng: np.random.Generator,
) -> Batch:
    """The records of a batch, or why not.

    Args:
        weight_gradient: [H, F] of the layer's weights, of the mean or the sum over the batch.
        bias_gradient: [H] of its biases, likewise.
        weights: [H, F] of the layer before the round.
        biases: [H] likewise.
        records: b, how many the batch has.
        precision: relative rounding of the gradients.
        most_draws: how long to try.
        rng: what the draws come from.
    """
    gradient = np.column_stack([weight_gradient, bias_gradient]).astype(np.float64)
    there = np.abs(gradient).max(axis=1, initial=0.0) > 0
    gradient = gradient[there]
    nothing = np.zeros((0, weights.shape[1]))
    if min(gradient.shape) < records:
        return Batch(nothing, "rank", 0, 0.0)
    left, sizes, right = np.linalg.svd(gradient, full_matrices=False)
    if sizes[records - 1] <= precision * np.sqrt(len(gradient)) * sizes[0]:
        return Batch(nothing, "rank", 0, 0.0)
    left, right = left[:, :records], sizes[:records, None] * right[:records]
    layer = np.column_stack([weights, biases]).astype(np.float64)[there]
    found, best, draws = _Directions(left), 0.0, 0
    while draws < most_draws:
        count = min(AT_ONCE, most_draws - draws)
        draws += count
        if not found.draw(count, rng):
            continue
        chosen = found.sparsest()
        if chosen is None:
            continue
        extended = np.linalg.solve(chosen, right)
        scale = extended[:, -1]
        if np.abs(scale).min() <= np.finfo(np.float64).eps * np.abs(scale).max():
            continue
        rebuilt = extended / scale[:, None]
        matched = _agreement(layer @ rebuilt.T, left @ chosen)
        best = max(best, matched)
        if matched >= MATCHED:
            return Batch(rebuilt[:, :-1], "rebuilt", draws, best)
    return Batch(nothing, "draws", draws, best)


class _Directions:
    """Columns of Q that were found, each of length 1 and once; ``left`` is L [h, b]."""

    def __init__(self, left: np.ndarray) -> None:
        self._left = left
        self._found = np.zeros((left.shape[1], 0))
        self._zeros = np.zeros(0, dtype=np.int64)

    def draw(self, count: int, rng: np.random.Generator) -> bool:
        """Try so many draws of rows; was a direction found that was not known?"""
        units, size = self._left.shape
        rows = rng.integers(units, size=(count, size - 1))
        rows = rows[(np.diff(np.sort(rows, axis=1), axis=1) > 0).all(axis=1)]
        count = len(rows)
        # The kernel of b - 1 rows, by a row more that it is to have the product 1 with.
        square = np.concatenate([self._left[rows], rng.standard_normal((count, 1, size))], axis=1)
        one = np.zeros((count, size, 1))
        one[:, -1] = 1.0
        try:
            kernels = np.linalg.solve(square, one)[:, :, 0]
        except np.linalg.LinAlgError:  # rows that depend on each other: draw again
            return False
        kernels = (kernels / np.linalg.norm(kernels, axis=1, keepdims=True)).T
        # Most directions are none, which a few units show: the made zeros are not among these.
        some = np.abs(self._left[rng.permutation(units)[:FEW]] @ kernels)
        kernels = kernels[:, (some <= 10 * ZERO * some.max(axis=0)).sum(axis=0) >= FEW // 10]
        values = np.abs(self._left @ kernels)
        zeros = (values <= ZERO * values.max(axis=0)).sum(axis=0)
        # b - 1 zeros were made; a chance direction has next to none besides.
        sparse = np.flatnonzero(zeros >= size - 1 + max(2, units // 10))
        before = self._found.shape[1]
        for place in sparse[np.argsort(-zeros[sparse], kind="stable")]:
            self._add(kernels[:, place], int(zeros[place]))
        return self._found.shape[1] > before

    def _add(self, direction: np.ndarray, zeros: int) -> None:
        if not (np.abs(direction @ self._found) > 1 - 1e-6).any():
            self._found = np.column_stack([self._found, direction])
            self._zeros = np.append(self._zeros, zeros)

    def sparsest(self) -> np.ndarray | None:
        """[b, b] independent ones, the sparsest first; None while there are not enough."""
        size = len(self._found)
        chosen = np.zeros((size, 0))
        spanned = np.zeros((size, 0))
        for place in np.argsort(-self._zeros, kind="stable"):
            direction = self._found[:, place]
            rest = direction - spanned @ (spanned.T @ direction)
            length = np.linalg.norm(rest)
            if length > 1e-4:
                chosen = np.column_stack([chosen, direction])
                spanned = np.column_stack([spanned, rest / length])
            if chosen.shape[1] == size:
                return chosen
        return None


def _agreement(activations: np.ndarray, slopes: np.ndarray) -> float:
    """Share of (unit, record) [h, b] with a slope where there is activation, and none elsewhere."""
    sloped = np.abs(slopes) > ZERO * np.abs(slopes).max(axis=0)
    return float(((activations > 0) == sloped).mean())
