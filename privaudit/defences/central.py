"""Central differential privacy for participants: clip at the clients, noise on the sum.

H. B. McMahan et al., Learning Differentially Private Recurrent Language Models, ICLR 2018
(DP-FedAvg with flat clipping and a fixed denominator): every delta counts alike, the sum gets
Gaussian noise of ``multiplier`` times the bound, and is divided by the number of clients expected.
Flower's DifferentialPrivacyClientSideFixedClipping does the same (flwr 1.42,
``supercore/differential_privacy.py``: scale by min(1, C / norm); noise of deviation z C / n on the
mean of n clients).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from privaudit.defences.clipping import clipped
from privaudit.defences.protocol import At, Defence, Place, normal


class CentralDP(Defence):
    """DP-FedAvg: clients clip to ``bound``, the server adds noise to the sum."""

    averages_equally = True
    at_server = True

    kind: Literal["dp-fedavg"] = "dp-fedavg"
    bound: float = Field(ge=1e-9, le=1e12, description="largest L2 norm of a delta, above 0")
    multiplier: float = Field(
        gt=0,
        le=1e9,
        description="deviation of the sum's noise, in units of the bound, above 0",
    )

    @property
    def words(self) -> str:
        """As :class:`.protocol.Defence`."""
        return (
            f"DP-FedAvg: deltas clipped to L2 norm {self.bound:g}, Gaussian noise of "
            f"{self.multiplier:g} times that on the sum, by the server"
        )

    def client(self, delta: Tensor, at: At) -> Tensor:
        """As :class:`.protocol.Defence`."""
        return clipped(delta, self.bound)

    def server(self, mean: Tensor, at: At) -> Tensor:
        """As :class:`.protocol.Defence`."""
        return normal(mean, self._deviation / at.clients, at)

    def stand_in(self, delta: Tensor, at: At, contributors: int) -> Tensor:
        """As :class:`.protocol.Defence`."""
        return normal(delta, self._deviation / contributors**0.5, at)

    def longest(self, before: float | None) -> float | None:
        """As :class:`.protocol.Defence`."""
        return self.bound if before is None else min(before, self.bound)

    def noise(self, longest: float | None) -> tuple[Place, float] | None:
        """As :class:`.protocol.Defence`."""
        return "sum", self.multiplier

    @property
    def _deviation(self) -> float:
        return self.multiplier * self.bound
