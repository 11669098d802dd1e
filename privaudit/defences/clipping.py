"""Clipping: no delta is longer than a bound."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from privaudit.engine.layout import Layout
from privaudit.randomness import Seed


@dataclass(frozen=True)
class Clipping:
    """Scale a delta down to the L2 norm ``bound`` where it is longer."""

    bound: float

    def apply(self, delta: Tensor, layout: Layout, seed: Seed) -> Tensor:
        """As :class:`.protocol.Defence`."""
        norm = float(torch.linalg.vector_norm(delta))
        return delta * (self.bound / norm) if norm > self.bound else delta
