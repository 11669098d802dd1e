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
    # One vector at a time: with a million parameters it stays in the cache, a batch does not.
    return torch.cat([_structure(vector.unsqueeze(0), layout) for vector in vectors])


def _structure(vectors: Tensor, layout: Layout) -> Tensor:
    features = []
    for piece in layout.slices:
        values = vectors[:, piece.start : piece.stop].square()
        total = values.mean(1, keepdim=True)
        features.append((total + torch.finfo(torch.float32).tiny).log())
        total = total + torch.finfo(torch.float32).tiny
        if len(piece.shape) < 2:
            features.append((values / total + FLOOR).log())
            continue
        values = values.reshape(len(vectors), *piece.shape[:2], -1)
        used = (values > 0).float()
        for axes in ((2, 3), (1, 3)):
            features += [(values.mean(axes) / total + FLOOR).log(), used.mean(axes)]
    return torch.cat(features, dim=1)
