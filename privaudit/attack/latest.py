"""What is computed of a round once, for everybody who asks."""

from __future__ import annotations

from typing import Generic, TypeVar

import torch
from torch import Tensor

from privaudit.observation.views import Observation

Key = TypeVar("Key")


class LatestRound(Generic[Key]):
    """Tensors by key, of the latest round only: memory does not grow with the rounds."""

    def __init__(self) -> None:
        self._number = -1
        self._before: Tensor | None = None
        self._known: dict[Key, Tensor] = {}

    def at(self, observation: Observation) -> dict[Key, Tensor]:
        """What is known at the number and the parameters of this round, to be added to."""
        before = observation.before
        same = before is self._before or (  # the same observation: there is nothing to compare
            self._before is not None and torch.equal(self._before, before)
        )
        if not same or self._number != observation.round:
            self._number, self._known = observation.round, {}
        self._before = before
        return self._known
