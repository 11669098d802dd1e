"""Stage 2: the audited rounds of cells, listened to. Leaves traces, and not the truth."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from privaudit.custody.evidence import EvidenceCollector
from privaudit.custody.folder import RunFolder, trace_folder
from privaudit.engine.engine import Engine
from privaudit.experiment.training import trained_parameters
from privaudit.experiment.world import World
from privaudit.federation.partition import ADVERSARY, TARGET
from privaudit.federation.phases import AuditedPhase, audited_work, natural_work
from privaudit.federation.rounds import (
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
from privaudit.observation.tap import Tap
from privaudit.observation.trace import TraceWriter
from privaudit.randomness import Seed
from privaudit.scenario.grid import Cell


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


def keep_evidence(folder: RunFolder, evidence: Mapping[Cell, EvidenceCollector]) -> None:
    """Write the evidence of cells, which the ledger takes in."""
    for cell, collector in evidence.items():
        folder.write_lines(f"evidence/run-{cell.run}/{cell.name}.jsonl", collector.rows())


def _observe(
    world: World, folder: RunFolder, cells: Sequence[Cell], *, common: bool
) -> dict[Cell, EvidenceCollector]:
    run = cells[0].run
    engine = world.engine(run)
    usual = _UsualRounds(world, engine, run) if common else None
    before = trained_parameters(folder, run)
    with ExitStack() as stack:
        taps = {cell: _tap(world, folder, cell, engine, before, stack) for cell in cells}
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
                )
            ]
            before = outcomes[0].after
    return {
        cell: evidence
        for federation in federations
        for cell, evidence in federation.cells.items()
        if evidence is not None
    }


@dataclass(frozen=True, eq=False)
class _Federation:
    """Cells with the same clients and batches: they differ in what is shared.

    Attributes:
        seed: of all federations of a property; what everybody but the target draws from.
        own_seed: of this number of participants.
        present: [rounds] bool, the ground truth.
        ways: what is done to a delta before it is sent, and who watches.
        cells: with the evidence kept of each, or None.
    """

    phase: AuditedPhase
    pools: PropertyPools
    seed: Seed
    own_seed: Seed
    present: np.ndarray
    ways: list[tuple[LocalTraining, Sequence[RoundObserver]]]
    cells: dict[Cell, EvidenceCollector | None]

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
        return [Sending(work, training, observers) for training, observers in self.ways]


def _sendings(federations: Sequence[_Federation], number: int) -> dict[Seed, list[Sending]]:
    """What is sent in round ``number``, by the seed that clients draw their batches from."""
    known: dict[Seed, dict[int, ClientWork]] = {}
    found: dict[Seed, list[Sending]] = {}
    for federation in federations:
        batches = known.setdefault(federation.seed, {})
        found.setdefault(federation.seed, []).extend(federation.sendings(number, batches))
    return found


def _federations(world: World, taps: dict[Cell, Tap]) -> list[_Federation]:
    audit, ledger = world.scenario.audit, world.scenario.ledger
    found: dict[tuple[str, int], _Federation] = {}
    for cell, tap in taps.items():
        phase = world.audited_phase(cell.rule, cell.fraction, cell.participants)
        key = (cell.property, cell.participants)
        if key not in found:
            partition = world.deal(cell.run).audited(cell.participants)
            pools = property_pools(
                world.dataset, partition, cell.property, audit.batch_size, audit.others
            )
            seed = world.audit_seed(cell.run).child(cell.property)
            own_seed = seed.child("participants", cell.participants)
            present = world.presence(cell)
            found[key] = _Federation(phase, pools, seed, own_seed, present, [], {})
        evidence = None
        if ledger.enabled:
            evidence = EvidenceCollector(valued=ledger.reward == "contribution")
        observers: list[RoundObserver] = [tap] if evidence is None else [tap, evidence]
        found[key].ways.append((phase.training, observers))
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

    def step(self, before: Tensor, number: int) -> Tensor:
        """[P], of round ``number`` at the parameters ``before``."""
        work = natural_work(self._partition, self._phase, number, self._seed)
        return run_round(
            self._engine,
            self._samples,
            before,
            work,
            self._phase.training,
            round_number=number,
            seed=self._seed,
        ).delta


def _tap(
    world: World,
    folder: RunFolder,
    cell: Cell,
    engine: Engine,
    start: Tensor,
    stack: ExitStack,
) -> Tap:
    """A tap that writes the trace of a cell, which is closed with the stack."""
    threat_model = world.scenario.audit.threat_model
    server = threat_model == "server"
    path = trace_folder(folder, cell)
    shutil.rmtree(path, ignore_errors=True)
    writer = TraceWriter(
        path,
        start,
        engine.layout,
        view=threat_model,
        target=TARGET if server else None,
        rules=world.rules(cell),
        precision=world.scenario.audit.trace_precision,
    )
    return Tap(stack.enter_context(writer), adversary=ADVERSARY, server=server)
