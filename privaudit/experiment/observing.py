"""Stage 2: the audited rounds of one cell, listened to. Leaves a trace and, apart, the truth."""

from __future__ import annotations

import shutil

import numpy as np

from privaudit.experiment.cells import Cell
from privaudit.experiment.folder import RunFolder
from privaudit.experiment.training import trained_parameters
from privaudit.experiment.world import World
from privaudit.federation.partition import ADVERSARY, TARGET
from privaudit.federation.phases import AuditedPhase, audited
from privaudit.federation.schedule import balanced_presence, property_pools, run_presence
from privaudit.ledger.evidence import EvidenceCollector
from privaudit.observation.tap import Tap
from privaudit.observation.trace import TraceWriter
from privaudit.randomness import Seed


def observe_cell(world: World, folder: RunFolder, cell: Cell) -> None:
    """Run the federation of one cell under the tap.

    What an earlier, interrupted attempt left of the trace is removed first.
    """
    audit, ledger = world.scenario.audit, world.scenario.ledger
    engine = world.engine(cell.run)
    phase = world.audited_phase(cell.rule, cell.fraction, cell.participants)
    partition = world.partitions(cell.run)[cell.participants]
    pools = property_pools(world.dataset, partition, cell.property, audit.batch_size, audit.others)
    # Cells that differ only in what is shared see the same batches in the same rounds.
    seed = world.run_seed(cell.run).child("audit", cell.property, cell.participants)
    present = _presence(world, cell, seed)
    start = trained_parameters(folder, cell.run)
    path = folder.file("traces", f"run-{cell.run}", cell.name)
    shutil.rmtree(path, ignore_errors=True)
    server = audit.threat_model == "server"
    with TraceWriter(
        path,
        start,
        engine.layout,
        view=audit.threat_model,
        target=TARGET if server else None,
        about=_about(phase),
    ) as writer:
        tap = Tap(writer, adversary=ADVERSARY, server=server)
        evidence = EvidenceCollector(valued=ledger.reward == "contribution")
        rounds = audited(
            engine,
            world.samples,
            pools,
            present,
            phase,
            start=start,
            seed=seed,
            observers=[tap, evidence] if ledger.enabled else [tap],
        )
        for _ in rounds:
            pass
    if ledger.enabled:
        folder.write_lines(f"evidence/run-{cell.run}/{cell.name}.jsonl", evidence.rows())
    folder.write_json(f"truth/run-{cell.run}/{cell.name}.json", [bool(p) for p in present])


def _presence(world: World, cell: Cell, seed: Seed) -> np.ndarray:
    scenario = world.scenario
    rounds = scenario.audit.rounds
    if scenario.audit.schedule == "single-batch":
        return balanced_presence(rounds, seed.generator("presence"))
    rng = Seed(scenario.seed).generator("presence", cell.property)
    return run_presence(cell.run, scenario.runs, rounds, rng)


def _about(phase: AuditedPhase) -> dict[str, float | int | str]:
    sharing = phase.training.transforms.sharing
    return {
        "participants": phase.participants,
        "lr": phase.training.lr,
        "momentum": phase.training.momentum,
        "batch_size": phase.batch_size,
        "local_steps": phase.local_steps,
        "sharing_rule": sharing.rule,
        "shared_fraction": sharing.fraction,
    }
