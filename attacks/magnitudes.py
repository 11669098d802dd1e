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
    # A few vectors at a time, so that they stay in the cache.
    parts = vectors.split(max(1, CACHE // max(1, layout.size)))
    return torch.cat([_structure(part, layout) for part in parts])


def _structure(vectors: Tensor, layout: Layout) -> Tensor:
    tiny = torch.finfo(torch.float32).tiny
    count = len(vectors)
    # Energies above, non-zeros below: one pass over both.
    both = torch.empty(2 * count, layout.size)
    torch.square(vectors, out=both[:count])
    torch.ne(vectors, 0.0, out=both[count:])
    features = []
    for piece in layout.slices:
        values = both[:, piece.start : piece.stop]
        total = values[:count].mean(1, keepdim=True) + tiny
        features.append(total.log())
        if len(piece.shape) < 2:
            features.append((values[:count] / total + FLOOR).log_())
            continue
        values = values.reshape(2 * count, *piece.shape[:2], -1)
        values = values.squeeze(3) if values.shape[3] == 1 else values.mean(3)
        for axis in (2, 1):
            means = values.mean(axis)
            features += [(means[:count] / total + FLOOR).log_(), means[count:]]
    return torch.cat(features, dim=1)
