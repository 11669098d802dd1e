"""Records that stand in the gradient of a first dense layer as they are.

For a layer z = W x + b the gradients of a batch are sums over its records,

    dW_i = sum_n dz_in x_n,    db_i = sum_n dz_in,

so that the row of a unit that only record n makes active (dz_in is 0 for all others) is a multiple
of that record, and dW_i / db_i is the record itself: L. Phong et al., "Privacy-Preserving Deep
Learning via Additively Homomorphic Encryption", IEEE TIFS 13(5), 2018, section III, equation (7);
for batches and ReLU: L. Fowl et al., "Robbing the Fed", ICLR 2022, section 2.

A row that several records share divides to a weighted mean of them. Which it is the adversary can
only tell by a second witness: two units with different weights on the same two records have
different means, two units with the same single record do not. Where all units weigh records alike,
up to a factor of their own (one hidden layer, two classes, the same units active), means agree as
well: an answer may hold means, and is judged by what was in the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ALIKE = 1e-3
"""Rows that differ by less than this share of the longer one are the same record."""

SURE = 100.0
"""A quotient counts if its divisor is so many times what it is uncertain by: right within 1 %."""


@dataclass(frozen=True, eq=False)
class Rebuilt:
    """What was found, the surest first.

    Attributes:
        records: [n, F] float64.
        witnesses: [n] how many units say so.
    """

    records: np.ndarray
    witnesses: np.ndarray

    def __len__(self) -> int:
        return len(self.records)

    def first(self, most: int) -> Rebuilt:
        """At most so many: an answer longer than the batch would be a list of guesses."""
        return Rebuilt(self.records[:most], self.witnesses[:most])


def single_units(
    weights: np.ndarray, biases: np.ndarray, *, rounding: np.ndarray | float, alike: float = ALIKE
) -> Rebuilt:
    """The quotients of the units with a gradient, each once, most witnesses first.

    Args:
        weights: [H, F] gradient of a first layer's weights; any multiple of it will do.
        biases: [H] of its biases, the same multiple.
        rounding: [H] by how much each bias gradient may be off, or one number for all.
        alike: see :data:`ALIKE`.
    """
    there = np.abs(biases) > SURE * np.asarray(rounding)
    rows = weights[there].astype(np.float64) / biases[there].astype(np.float64)[:, None]
    # Of one record the quotient with the largest divisor has lost least to rounding: it speaks.
    rows = rows[np.argsort(-np.abs(biases[there]), kind="stable")]
    lengths = np.linalg.norm(rows, axis=1)
    left = np.ones(len(rows), dtype=bool)
    found, witnesses = [], []
    for place, row in enumerate(rows):
        if left[place]:
            longer = np.maximum(lengths, lengths[place])
            same = left & (np.linalg.norm(rows - row, axis=1) <= alike * longer)
            left &= ~same
            left[place] = False  # also of a row of zeros, or of numbers that are none
            found.append(row)
            witnesses.append(max(1, int(same.sum())))
    counts = np.array(witnesses, dtype=np.int64)
    order = np.argsort(-counts, kind="stable")
    return Rebuilt(np.array(found).reshape(-1, weights.shape[1])[order], counts[order])
