"""Threat models as types.

An attack declares the least it needs to see (:attr:`Attack.view`); a trace offers one view. A
server sees everything a participant sees, so :class:`ServerView` is a :class:`ParticipantView`, and
"does this trace suffice?" is a subclass test.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from privaudit.engine.layout import Layout
from privaudit.errors import unknown_name

ROUNDING = 16.0
"""How many roundings of its parts a sum may be off by."""


@dataclass(frozen=True)
class Observation:
    """What is seen of one round; vectors are [P] float32.

    Attributes:
        round: 0-based.
        before: global parameters the round started from.
        global_delta: the aggregated delta that was sent out.
        own_delta: what the adversary sent itself (zero when it was not in the cohort).
        own_weight: c_n / c of the adversary in this round's average, in [0, 1].
        participants: clients whose deltas were averaged, the adversary included if it was one.
        step: what the global model moved by; None = by ``global_delta``.
        client_deltas: under :class:`ServerView` each client's delta; to a participant those of the
            clients that collude with it, mostly none.
        client_weights: of these clients c_n / c.
        target: under :class:`ServerView` the client of interest.
        precision: relative rounding of the deltas as they were stored.
        told: numbers that the server told everybody when the round began, by name.
        arrived: global parameters after the round, bit for bit, where they were stored themselves;
            None = ``before`` plus ``step``.
        server_round: the server's number of this round, from 1; None = not noted.
        span: server rounds between ``before`` and after; above 1 what was sent in them is summed.
        own_weight_known: False where ``own_weight`` is a guess.
        quantum: absolute rounding step of ``global_delta``, where those who sent or summed it
            rounded; 0 = they did not.
        buffers: [B] what else the server sends out (BatchNorm statistics), after the round, in the
            order of the manifest; None = not seen.
        own_buffers: [B] the same as the adversary sent it itself.
        buffers_before: [B] as it was handed out when the round began.
    """

    round: int
    before: Tensor
    global_delta: Tensor
    own_delta: Tensor
    own_weight: float
    participants: int
    step: Tensor | None = None
    client_deltas: dict[int, Tensor] = field(default_factory=dict)
    client_weights: dict[int, float] = field(default_factory=dict)
    target: int | None = None
    precision: float = torch.finfo(torch.float32).eps
    told: Mapping[str, float] = field(default_factory=dict)
    arrived: Tensor | None = None
    server_round: int | None = None
    span: int = 1
    own_weight_known: bool = True
    quantum: float = 0.0
    buffers: Tensor | None = None
    own_buffers: Tensor | None = None
    buffers_before: Tensor | None = None

    @property
    def number(self) -> int:
        """Of the round from the federation's start, from 0: where its schedules are."""
        return self.round if self.server_round is None else max(0, self.server_round - 1)

    @property
    def after(self) -> Tensor:
        """Global parameters after the round."""
        if self.arrived is not None:
            return self.arrived
        return self.before + (self.global_delta if self.step is None else self.step)

    @property
    def signal(self) -> Tensor:
        """What remains to look at: the sum of the deltas the adversary did not send itself.

        A participant subtracts its own share from the aggregate (Melis et al. 2019, section IV-B),
        and those of who collude with it, and undoes the averaging with its own weight, which
        assumes equal weights. A server takes the target's delta.
        """
        if self.target is not None:
            return self.client_deltas.get(self.target, torch.zeros_like(self.before))
        scale = 1.0 / self.own_weight if self.own_weight > 0 else float(self.participants)
        rest = self.global_delta - self.own_weight * self.own_delta
        for client, delta in self.client_deltas.items():
            rest = rest - self.client_weights[client] * delta
        return rest * scale

    @property
    def known(self) -> Tensor:
        """Sum of the absolute values of what a participant subtracts, in units of :attr:`signal`.

        What is left of a coordinate that nobody else moved is what float32 rounds away of this.
        """
        total = self.own_delta.abs()
        for client, delta in self.client_deltas.items():
            total = total + self.client_weights[client] / self.own_weight * delta.abs()
        return total

    @property
    def rounding(self) -> Tensor:
        """[P] by how much a coordinate of :attr:`signal` may be off: what rounding leaves of it.

        A coordinate that nobody but the adversary moved is no further from zero.
        """
        parts, quantum = self.global_delta.abs(), self.quantum
        if self.target is None and self.own_weight > 0:
            parts = parts / self.own_weight + self.known
            quantum = quantum / self.own_weight
        return ROUNDING * self.precision * parts + quantum

    @property
    def contributors(self) -> int:
        """How many honest deltas are summed in :attr:`signal`."""
        if self.target is not None:
            return 1
        return self.participants - (1 if self.own_weight > 0 else 0) - len(self.client_deltas)


class Rounds(Protocol):
    """What a view looks through: the rounds of a trace, in order, all with one layout."""

    @property
    def layout(self) -> Layout:
        """How the parameters lie in the vectors."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Observation]: ...


class OutsiderView:
    """Somebody who never took part: what everybody can read (:mod:`.public`), and no trace."""

    name: ClassVar[str] = "outsider"


class SumView(OutsiderView):
    """Sums of what others sent, round by round, and what a public ledger says of who took part."""

    name: ClassVar[str] = "sum"


class ParticipantView(SumView):
    """A passive participant: global parameters before and after, its own delta, the head count.

    And the deltas of those who collude with it, if there are any.
    """

    name: ClassVar[str] = "participant"

    def __init__(self, rounds: Rounds) -> None:
        self._rounds = rounds

    def __len__(self) -> int:
        return len(self._rounds)

    def __iter__(self) -> Iterator[Observation]:
        return iter(self._rounds)

    @property
    def layout(self) -> Layout:
        """How the parameters lie in the vectors."""
        return self._rounds.layout


class ServerView(ParticipantView):
    """An honest-but-curious server: every client's delta on its own. For comparison."""

    name: ClassVar[str] = "server"


VIEWS: dict[str, type[ParticipantView]] = {v.name: v for v in (ParticipantView, ServerView)}


def view_named(name: str) -> type[ParticipantView]:
    """The threat model with this name."""
    if name not in VIEWS:
        raise unknown_name("threat model", name, VIEWS)
    return VIEWS[name]
