"""Clipping: no delta is longer than a bound."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from privaudit.defences.protocol import At, Defence


class Clipping(Defence):
    """Scale a delta down to the L2 norm ``bound`` where it is longer."""

    kind: Literal["clip"] = "clip"
    bound: float = Field(ge=1e-9, le=1e12, description="largest L2 norm of a delta, above 0")

    @property
    def words(self) -> str:
        """As :class:`.protocol.Defence`."""
        return f"deltas clipped to L2 norm {self.bound:g}"

    def client(self, delta: Tensor, at: At) -> Tensor:
        """As :class:`.protocol.Defence`."""
        return clipped(delta, self.bound)

    def longest(self, before: float | None) -> float | None:
        """As :class:`.protocol.Defence`."""
        return self.bound if before is None else min(before, self.bound)


def clipped(delta: Tensor, bound: float) -> Tensor:
    """``delta``, scaled down to the L2 norm ``bound`` where it is longer."""
    norm = float(torch.linalg.vector_norm(delta))
    return delta * (bound / norm) if norm > bound else delta
