"""What a defence is: something done to deltas on their way from the clients into the average.

Or, of one of them, to the gradients that a delta is made of (:attr:`Defence.in_training`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from privaudit.engine.layout import Layout
from privaudit.engine.recordwise import Recordwise
from privaudit.options import Options
from privaudit.randomness import Seed

Place = Literal["delta", "sum"]
"""Where noise is added: at a client to its delta, or at the server to the sum of all."""


@dataclass(frozen=True)
class At:
    """Where and when a defence is at work.

    Attributes:
        layout: which coordinates belong to which layer.
        seed: of this client and round, or of the server and round: what is drawn, is drawn from it.
        clients: that the average is over, at the server; else 1.
        told: what the server told everybody with the round (:meth:`Defence.tells`).
        memory: what this client, or the server, keeps from round to round; None: it has no memory,
            as an adversary who plays a client has none.
        notes: what clients of the round tell the server beside their deltas, by name.
    """

    layout: Layout
    seed: Seed
    clients: int = 1
    told: Mapping[str, float] = field(default_factory=dict)
    memory: dict[str, Any] | None = None
    notes: dict[str, list[float]] = field(default_factory=dict)


class Defence(Options):
    """One step on the way of a delta; a value: frozen, hashable, without state of its own.

    A step that needs what was in earlier rounds says so (:attr:`has_memory`) and finds it in
    :attr:`At.memory`. Vectors are [P] and stay as they are.
    """

    hides_single_deltas: ClassVar[bool] = False
    """The server learns sums only."""
    at_server: ClassVar[bool] = False
    """The server does something to the mean (:meth:`server`)."""
    averages_equally: ClassVar[bool] = False
    """Deltas count alike, divided by the clients expected, whoever was refused or stayed away."""

    @property
    def has_memory(self) -> bool:
        """Whether it needs what was in earlier rounds."""
        return False

    @property
    def in_training(self) -> Recordwise | None:
        """What it does to the gradients of local training, before there is a delta."""
        return None

    @property
    def words(self) -> str:
        """What it does, in a few words for a report."""
        return type(self).__name__

    def client(self, delta: Tensor, at: At) -> Tensor:
        """What goes on in place of a client's ``delta``."""
        return delta

    def server(self, mean: Tensor, at: At) -> Tensor:
        """What is sent out in place of the ``mean`` over :attr:`At.clients` deltas."""
        return mean

    def stand_in(self, delta: Tensor, at: At, contributors: int) -> Tensor:
        """A delta such that a sum of ``contributors`` of them is as what the server sends out.

        For shadows: noise on the sum is as good as smaller noise on each part of it.
        """
        return delta

    def tells(self, memory: Mapping[str, Any]) -> dict[str, float]:
        """What the server tells everybody at the beginning of a round."""
        return {}

    def payload(self, sent: Tensor) -> int | None:
        """Bytes that a client's vector takes; None = as it was before this step."""
        return None

    # What an accountant needs to know (privaudit.defences.mechanism).

    def longest(self, before: float | None) -> float | None:
        """The largest L2 norm after it, if it is ``before`` it at most that; None = no limit."""
        return None

    def noise(self, longest: float | None) -> tuple[Place, float] | None:
        """Where it adds Gaussian noise, and the deviation of a coordinate's in units of a delta.

        None = it adds none; 0 = it cannot be said how long a delta is.

        Args:
            longest: the largest L2 norm of a delta that comes to it; None = no limit.
        """
        return None


def normal(delta: Tensor, deviation: float, at: At) -> Tensor:
    """``delta`` and independent normal numbers of this deviation."""
    drawn = torch.randn(len(delta), generator=at.seed.torch_generator("noise"))
    return delta + deviation * drawn
