"""Secure aggregation: the server learns the sum and no single delta.

K. Bonawitz et al., Practical Secure Aggregation for Privacy-Preserving Machine Learning, CCS 2017.
What a participant sees is the sum as before, so of the protocol only what it does to numbers is
simulated: its masks cancel exactly, as they are whole numbers modulo 2^32, to which values must be
brought. The range is that of Flower's SecAgg+ (flwr 1.42): values clipped to 8, 2^22 steps.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from privaudit.defences.protocol import At, Defence
from privaudit.defences.quantising import rounded


class SecureAggregation(Defence):
    """Values as whole numbers that are added up behind masks."""

    hides_single_deltas = True
    averages_equally = True  # a weight that only its client knows would be a number it could invent

    kind: Literal["secure-aggregation"] = "secure-aggregation"
    clipping_range: float = Field(
        8.0, gt=0, le=1e6, description="values are clipped to plus and minus this, above 0"
    )
    quantisation_range: int = Field(
        2**22, ge=2, le=2**30, description="steps that this range is divided into, 2 to 2^30"
    )

    rounding: Literal["towards-zero", "stochastic"] = Field(
        "towards-zero",
        description="towards-zero (no delta grows, so that what was clipped before stays within "
        "its bound) or stochastic (as in Flower)",
    )

    @property
    def words(self) -> str:
        """As :class:`.protocol.Defence`."""
        return (
            f"secure aggregation: values within {self.clipping_range:g} in "
            f"{self.quantisation_range:,} steps, the server sees sums only"
        )

    def client(self, delta: Tensor, at: At) -> Tensor:
        """As :class:`.protocol.Defence`."""
        grid = 2 * self.clipping_range / self.quantisation_range
        inside = delta.clamp(-self.clipping_range, self.clipping_range)
        steps = inside / grid
        return grid * (rounded(steps, at) if self.rounding == "stochastic" else steps.trunc())

    def longest(self, before: float | None) -> float | None:
        """As :class:`.protocol.Defence`."""
        return before if self.rounding == "towards-zero" else None

    def payload(self, sent: Tensor) -> int | None:
        """As :class:`.protocol.Defence`: a whole number modulo 2^32 for each value."""
        return 4 * len(sent)
