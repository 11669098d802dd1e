"""The game ``property``: in which rounds did the target's records have a property?

Melis et al., IEEE S&P 2019, section VI-B. The rounds are audited ones: batches are drawn so that
the target's holds the property or not (:mod:`privaudit.federation.schedule`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from privaudit.attack.adversary import Adversary, AuxiliaryData
from privaudit.custody.evidence import EvidenceCollector
from privaudit.custody.folder import RunFolder
from privaudit.custody.models import trained_buffers, trained_parameters
from privaudit.engine.engine import Engine
from privaudit.federation.partition import ADVERSARY, TARGET
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
from privaudit.federation.schedule import (
    PropertyPools,
    property_pools,
)
from privaudit.games.active import ActiveParticipant
from privaudit.games.ending import Endings, costs_of, keep_ending, last_model, price_of
from privaudit.games.listening import chosen_samples, evidence_of, tap_on
from privaudit.games.protocol import Game
from privaudit.observation.tap import Tap
from privaudit.randomness import Seed
from privaudit.scenario.grid import Cell, cells_of
from privaudit.scenario.schema import PROPERTY
from privaudit.world import World


class Property(Game):
    """See the module."""

    name = PROPERTY

    def check(self, world: World) -> None:
        """An active participant needs a model with a last shared representation."""
        if world.scenario.audit.alpha is not None:
            active_in(world, next(c for c in cells_of(world.scenario) if c.game == PROPERTY))

    def observe(
        self, world: World, folder: RunFolder, cells: Sequence[Cell]
    ) -> dict[Cell, EvidenceCollector]:
        """See :func:`observe_cells`."""
        return observe_cells(world, folder, cells)

    def facts(self, world: World, folder: RunFolder, cell: Cell) -> dict[str, float]:
        """What an active participant's deltas did to the main task, and how they stood out.

        What a defence costs, where the scenario names some.
        """
        active = world.scenario.audit.alpha is not None
        return (costs_of(folder, cell) if active else {}) | price_of(world, folder, cell)

    def given(self, world: World, cells: Sequence[Cell]) -> dict[Cell, Adversary]:
        """Cells whose adversary owns the same records share its work on the shadows of a round."""
        adversaries: dict[tuple[str, bytes], Adversary] = {}
        found = {}
        for cell in cells:
            key = (cell.property, _auxiliary_records(world, cell).tobytes())
            if key not in adversaries:
                adversaries[key] = adversary_of(world, cell)
            found[cell] = adversaries[key].among(world.rules(cell))
        return found


def observe_cells(
    world: World, folder: RunFolder, cells: Sequence[Cell]
) -> dict[Cell, EvidenceCollector]:
    """Run the audited rounds of some cells of one run under the tap.

    On a common trajectory all cells are observed at the parameters of one federation, which goes
    on as usual. Cells that differ only in what is shared see the same batches, and those of a
    property the same batches of everybody but the target, whose rounds with the property are other
    ones at each number of participants; each batch is trained on once. With trajectories of their
    own, cells are federations of their own.

    What an earlier, interrupted attempt left of a trace is removed first.

    Returns:
        The evidence for the ledger, where there is one: to be kept when the attacks are done.
    """
    if world.scenario.audit.trajectory == "common":
        return _observe(world, folder, cells, common=True)
    kept: dict[Cell, EvidenceCollector] = {}
    for cell in cells:
        kept |= _observe(world, folder, [cell], common=False)
    return kept


def _observe(
    world: World, folder: RunFolder, cells: Sequence[Cell], *, common: bool
) -> dict[Cell, EvidenceCollector]:
    run = cells[0].run
    engine = world.engine(run)
    usual = _UsualRounds(world, engine, run) if common else None
    before, buffers = trained_parameters(folder, run), trained_buffers(folder, run)
    with ExitStack() as stack:
        taps = {
            cell: tap_on(world, folder, cell, engine, before, world.rules(cell), stack, buffers)
            for cell in cells
        }
        federations = _federations(world, taps)
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
    last, active = (
        last_model(world, engine, run, before, buffers),
        world.scenario.audit.alpha is not None,
    )
    for federation in federations:
        for cell, ending in federation.endings.items():
            keep_ending(world, folder, cell, ending, last, active)
    return {
        cell: evidence
        for federation in federations
        for cell, evidence in federation.cells.items()
        if evidence is not None
    }


Memory = dict[str, dict[str, Any]]


@dataclass(frozen=True, eq=False)
class _Federation:
    """Cells with the same clients and batches: they differ in what is shared.

    Attributes:
        seed: of all federations of a property; what everybody but the target draws from.
        own_seed: of this number of participants.
        present: [rounds] bool, the ground truth.
        ways: what is done to a delta before it is sent, who watches, who sends others, and what
            clients and server remember; None where rounds do not follow each other.
        cells: with the evidence kept of each, or None.
        endings: how the rounds of each went.
    """

    phase: AuditedPhase
    pools: PropertyPools
    seed: Seed
    own_seed: Seed
    present: np.ndarray
    ways: list[tuple[LocalTraining, Sequence[RoundObserver], Mapping[int, Active], Memory | None]]
    cells: dict[Cell, EvidenceCollector | None]
    endings: dict[Cell, Endings]

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


def _federations(world: World, taps: dict[Cell, Tap]) -> list[_Federation]:
    audit = world.scenario.audit
    found: dict[tuple[str, int], _Federation] = {}
    for cell, tap in taps.items():
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
            found[key] = _Federation(phase, pools, seed, own_seed, present, [], {}, {})
        evidence = evidence_of(world)
        ending = found[key].endings[cell] = Endings(world.coalition(cell.participants))
        observers: list[RoundObserver] = [tap, ending, *([evidence] if evidence else [])]
        active = {} if audit.alpha is None else {ADVERSARY: active_in(world, cell)}
        memory: Memory | None = None if audit.trajectory == "common" else {}
        found[key].ways.append((phase.training, observers, active, memory))
        found[key].cells[cell] = evidence
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


def active_in(world: World, cell: Cell) -> ActiveParticipant:
    """The adversary of a cell that does not only listen; it shares nothing with other cells.

    Raises:
        UserError: the model has no last shared representation.
    """
    audit = world.scenario.audit
    assert audit.alpha is not None
    own = _auxiliary_records(world, cell)
    return ActiveParticipant(
        world.engine(cell.run),
        _auxiliary(world, cell, own),
        own,
        world.audited_phase(cell.rule, cell.fraction, cell.participants, cell.defence).training,
        alpha=audit.alpha,
        boost=audit.boost,
        seed=world.attacker_seed(cell.run).child("active", cell.property),
    )


def adversary_of(world: World, cell: Cell) -> Adversary:
    """What the adversary of a cell owns: its records with their property, and the rules.

    Its stream depends on the property alone, so that one adversary serves all cells of a property
    in which it owns the same records.
    """
    scenario = world.scenario
    return Adversary(
        engine=world.engine(cell.run),
        auxiliary=_auxiliary(world, cell, _auxiliary_records(world, cell)),
        rules=world.rules(cell),
        shadows=scenario.audit.shadows,
        seed=world.attacker_seed(cell.run).child("shadows", cell.property),
    )


def _auxiliary(world: World, cell: Cell, own: np.ndarray) -> AuxiliaryData:
    """Records with their property, and whose they are where that is known."""
    groups = world.dataset.groups
    return AuxiliaryData(
        chosen_samples(world, own),
        world.dataset.properties[cell.property][own],
        None if groups is None else groups[own],
    )


def _auxiliary_records(world: World, cell: Cell) -> np.ndarray:
    """Sorted indices of the adversary's records and its colluders'.

    Those that it trains on are left out where it holds out others; a share of the target's is among
    them where asked for.
    """
    held = world.pooled(cell.run, cell.participants)
    if world.scenario.audit.auxiliary_held_out:
        own = world.deal(cell.run).largest.clients[ADVERSARY]
        held = np.setdiff1d(held, np.setdiff1d(own, world.held_out(cell.run)))
    target = world.deal(cell.run).audited(cell.participants).clients[TARGET]
    shared = round(world.scenario.audit.auxiliary_overlap * len(target))
    rng = world.run_seed(cell.run).generator("overlap")
    return np.union1d(held, rng.permutation(target)[:shared])
