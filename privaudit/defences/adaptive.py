"""Adaptive clipping: the bound follows a quantile of the clients' norms.

G. Andrew et al., Differentially Private Learning with Adaptive Clipping, NeurIPS 2021: each client
says with its delta whether that was within the bound; the server adds noise to the count and moves
the bound by exp(-rate x (share within - quantile)). What the count costs comes off the noise on the
deltas, z_delta = (z^-2 - (2 s)^-2)^-1/2 with s the deviation of the count, so that both together
promise what z alone would. The bound is told to everybody, the adversary too.

``update = "flower"`` is the arithmetic of DifferentialPrivacyClientSideAdaptiveClipping (flwr 1.42,
``serverapp/strategy/dp_adaptive_clipping.py``): there the count is of those that *were* clipped, so
that the bound shrinks where many are, and grows where few are: away from the quantile.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from privaudit.defences.clipping import clipped
from privaudit.defences.protocol import At, Defence, Place, normal

BOUND, WITHIN = "bound", "within the bound"


class AdaptiveClipping(Defence):
    """DP-FedAvg whose bound follows the norms."""

    averages_equally = True
    at_server = True

    kind: Literal["dp-adaptive"] = "dp-adaptive"
    bound: float = Field(
        0.1, ge=1e-9, le=1e12, description="largest L2 norm of a delta in the first round, above 0"
    )
    multiplier: float = Field(
        gt=0,
        le=1e9,
        description="deviation of the noise on the sum, in units of the bound, that the noise on "
        "sum and count is together as good as, above 0",
    )
    quantile: float = Field(
        0.5, ge=0, le=1, description="share of the deltas that the bound is to leave as they are"
    )
    rate: float = Field(0.2, gt=0, le=10, description="of the bound's steps, above 0, at most 10")
    count_deviation: float = Field(
        gt=0, le=1e9, description="deviation of the noise on the count; Andrew et al.: clients / 20"
    )
    update: Literal["paper", "flower"] = Field(
        "paper", description="paper (Andrew et al.) or flower (which moves the other way)"
    )

    @model_validator(mode="after")
    def _noise_is_left(self) -> Self:
        if self.multiplier >= 2 * self.count_deviation:
            raise ValueError(
                f"the noise on the count alone is less than a multiplier of {self.multiplier:g} "
                f"allows: count_deviation must be above {self.multiplier / 2:g}"
            )
        return self

    @property
    def has_memory(self) -> bool:
        """As :class:`.protocol.Defence`."""
        return True

    @property
    def words(self) -> str:
        """As :class:`.protocol.Defence`."""
        return (
            f"deltas clipped to a bound that follows the {self.quantile:g} quantile of norms, "
            f"Gaussian noise of {self.multiplier:g} times that on the sum, by the server"
        )

    def client(self, delta: Tensor, at: At) -> Tensor:
        """As :class:`.protocol.Defence`."""
        bound = self._bound(at.told)
        within = float(torch.linalg.vector_norm(delta)) <= bound
        at.notes.setdefault(WITHIN, []).append(float(within))
        return clipped(delta, bound)

    def server(self, mean: Tensor, at: At) -> Tensor:
        """As :class:`.protocol.Defence`."""
        bound = self._bound(at.told)
        if at.memory is not None:
            at.memory[BOUND] = self.moved(bound, at.notes.get(WITHIN, []), at)
        return normal(mean, self.delta_multiplier * bound / at.clients, at)

    def stand_in(self, delta: Tensor, at: At, contributors: int) -> Tensor:
        """As :class:`.protocol.Defence`."""
        return normal(delta, self.delta_multiplier * self._bound(at.told) / contributors**0.5, at)

    def tells(self, memory: Mapping[str, Any]) -> dict[str, float]:
        """As :class:`.protocol.Defence`."""
        return {BOUND: memory.get(BOUND, self.bound)}

    def noise(self, longest: float | None) -> tuple[Place, float] | None:
        """As :class:`.protocol.Defence`."""
        return "sum", self.multiplier

    @property
    def delta_multiplier(self) -> float:
        """What is left for the noise on the deltas, in units of the bound."""
        return float((self.multiplier**-2 - (2 * self.count_deviation) ** -2) ** -0.5)

    def moved(self, bound: float, within: list[float], at: At) -> float:
        """The bound of the next round.

        The half that is taken off each bit makes a client more or less change their sum by a half:
        hence the 2 in :attr:`delta_multiplier`.
        """
        noise = self.count_deviation * at.seed.generator("count").standard_normal()
        share = 0.5 + (sum(bit - 0.5 for bit in within) + noise) / at.clients
        off = share - self.quantile if self.update == "paper" else (1 - share) - self.quantile
        return bound * math.exp(-self.rate * off)

    def _bound(self, told: Mapping[str, float]) -> float:
        return told.get(BOUND, self.bound)
