"""Fewer bits a value: what saves traffic, and is often taken for a defence."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from privaudit.defences.protocol import At, Defence

RESIDUAL = "residual"


class Quantisation(Defence):
    """Values as whole multiples of the largest one over 2^(bits-1) - 1.

    D. Alistarh et al., QSGD, NeurIPS 2017, with the largest value as scale.
    """

    kind: Literal["quantise"] = "quantise"
    bits: int = Field(8, ge=2, le=16, description="a value, its sign included, 2 to 16")
    rounding: Literal["stochastic", "nearest"] = Field(
        "stochastic", description="stochastic (right on average) or nearest"
    )

    @property
    def words(self) -> str:
        """As :class:`.protocol.Defence`."""
        return f"deltas quantised to {self.bits} bits ({self.rounding} rounding)"

    def client(self, delta: Tensor, at: At) -> Tensor:
        """As :class:`.protocol.Defence`."""
        largest = float(delta.abs().max())
        if not 0 < largest < float("inf"):
            return delta  # nothing to round; what is not finite is for the server to refuse
        grid = largest / (2 ** (self.bits - 1) - 1)
        return grid * rounded(delta / grid, at if self.rounding == "stochastic" else None)

    def payload(self, sent: Tensor) -> int | None:
        """As :class:`.protocol.Defence`: the values, and their scale."""
        return -(-len(sent) * self.bits // 8) + 4


class Sign(Defence):
    """One bit a value: its sign, times the mean size of all; what that leaves out is sent later.

    S. P. Karimireddy et al., Error Feedback Fixes SignSGD, ICML 2019.
    """

    kind: Literal["sign"] = "sign"
    feedback: bool = Field(
        True, description="whether a client adds to a delta what the rounds before left out of it"
    )

    @property
    def has_memory(self) -> bool:
        """As :class:`.protocol.Defence`."""
        return self.feedback

    @property
    def words(self) -> str:
        """As :class:`.protocol.Defence`."""
        return f"signs times the mean size{', with error feedback' if self.feedback else ''}"

    def client(self, delta: Tensor, at: At) -> Tensor:
        """As :class:`.protocol.Defence`."""
        memory = at.memory if self.feedback else None
        whole = delta if memory is None else delta + memory.get(RESIDUAL, torch.zeros_like(delta))
        sent = whole.abs().mean() * whole.sign()
        if memory is not None and bool(torch.isfinite(sent).all()):
            memory[RESIDUAL] = whole - sent
        return sent

    def payload(self, sent: Tensor) -> int | None:
        """As :class:`.protocol.Defence`: the bits, and their scale."""
        return -(-len(sent) // 8) + 4


def rounded(values: Tensor, at: At | None) -> Tensor:
    """Whole numbers, right on average where ``at`` says what to draw from; else the nearest."""
    if at is None:
        return values.round()
    drawn = torch.rand(len(values), generator=at.seed.torch_generator("rounding"))
    return (values + drawn).floor()
