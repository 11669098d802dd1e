"""Gaussian noise that clients add to every coordinate.

What it promises depends on what came before it (:mod:`privaudit.defences.mechanism`): without a
bound on how long a delta is, nothing.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from privaudit.defences.protocol import At, Defence, Place, normal


class GaussianNoise(Defence):
    """Add independent normal numbers of this ``deviation``."""

    kind: Literal["noise"] = "noise"
    deviation: float = Field(gt=0, le=1e12, description="of each coordinate's noise, above 0")

    @property
    def words(self) -> str:
        """As :class:`.protocol.Defence`."""
        return f"Gaussian noise of deviation {self.deviation:g} on each coordinate, by clients"

    def client(self, delta: Tensor, at: At) -> Tensor:
        """As :class:`.protocol.Defence`."""
        return normal(delta, self.deviation, at)

    def noise(self, longest: float | None) -> tuple[Place, float] | None:
        """As :class:`.protocol.Defence`."""
        return "delta", 0.0 if longest is None else self.deviation / longest
