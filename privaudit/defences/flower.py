"""Flower's local differential privacy (flwr 1.42, ``clientapp/mod/localdp_mod.py``).

Its fixed and adaptive clipping are :mod:`.central` and :mod:`.adaptive`.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field
from torch import Tensor

from privaudit.defences.clipping import clipped
from privaudit.defences.protocol import At, Defence, Place, normal


class LocalDP(Defence):
    """``LocalDpMod``: clip, then noise of deviation sensitivity x sqrt(2 ln(1.25 / δ)) / ε.

    What is accounted is this noise against ``clipping_norm``, whatever ``sensitivity`` and
    ``epsilon`` say: they are the mod's own count, of one round.
    """

    kind: Literal["flower-local-dp"] = "flower-local-dp"
    clipping_norm: float = Field(ge=1e-9, le=1e12, description="largest L2 norm, above 0")
    sensitivity: float = Field(gt=0, le=1e12, description="as the mod is told, above 0")
    epsilon: float = Field(gt=0, le=1e9, description="as the mod is told, above 0")
    delta: float = Field(gt=0, lt=1, description="as the mod is told, in (0, 1)")

    @property
    def words(self) -> str:
        """As :class:`.protocol.Defence`."""
        return (
            f"Flower's LocalDpMod: deltas clipped to L2 norm {self.clipping_norm:g}, Gaussian "
            f"noise of deviation {self.deviation:.3g} on each coordinate, by clients"
        )

    @property
    def deviation(self) -> float:
        """Of the noise on each coordinate."""
        return self.sensitivity * math.sqrt(2 * math.log(1.25 / self.delta)) / self.epsilon

    def client(self, delta: Tensor, at: At) -> Tensor:
        """As :class:`.protocol.Defence`."""
        return normal(clipped(delta, self.clipping_norm), self.deviation, at)

    def noise(self, longest: float | None) -> tuple[Place, float] | None:
        """As :class:`.protocol.Defence`."""
        before = self.clipping_norm if longest is None else min(longest, self.clipping_norm)
        return "delta", self.deviation / before
