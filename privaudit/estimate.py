"""What a scenario would take, before it is run: estimated from a few steps timed now."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from privaudit.audit import number_of_workers
from privaudit.data.files import default_data_dir
from privaudit.engine.process import tune_process
from privaudit.experiment.cells import Cell, cells_for_layers, cells_of, groups_of
from privaudit.experiment.world import World, check_world, load_world
from privaudit.observation.vectors import PRECISIONS, SPARSE_BELOW
from privaudit.scenario.load import refuse_sweep
from privaudit.scenario.schema import Scenario
from privaudit.trial import Costs, Range, cell_costs, peak_memory, time_range

MARGIN = 1.3
"""What the slowest of a few steps leaves out: loading, reports, the ledger, a busy machine."""


@dataclass(frozen=True)
class Estimate:
    """What a run would take.

    Attributes:
        federations: federations to train or to listen to.
        cells: table cells per run and attack.
        parameters: of the model.
        workers: processes.
        seconds_low: wall time of training and audits with the attacks, if all went as fast as the
            fastest step that was timed.
        seconds_high: the same for the slowest, with a margin for what was not timed.
        memory: bytes over all processes.
        disk: bytes of traces and parameters, at the most.
        free: bytes free where the run folder would be.
    """

    federations: int
    cells: int
    parameters: int
    workers: int
    seconds_low: float
    seconds_high: float
    memory: int
    disk: int
    free: int


def estimate(
    scenario: Scenario, out: Path, *, data_dir: Path | None = None, workers: int | None = None
) -> Estimate:
    """Check a scenario as a run would, time a few steps of it, and multiply. Writes nothing.

    Raises:
        UserError: the scenario cannot be run.
    """
    refuse_sweep(scenario)
    tune_process()  # as a run does: what is timed is what will be done
    workers = number_of_workers(workers, most=len(cells_of(scenario)))
    world = load_world(scenario.model_dump_json(), data_dir or default_data_dir())
    check_world(world)
    cells = cells_of(scenario)
    groups = groups_of(scenario, workers)
    training = _training_seconds(world)
    costs = {cell.participants: cell_costs(world, cell) for cell in _one_per_size(cells)}
    audits = np.sum([_group_seconds(world, costs, group) for group in groups], axis=0)
    slots = [min(workers, scenario.runs), min(workers, len(groups))]
    low, high = training * scenario.runs / slots[0] + audits / slots[1]
    # Attacks of all cells of a group are in memory at once, each beside all the rest.
    together = max(map(len, groups)) - 1
    memory = peak_memory() + together * max(c.memory for c in costs.values())
    size = world.engine(0).layout.size
    return Estimate(
        federations=(scenario.runs if scenario.federation.rounds else 0) + len(cells),
        cells=len(cells) // scenario.runs * len(scenario.audit.attacks),
        parameters=size,
        workers=workers,
        seconds_low=float(low),
        seconds_high=float(high) * MARGIN,
        memory=memory * min(workers, max(scenario.runs, len(groups))),
        disk=_disk(scenario, groups, workers, size),
        free=shutil.disk_usage(_existing(out)).free,
    )


def _training_seconds(world: World) -> Range:
    """Of one run: steps of all clients, and the test after each round."""
    federation = world.scenario.federation
    if not federation.rounds:
        return np.zeros(2)
    engine, seed = world.engine(0), world.run_seed(0).child("estimate")
    partition = world.deal(0).training
    batch = np.arange(min(federation.batch_size, len(world.dataset)))
    step = time_range(lambda: engine.gradients(engine.initial, world.samples, [batch], seed))
    held = sum(len(client) for client in partition.clients) / federation.participants
    batches = np.ceil(held / federation.batch_size) * federation.local_epochs
    if federation.protocol == "fedsgd":
        batches = 1
    tested = len(partition.test) / federation.batch_size / 3  # no gradients: about a third
    clients = federation.cohort or federation.participants
    return np.asarray(federation.rounds * (clients * batches + tested) * step)


def _one_per_size(cells: list[Cell]) -> list[Cell]:
    return list({cell.participants: cell for cell in cells}.values())


def _group_seconds(world: World, costs: dict[int, Costs], group: Sequence[Cell]) -> Range:
    """Of cells that are observed and attacked in one go: what they share is done once."""
    audit, federation = world.scenario.audit, world.scenario.federation
    common = audit.trajectory == "common"
    any_cost = costs[group[0].participants]
    numbers = [cell.participants for cell in group]
    clients, adversaries = sum(numbers), len(group)
    if common:  # everybody of the largest, the target of the others, and the usual federation
        usual = federation.cohort or federation.participants
        clients, adversaries = max(numbers) + len(set(numbers)) - 1 + usual, 1
    per_round = (clients * audit.local_steps) * any_cost.step + adversaries * any_cost.shadows
    per_round += np.sum([costs[cell.participants].fit for cell in group], axis=0)
    final = sum(costs[cell.participants].score for cell in group)
    return np.asarray(audit.rounds * per_round + final)


def _disk(scenario: Scenario, groups: Sequence[Sequence[Cell]], workers: int, size: int) -> int:
    """Bytes of the parameters of every run and of the traces that are there at the same time."""
    parameters = 4 * size * scenario.runs
    if scenario.audit.keep_traces:
        return parameters + sum(_trace_bytes(scenario, c, size) for group in groups for c in group)
    kept = set(cells_for_layers(scenario))
    passing = sorted(
        sum(_trace_bytes(scenario, c, size) for c in group if c not in kept) for group in groups
    )
    stay = sum(_trace_bytes(scenario, cell, size) for cell in kept)
    return parameters + stay + sum(passing[-workers:])


def _trace_bytes(scenario: Scenario, cell: Cell, size: int) -> int:
    """Of the aggregate and the own delta of each round, and of what else a trace may hold."""
    audit = scenario.audit
    value = PRECISIONS[audit.trace_precision].itemsize
    shares = [1 - (1 - cell.fraction) ** cell.participants, cell.fraction]
    if audit.threat_model == "server":
        shares += [cell.fraction] * cell.participants
    deltas = sum((4 + value) * s if s < SPARSE_BELOW else value for s in shares)
    step = 4 if audit.trajectory == "common" or audit.trace_precision == "half" else 0
    return int(size * (4 + audit.rounds * (deltas + step)))


def _existing(path: Path) -> Path:
    """The nearest folder above that is there."""
    path = Path(os.path.abspath(path))
    while not path.is_dir() and path != path.parent:
        path = path.parent
    return path


def estimate_lines(found: Estimate) -> list[str]:
    """The estimate in words."""
    lines = [
        f"{found.federations} federations, {found.cells} table cells, "
        f"{found.parameters:,} parameters",
        f"{_between(found.seconds_low, found.seconds_high)} on {found.workers} "
        f"{'process' if found.workers == 1 else 'processes'} of this machine",
        f"about {_bytes(found.memory)} of memory" if found.memory else "memory: not known here",
        f"up to {_bytes(found.disk)} of disk; {_bytes(found.free)} free",
    ]
    if found.disk > found.free:
        lines[-1] += " - TOO LITTLE"
    return lines


def several_lines(estimates: Sequence[Mapping[str, Any]]) -> list[str]:
    """What several audits would take, one after the other; estimates as JSON documents."""
    low, high, disk, federations = (
        sum(found[key] for found in estimates)
        for key in ("seconds_low", "seconds_high", "disk", "federations")
    )
    free = min(found["free"] for found in estimates)
    lines = [
        f"{len(estimates)} audits, {federations} federations",
        _between(low, high),
        f"up to {_bytes(disk)} of disk; {_bytes(free)} free",
    ]
    if disk > free:
        lines[-1] += " - TOO LITTLE"
    return lines


def _between(low: float, high: float) -> str:
    first, last = _duration(low), _duration(high)
    return f"about {first}" if first == last else f"{first} to {last}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def _bytes(count: int) -> str:
    if count < 10**9:
        return f"{max(1, round(count / 10**6))} MB"
    return f"{count / 10**9:.1f} GB"
