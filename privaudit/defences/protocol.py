"""What a defence is: something a client does to its delta before it leaves."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from privaudit.engine.layout import Layout
from privaudit.randomness import Seed


class Defence(Protocol):
    """One step between local training and sending; a value: frozen, hashable, no state."""

    def apply(self, delta: Tensor, layout: Layout, seed: Seed) -> Tensor:
        """The [P] vector that goes on in place of ``delta``, which stays as it is.

        Args:
            delta: [P] what the step before handed on.
            layout: which coordinates belong to which layer.
            seed: of this client and round; name a child of it for what is drawn.
        """
