"""Audited rounds of one run, played once for all who watch them, in whatever way deltas are sent.

On a common trajectory all are at the parameters of one federation, which goes on as usual. Ways to
send that differ only in what is shared see the same batches, and those of a property the same
batches of everybody but the target, whose rounds with the property are other ones at each number of
participants; each batch is trained on once. With trajectories of their own, ways are federations of
their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from privaudit.custody.folder import RunFolder
from privaudit.custody.models import trained_buffers, trained_parameters
from privaudit.engine.engine import Engine
from privaudit.engine.process import KeptMemory
from privaudit.federation.partition import ADVERSARY
from privaudit.federation.phases import AuditedPhase, audited_work, natural_work
from privaudit.federation.rounds import (
    Active,
    ClientWork,
    LocalTraining,
    RoundObserver,
    Sending,
    run_round,
    run_sendings,
)
from privaudit.federation.schedule import PropertyPools, property_pools
from privaudit.randomness import Seed
from privaudit.scenario.grid import Cell
from privaudit.world import World

Memory = dict[str, dict[str, Any]]
Played = TypeVar("Played")


@dataclass(frozen=True, eq=False)
class Way:
    """Who watches the audited rounds of a cell, and who sends what there.

    Attributes:
        cell: of the game ``property``; run, property, participants and what is done to deltas
            count.
        observers: of its rounds.
        active: client -> who decides what it sends.
    """

    cell: Cell
    observers: Sequence[RoundObserver]
    active: Mapping[int, Active] = field(default_factory=dict)


def play(
    world: World, folder: RunFolder, engine: Engine, ways: Sequence[Way]
) -> tuple[Tensor, Tensor | None]:
    """Run the audited rounds of one run: with trajectories of their own, of one way.

    Returns:
        [P] the parameters after the last of them, and [B] the shared buffers; None where clients
        keep their own.
    """
    run, common = ways[0].cell.run, world.scenario.audit.trajectory == "common"
    assert common or len(ways) == 1
    usual = _UsualRounds(world, engine, run) if common else None
    before, buffers = trained_parameters(folder, run), trained_buffers(folder, run)
    federations, memory = _federations(world, ways), KeptMemory()
    for number in range(world.scenario.audit.rounds):
        step = usual.step(before, number) if usual else None
        outcomes = [
            outcome
            for seed, sendings in _sendings(federations, number).items()
            for outcome in run_sendings(
                engine,
                world.samples,
                before,
                sendings,
                round_number=number,
                seed=seed,
                step=step,
                buffers=buffers,
            )
        ]
        before, buffers = outcomes[0].after, outcomes[0].buffers
        memory.after_round()
    return before, buffers


def together(world: World, some: Sequence[Played]) -> list[Sequence[Played]]:
    """Those cells, or ways, that :func:`play` can play at once."""
    common = world.scenario.audit.trajectory == "common"
    return [some] if common else [[one] for one in some]


@dataclass(frozen=True, eq=False)
class _Federation:
    """Ways with the same clients and batches: they differ in what is shared.

    Attributes:
        seed: of all federations of a property; what everybody but the target draws from.
        own_seed: of this number of participants.
        present: [rounds] bool, the ground truth.
        ways: what is done to a delta before it is sent, who watches, who sends others, and what
            clients and server remember; None where rounds do not follow each other.
    """

    phase: AuditedPhase
    pools: PropertyPools
    seed: Seed
    own_seed: Seed
    present: np.ndarray
    ways: list[tuple[LocalTraining, Sequence[RoundObserver], Mapping[int, Active], Memory | None]]

    def sendings(self, number: int, known: dict[int, ClientWork]) -> list[Sending]:
        """What is sent in round ``number``; for ``known`` see :func:`audited_work`."""
        work = audited_work(
            self.pools,
            bool(self.present[number]),
            self.phase,
            number,
            self.seed,
            target_seed=self.own_seed,
            known=known,
        )
        return [Sending(work, *way) for way in self.ways]


def _sendings(federations: Sequence[_Federation], number: int) -> dict[Seed, list[Sending]]:
    """What is sent in round ``number``, by the seed that clients draw their batches from."""
    known: dict[Seed, dict[int, ClientWork]] = {}
    found: dict[Seed, list[Sending]] = {}
    for federation in federations:
        batches = known.setdefault(federation.seed, {})
        found.setdefault(federation.seed, []).extend(federation.sendings(number, batches))
    return found


def _federations(world: World, ways: Sequence[Way]) -> list[_Federation]:
    audit = world.scenario.audit
    found: dict[tuple[str, int], _Federation] = {}
    for way in ways:
        cell = way.cell
        phase = world.audited_phase(cell.rule, cell.fraction, cell.participants, cell.defence)
        key = (cell.property, cell.participants)
        if key not in found:
            partition = world.deal(cell.run).audited(cell.participants)
            pools = property_pools(
                world.dataset, partition, cell.property, audit.batch_size, audit.others
            )
            held_out = world.held_out(cell.run)
            own = pools.every[ADVERSARY]
            pools = replace(pools, every=(own[~np.isin(own, held_out)], *pools.every[1:]))
            seed = world.audit_seed(cell.run).child(cell.property)
            own_seed = seed.child("participants", cell.participants)
            present = world.presence(cell)
            found[key] = _Federation(phase, pools, seed, own_seed, present, [])
        memory: Memory | None = None if audit.trajectory == "common" else {}
        found[key].ways.append((phase.training, way.observers, way.active, memory))
    return list(found.values())


class _UsualRounds:
    """The federation that goes on as usual beside the audited rounds: what its model moves by."""

    def __init__(self, world: World, engine: Engine, run: int) -> None:
        participants = world.scenario.federation.participants
        self._engine, self._samples = engine, world.samples
        self._phase = world.audited_phase("all", 1.0, participants)
        self._partition = world.deal(run).training
        self._seed = world.audit_seed(run).child("trajectory", "usual")
        self._memory: Memory = {}

    def step(self, before: Tensor, number: int) -> Tensor:
        """[P], of round ``number`` at the parameters ``before``."""
        work = natural_work(self._partition, self._phase, number, self._seed)
        outcome = run_round(
            self._engine,
            self._samples,
            before,
            work,
            self._phase.training,
            round_number=number,
            seed=self._seed,
            memory=self._memory,
        )
        return outcome.delta if outcome.step is None else outcome.step
