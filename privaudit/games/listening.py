"""What all games need to listen to a federation: a tap on it, and evidence for the ledger."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack

import numpy as np
from torch import Tensor

from privaudit.custody.evidence import EvidenceCollector
from privaudit.custody.folder import RunFolder, trace_folder
from privaudit.custody.valuation import Valuation, valuation_of
from privaudit.engine.engine import Engine, Samples
from privaudit.federation.partition import ADVERSARY, TARGET
from privaudit.federation.rounds import RoundOutcome
from privaudit.games.ending import Endings, keep_ending, last_model
from privaudit.observation.rules import Rules
from privaudit.observation.tap import Tap
from privaudit.observation.trace import TraceWriter
from privaudit.scenario.grid import Cell
from privaudit.world import World


def listen_to(
    world: World,
    folder: RunFolder,
    cell: Cell,
    engine: Engine,
    start: Tensor,
    federation: Callable[..., Iterable[RoundOutcome]],
) -> EvidenceCollector | None:
    """Run the federation of one cell under the tap; leave its trace, and how it ended.

    Args:
        world: the scenario with its data.
        folder: of the run.
        cell: whose federation it is.
        engine: with its model.
        start: [P] the parameters it starts from.
        federation: runs its rounds when called with ``observers``.

    Returns:
        The evidence for the ledger, where there is one.
    """
    last, buffers, evidence = start, engine.initial_buffers, evidence_of(world, cell.run)
    ending = Endings(world.coalition(cell.participants))
    with ExitStack() as stack:
        tap = tap_on(world, folder, cell, engine, start, world.rules(cell), stack)
        observers = [tap, ending, *([] if evidence is None else [evidence])]
        for outcome in federation(observers=observers):
            last, buffers = outcome.after, outcome.buffers
    model = last_model(world, engine, cell.run, last, buffers)
    keep_ending(world, folder, cell, ending, model)
    return evidence


def tap_on(
    world: World,
    folder: RunFolder,
    cell: Cell,
    engine: Engine,
    start: Tensor,
    rules: Rules,
    stack: ExitStack,
    buffers: Tensor | None = None,
) -> Tap:
    """A tap that writes the trace of a cell, which is closed with the stack.

    What an earlier, interrupted attempt left of the trace is removed first. ``buffers`` [B] are
    shared ones before the first round; None = those of the model, where it shares any.
    """
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
        rules=rules,
        precision=world.scenario.audit.trace_precision,
        buffers=engine.named_buffers(engine.initial_buffers if buffers is None else buffers),
    )
    _, *colluders = world.coalition(cell.participants)
    return Tap(stack.enter_context(writer), adversary=ADVERSARY, colluders=colluders, server=server)


def evidence_of(world: World, run: int) -> EvidenceCollector | None:
    """Somebody who keeps evidence of a federation of a run for the ledger, where there is one."""
    ledger = world.scenario.ledger
    if not ledger.enabled:
        return None
    return EvidenceCollector(valuation(world, run, ledger.reward))


def valuation(world: World, run: int, rule: str) -> Valuation | None:
    """What a reward rule pays by in a run; None where it asks for no values."""

    def judge() -> tuple[Engine, Samples]:
        return world.engine(run), chosen_samples(world, world.deal(run).training.test)

    return valuation_of(rule, judge)


def keep_evidence(folder: RunFolder, evidence: Mapping[Cell, EvidenceCollector]) -> None:
    """Write the evidence of cells, which the ledger takes in."""
    for cell, collector in evidence.items():
        folder.write_lines(f"evidence/run-{cell.run}/{cell.name}.jsonl", collector.rows())


def chosen_samples(world: World, records: np.ndarray) -> Samples:
    """The records with these indices, apart from all others."""
    return world.samples.chosen(records)
