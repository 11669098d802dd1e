"""The privacy filters of NVFlare, with the arithmetic of nvflare 2.9 (``app_common/filters``).

Filters of this framework take all layers together; ``steps`` is what it calls
NUM_STEPS_CURRENT_ROUND (by which it divides beforehand and multiplies afterwards), 1 where a client
does not send it.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from privaudit.defences.protocol import At, Defence

STEPS = Field(1, ge=1, le=10**6, description="local steps that a client reports, at least 1")


class PercentilePrivacy(Defence):
    """Only values from a percentile of the sizes on are sent, truncated to ``gamma``.

    R. Shokri and V. Shmatikov, Privacy-Preserving Deep Learning, CCS 2015; ``PercentilePrivacy``.
    """

    kind: Literal["nvflare-percentile"] = "nvflare-percentile"
    percentile: float = Field(
        10.0, ge=0, le=100, description="of the sizes; smaller values become 0; 0 to 100"
    )
    gamma: float = Field(0.01, gt=0, description="largest size of a value a step, above 0")
    steps: int = STEPS

    @property
    def words(self) -> str:
        """As :class:`.protocol.Defence`."""
        return (
            f"NVFlare's PercentilePrivacy: values below percentile {self.percentile:g} are 0, "
            f"the others at most {self.gamma:g}"
        )

    def client(self, delta: Tensor, at: At) -> Tensor:
        """As :class:`.protocol.Defence`."""
        per_step = delta.numpy() / self.steps
        cutoff = np.percentile(np.abs(per_step), self.percentile)
        small = (per_step > -cutoff) & (per_step < cutoff)
        kept = np.clip(np.where(small, 0.0, per_step), -self.gamma, self.gamma) * self.steps
        return torch.from_numpy(kept.astype(np.float32))

    def payload(self, sent: Tensor) -> int | None:
        """As :class:`.protocol.Defence`: NVFlare sends the zeros too."""
        return 4 * len(sent)

    def longest(self, before: float | None) -> float | None:
        """As :class:`.protocol.Defence`: no value grows."""
        return before


class SparseVector(Defence):
    """Values whose noisy size is above a noisy threshold, with noise of their own; ``SVTPrivacy``.

    Its ``epsilon`` is that of one value that is at most ``gamma``, by that framework's own count
    (pure composition over calls). It is no promise about a participant or a record here: none is
    accounted.
    """

    kind: Literal["nvflare-svt"] = "nvflare-svt"
    fraction: float = Field(0.1, gt=0, le=1, description="of the values that are sent, in (0, 1]")
    epsilon: float = Field(0.1, gt=0, description="for the choice of the values, above 0")
    noise_var: float = Field(
        0.1, gt=0, description="values get Laplace noise of scale 2 gamma / noise_var, above 0"
    )
    gamma: float = Field(1e-5, gt=0, description="largest size of a value a step, above 0")
    tau: float = Field(1e-6, ge=0, description="threshold before its noise, at least 0")
    replace: bool = Field(True, description="whether values are drawn with replacement")
    steps: int = STEPS

    @property
    def words(self) -> str:
        """As :class:`.protocol.Defence`."""
        return (
            f"NVFlare's SVTPrivacy: {100 * self.fraction:g} % of values, at most {self.gamma:g}, "
            f"chosen and noised (its epsilon {self.epsilon:g}, noise_var {self.noise_var:g})"
        )

    def client(self, delta: Tensor, at: At) -> Tensor:
        """As :class:`.protocol.Defence`."""
        if not bool(torch.isfinite(delta).all()):
            return delta  # it would be drawn from without end
        return torch.from_numpy(self.sent(delta.numpy(), at.seed.generator("svt")))

    def sent(self, delta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """[P] float32; what is drawn, in the order in which NVFlare draws it for a single array."""
        per_step = delta.astype(np.float64) / self.steps
        limited = np.clip(per_step, -self.gamma, self.gamma)
        count = min(math.ceil(len(delta) * self.fraction), len(delta))
        ratio = (2.0 * count) ** (2 / 3)
        threshold_epsilon = self.epsilon / (1 + ratio)
        query_epsilon = self.epsilon - threshold_epsilon
        threshold = self.tau + rng.laplace(scale=self.gamma / threshold_epsilon)
        query_scale = 2 * self.gamma * count / query_epsilon
        accepted = np.zeros(len(delta), dtype=bool)
        while accepted.sum() < count:
            left = np.flatnonzero(~accepted)
            noisy = np.abs(limited[left]) + rng.laplace(scale=query_scale, size=len(left))
            accepted[left[noisy >= threshold]] = True
        chosen = rng.choice(np.flatnonzero(accepted), size=count, replace=self.replace)
        noise = rng.laplace(scale=2 * self.gamma * count / (count * self.noise_var), size=count)
        found = np.zeros(len(delta), dtype=np.float32)
        found[chosen] = (limited[chosen] + noise) * self.steps
        return found

    def payload(self, sent: Tensor) -> int | None:
        """As :class:`.protocol.Defence`: NVFlare sends the zeros too."""
        return 4 * len(sent)
