"""Gaussian noise on every coordinate.

A defence to measure, not a differential-privacy guarantee: no accounting is done.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from privaudit.engine.layout import Layout
from privaudit.randomness import Seed


@dataclass(frozen=True)
class GaussianNoise:
    """Add independent normal numbers of this ``deviation``."""

    deviation: float

    def apply(self, delta: Tensor, layout: Layout, seed: Seed) -> Tensor:
        """As :class:`.protocol.Defence`."""
        drawn = torch.randn(len(delta), generator=seed.torch_generator("noise"))
        return delta + self.deviation * drawn
