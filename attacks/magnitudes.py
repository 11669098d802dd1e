"""What to look at in an aggregate: views of a [n, P] batch of deltas with RMS [n, 1].

A sum over clients hides the signed mean shift of one of them under the others' noise, and a few
records dominate it. But most coordinates of a gradient are zero or tiny unless *some* record of
the round switched a unit on, used a word or held a category; which ones did is read off the
order of magnitude, and a sum over many clients keeps it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from privaudit.engine.layout import Layout

POWER = 0.05
"""|g|^0.05 is close to log |g|, and finite at zero."""

FLOOR = 1e-4
"""Energies of rows and columns are relative to their tensor's and end here."""

CACHE = 1 << 19
"""Numbers that are looked at together."""


def magnitude(vectors: Tensor, _rms: Tensor) -> Tensor:
    """[n, P] orders of magnitude; exact zeros stand apart."""
    return vectors.abs().pow_(POWER)


def coarse_magnitude(vectors: Tensor, rms: Tensor) -> Tensor:
    """[n, P] logarithms, with everything below a thousandth of the row's RMS made equal."""
    return (vectors.abs() + 1e-3 * rms + torch.finfo(torch.float32).tiny).log_()


def signed_root(vectors: Tensor, _rms: Tensor) -> Tensor:
    """[n, P] signed square roots: the direction, with the pull of a few hard records tempered.

    F. Perronnin, J. Sanchez and T. Mensink, Improving the Fisher Kernel for Large-Scale Image
    Classification, ECCV 2010, section 3.2 (a Fisher vector is a sum of gradients, too).
    """
    return vectors.sign() * vectors.abs().sqrt_()


def structure(vectors: Tensor, layout: Layout) -> Tensor:
    """[n, F] log energy of every tensor, row and column, and share of non-zeros in each.

    A row is an output unit (or a word of an embedding), a column an input unit; kernels are summed.
    """
    tiny = torch.finfo(torch.float32).tiny
    features = []
    for piece in layout.slices:
        values = vectors[:, piece.start : piece.stop]
        if len(piece.shape) < 2:
            energy = values.square()
            total = energy.mean(1, keepdim=True) + tiny
            features += [total.log(), (energy / total + FLOOR).log_()]
            continue
        rows, columns = _means(values.unflatten(1, (*piece.shape[:2], -1)))
        total = rows[0].mean(1, keepdim=True) + tiny
        features.append(total.log())
        for energy, used in (rows, columns):
            features += [(energy / total + FLOOR).log_(), used]
    return torch.cat(features, dim=1)


def _means(values: Tensor) -> tuple[Tensor, Tensor]:
    """Of [n, R, C, k]: [2, n, R] of each row and [2, n, C] of each column.

    First the mean square, then the share of non-zeros; some rows at a time, which stay in the
    cache for both.
    """
    count, rows, columns, kernel = values.shape
    across, down = [], torch.zeros(2, count, columns)
    for part in values.split(max(1, CACHE // (count * columns * kernel)), 1):
        both = torch.empty(2, *part.shape)
        torch.square(part, out=both[0])
        torch.ne(part, 0.0, out=both[1])
        both = both.squeeze(4) if kernel == 1 else both.mean(4)
        across.append(both.mean(3))
        down += both.sum(2)
    return torch.cat(across, 2), down / rows
