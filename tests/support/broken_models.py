"""A model that works until it is told how to end."""

from __future__ import annotations

import os

from torch import Tensor, nn


class Sound(nn.Module):
    """Another model, until ``ends`` says otherwise."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.ends = inner, ""

    def forward(self, inputs: Tensor) -> Tensor:
        if self.ends == "failing":
            raise LookupError("no such layer")
        if self.ends == "leaving":
            os._exit(3)
        logits: Tensor = self.inner(inputs)
        return logits


class Tiring(nn.Module):
    """A model that works for so many steps."""

    def __init__(self, num_classes: int, side: int, steps: int) -> None:
        super().__init__()
        self.layer = nn.Linear(side * side, num_classes)
        self.left = steps

    def forward(self, inputs: Tensor) -> Tensor:
        if self.training:
            self.left -= 1
        if self.left < 0:
            raise KeyError("tired")
        logits: Tensor = self.layer(inputs.flatten(1).float())
        return logits
