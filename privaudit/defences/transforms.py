"""What is done to deltas on their way into the average, in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch import Tensor

from privaudit.defences.clipping import Clipping
from privaudit.defences.noise import GaussianNoise
from privaudit.defences.protocol import At, Defence
from privaudit.defences.sharing import Share, Sharing
from privaudit.engine.layout import Layout
from privaudit.engine.recordwise import Recordwise
from privaudit.randomness import Seed

NOTHING_TOLD: Mapping[str, float] = {}


@dataclass(frozen=True)
class Transforms:
    """Clip to ``clip_norm`` (L2; None = off), add noise of deviation ``noise``, defend, share.

    ``clip_norm`` and ``noise`` are short for the steps ``clip`` and ``noise`` before ``defences``.
    """

    clip_norm: float | None = None
    noise: float = 0.0
    sharing: Sharing = field(default_factory=Sharing)
    defences: tuple[Defence, ...] = ()

    @property
    def steps(self) -> tuple[Defence, ...]:
        """The defences that are on, in the order in which clients apply them."""
        return tuple(step for step, _ in self._named)

    @property
    def in_training(self) -> Recordwise | None:
        """What clients do to the gradients that a delta is made of.

        Raises:
            ValueError: several steps do.
        """
        found = [t for step in self.defences if (t := step.in_training) is not None]
        if len(found) > 1:
            raise ValueError(f"{len(found)} steps that train: one treats gradients, not several")
        return found[0] if found else None

    @property
    def of_training(self) -> Transforms:
        """The steps that say how a delta is trained, alone."""
        return Transforms(defences=tuple(s for s in self.defences if s.in_training is not None))

    @property
    def has_memory(self) -> bool:
        """Whether a step needs what was in earlier rounds."""
        return any(step.has_memory for step in self.defences)

    @property
    def hides_single_deltas(self) -> bool:
        """Whether the server learns sums only."""
        return any(step.hides_single_deltas for step in self.defences)

    @property
    def averages_equally(self) -> bool:
        """Whether deltas count alike, over a number of clients fixed beforehand."""
        return any(step.averages_equally for step in self.defences)

    def apply(
        self,
        delta: Tensor,
        layout: Layout,
        seed: Seed,
        *,
        told: Mapping[str, float] = NOTHING_TOLD,
        memory: dict[str, Any] | None = None,
        notes: dict[str, list[float]] | None = None,
    ) -> Tensor:
        """The [P] vector that leaves the client.

        Args:
            delta: [P] of local training; it stays as it is.
            layout: which coordinates belong to which layer.
            seed: of this client and round.
            told: with the round, by the server.
            memory: of this client, by step; None where it has none.
            notes: what clients tell the server beside their deltas; added to.
        """
        for step, name in self._named:
            own = _own(memory, name)
            notes = {} if notes is None else notes
            at = At(layout, seed.child(*name), told=told, memory=own, notes=notes)
            delta = step.client(delta, at)
        return delta

    def aggregate(
        self,
        mean: Tensor,
        layout: Layout,
        seed: Seed,
        *,
        clients: int,
        told: Mapping[str, float] = NOTHING_TOLD,
        memory: dict[str, Any] | None = None,
        notes: dict[str, list[float]] | None = None,
    ) -> Tensor:
        """What the server sends out in place of the ``mean`` [P] over so many ``clients``."""
        for step, name in self._named:
            own = _own(memory, name)
            at = At(layout, seed.child(*name), clients, told, own, notes or {})
            mean = step.server(mean, at)
        return mean

    def stand_in(
        self,
        delta: Tensor,
        layout: Layout,
        seed: Seed,
        *,
        contributors: int,
        told: Mapping[str, float] = NOTHING_TOLD,
    ) -> Tensor:
        """A sent delta, such that a sum of ``contributors`` is as what the server sends out."""
        for step, name in self._named:
            delta = step.stand_in(delta, At(layout, seed.child(*name), told=told), contributors)
        return delta

    def tells(self, memory: Mapping[str, Any]) -> dict[str, float]:
        """What the server tells everybody with a round; ``memory`` is the server's, by step."""
        told: dict[str, float] = {}
        for step, name in self._named:
            told |= step.tells(memory.get("/".join(name), {}))
        return told

    def payload(self, sent: Tensor) -> int:
        """Bytes of a client's vector: 4 a value, where no step makes it fewer."""
        found = 4 * len(sent)
        for step in self.steps:
            own = step.payload(sent)
            found = found if own is None else own
        return found

    @cached_property
    def _named(self) -> tuple[tuple[Defence, tuple[str, ...]], ...]:
        """The steps, each with a name to draw by and to remember by."""
        return tuple(self._in_order())

    def _in_order(self) -> Iterator[tuple[Defence, tuple[str, ...]]]:
        if self.clip_norm is not None:
            yield Clipping(bound=self.clip_norm), ()
        if self.noise > 0:
            yield GaussianNoise(deviation=self.noise), ()
        for number, step in enumerate(self.defences):
            yield step, ("defence", str(number))
        if self.sharing.fraction < 1:
            yield Share(rule=self.sharing.rule, fraction=self.sharing.fraction), ()


def _own(memory: dict[str, Any] | None, name: tuple[str, ...]) -> dict[str, Any] | None:
    return None if memory is None else memory.setdefault("/".join(name), {})
