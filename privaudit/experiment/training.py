"""Stage 1: ordinary federated training, once per run."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from privaudit.custody.evidence import EvidenceCollector
from privaudit.custody.folder import RunFolder
from privaudit.custody.models import parameters_file, trained_parameters
from privaudit.custody.valuation import valuation_of
from privaudit.engine.engine import Engine, Samples
from privaudit.engine.files import write_tensors, write_whole
from privaudit.engine.process import KeptMemory
from privaudit.federation.phases import natural_work, train
from privaudit.federation.rounds import ClientWork, RoundOutcome, run_round, run_rounds
from privaudit.federation.schedule import as_batches
from privaudit.games.ending import has_defences, prices_file
from privaudit.scenario.schema import NO_DEFENCE
from privaudit.world import World


def train_run(world: World, folder: RunFolder, run: int) -> None:
    """Train run ``run`` and leave parameters, metrics and timings; nothing if already there."""
    if parameters_file(folder, run).is_file():
        return
    engine = world.engine(run)
    partition = world.deal(run).training
    test = world.samples.chosen(partition.test)
    reached: dict[str, Tensor | None] = {
        "parameters": engine.initial,
        "buffers": engine.initial_buffers,
    }
    rows, seconds, memory = [], [], KeptMemory()
    ledger = world.scenario.ledger
    evidence = EvidenceCollector(valuation_of(ledger.reward, lambda: (world.engine(run), test)))
    for outcome in train(
        engine,
        world.samples,
        partition,
        world.training_phase,
        start=engine.initial,
        seed=world.run_seed(run).child("training"),
        observers=[evidence] if ledger.enabled else [],
    ):
        reached = {"parameters": outcome.after, "buffers": outcome.buffers}
        rows.append(_metrics_row(run, outcome, engine, test))
        seconds.append({"run": run, "round": outcome.round, "seconds": outcome.metrics.seconds})
        memory.after_round()
    folder.write_lines(f"training/run-{run}.jsonl", rows)
    folder.write_lines(f"training/run-{run}.timings.jsonl", seconds)
    if ledger.enabled:
        folder.write_lines(f"evidence/run-{run}/training.jsonl", evidence.rows())
    kept = {name: vector for name, vector in reached.items() if vector is not None}
    write_whole(parameters_file(folder, run), lambda partial: write_tensors(partial, kept))


def price_run(world: World, folder: RunFolder, run: int) -> None:
    """What each defence of the audited rounds costs the main task; nothing if already there.

    From the trained parameters on, as many rounds as are audited, in which everybody draws any of
    their records: once for every defence and number of participants, all values shared.
    """
    scenario, name = world.scenario, prices_file(run)
    if not (scenario.audit.properties and has_defences(scenario)) or folder.file(name).is_file():
        return
    engine, start = world.engine(run), trained_parameters(folder, run)
    held_out = world.deal(run).training.test
    test = world.samples.chosen(held_out)
    seed, rows = world.audit_seed(run).child("price"), []
    for participants in scenario.participants:
        partition = world.deal(run).audited(participants)
        for defence in scenario.audit.defences:
            named = "" if defence == NO_DEFENCE else defence
            phase = world.audited_phase("all", 1.0, participants, named)
            *_, last = run_rounds(
                engine,
                world.samples,
                start,
                partial(natural_work, partition, phase, seed=seed),
                phase.training,
                rounds=phase.rounds,
                seed=seed,
            )
            _, accuracy = engine.evaluate(last.after, test)
            row = {"participants": participants, "defence": named, "test_accuracy": accuracy}
            rows.append(row)
    folder.write_json(name, rows)


def training_rows(folder: RunFolder, runs: int) -> list[dict[str, Any]]:
    """Metrics of every training round of every run."""
    return [
        row | {"run": run}
        for run in range(runs)
        for row in folder.read_lines(f"training/run-{run}.jsonl")
    ]


def parameters_sent(rows: Sequence[Mapping[str, Any]]) -> int:
    """Of the model, by the traffic of its training (:func:`training_rows`); 0 without training."""
    spoke = [row for row in rows if row.get("clients")]
    return spoke[0]["bytes_down"] // (4 * spoke[0]["clients"]) if spoke else 0


def time_rounds(
    world: World, devices: list[int], *, records: int = 96, rounds: int = 3
) -> list[dict[str, Any]]:
    """Seconds of one FedAvg round by number of devices, each with ``records`` records.

    Devices are simulated one after the other on this machine, so this is the work of a round, not
    the time of devices that train at once. The first round of each is not counted.
    """
    engine = world.engine(0)
    phase = world.training_phase
    rng = world.run_seed(0).generator("timing")
    rows = []
    for count in devices:
        order = rng.permutation(len(world.dataset))
        size = min(records, len(order) // count)
        work = [
            ClientWork(client, as_batches(part, phase.batch_size))
            for client, part in enumerate(np.split(order[: count * size], count))
        ]
        taken = []
        for number in range(rounds + 1):
            started = time.perf_counter()
            run_round(
                engine,
                world.samples,
                engine.initial,
                work,
                phase.training,
                round_number=number,
                seed=world.run_seed(0).child("timing"),
            )
            taken.append(time.perf_counter() - started)
        rows += [{"devices": count, "records": size, "seconds": s} for s in taken[1:]]
    return rows


def _metrics_row(run: int, outcome: RoundOutcome, engine: Engine, test: Samples) -> dict[str, Any]:
    with engine.starting_from(outcome.buffers):
        test_loss, test_accuracy = engine.evaluate(outcome.after, test)
    row: dict[str, Any] = asdict(outcome.metrics) | {
        "run": run,
        "test_loss": test_loss,
        "test_accuracy": test_accuracy,
        "rejected": {str(v.client): v.reason for v in outcome.verdicts if not v.accepted},
    }
    del row["seconds"]
    # Clients that diverge have no finite loss; JSON knows null for that.
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
