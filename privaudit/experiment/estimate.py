"""What a scenario would take, before it is run: estimated from a few steps timed now."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from privaudit.attack.layers import memory_of
from privaudit.experiment.executors.choice import executor_for, number_of_workers
from privaudit.experiment.executors.protocol import Executor, quick
from privaudit.experiment.memory import PROCESS
from privaudit.experiment.tasks import Job, whole
from privaudit.experiment.trial import Costs, Range, cell_costs, time_range
from privaudit.games import GAMES
from privaudit.machine import free_memory, peak_memory
from privaudit.observation.vectors import PRECISIONS, SPARSE_BELOW
from privaudit.scenario.grid import (
    Cell,
    attacked_cells,
    cells_for_layers,
    cells_of,
    groups_of,
    is_of_rounds,
    rounds_of,
)
from privaudit.scenario.load import refuse_sweep
from privaudit.scenario.schema import PROPERTY, PUBLIC_LEDGER, RECONSTRUCTION, WHOSE, Scenario
from privaudit.world import World, check_world

Size = tuple[str, int, str]
"""Game, participants and size of batches: what the cost of a cell depends on."""

MARGIN = 1.3
"""What the slowest of a few steps leaves out: loading, reports, the ledger, a busy machine."""


@dataclass(frozen=True)
class OnNode:
    """A machine of a cluster: its name, the processes it may have, bytes of memory free."""

    name: str
    processes: int
    free: int


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
        processes: that hold so much memory.
        nodes: of a cluster; empty where all is on this machine.
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
    processes: int
    nodes: tuple[OnNode, ...] = ()


def estimate(
    scenario: Scenario,
    out: Path,
    *,
    data_dir: Path | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
) -> Estimate:
    """Check a scenario as a run would, time a few steps of it, and multiply. Writes nothing.

    Args:
        scenario: what would be run.
        out: where.
        data_dir: as in :func:`privaudit.audit.run_audit`, and so the others.
        workers: processes of the run.
        executor: who times the model and the attacks.

    Raises:
        UserError: the scenario cannot be run.
    """
    refuse_sweep(scenario)
    workers = number_of_workers(workers, most=len(cells_of(scenario)), of=executor)
    job = Job.of(scenario, data_dir, out, "cpu")
    with executor_for(executor, workers) as runner:
        ((_, found),) = runner.each(estimate_task, job, [workers])
        estimated: Estimate = whole(found, "timing a few steps")
        if not runner.elsewhere:
            return estimated
        asked = runner.on_each_node(free_task, job, workers)
        nodes = tuple(
            OnNode(node.name, node.processes, whole(free, f"node {node.name}"))
            for node, free in asked
        )
    return replace(estimated, nodes=nodes)


@quick
def free_task(job: Job, _: int) -> int:
    """Bytes of memory that are free on a machine; 0 where it does not say."""
    return free_memory() or 0


@quick
def estimate_task(job: Job, workers: int) -> Estimate:
    """The same where other people's code may run: the model and the attacks are theirs."""
    world = job.world()
    scenario = world.scenario
    check_world(world)
    for name in scenario.games:
        GAMES[name].check(world)
    cells = cells_of(scenario)
    groups = groups_of(scenario, workers)
    training = training_seconds(world, scenario.training_rounds)
    costs = {_size(cell): cell_costs(world, cell) for cell in _one_per_size(cells)}
    audits = np.sum([_group_seconds(world, costs, group) for group in groups], axis=0)
    slots = [min(workers, scenario.runs), min(workers, len(groups))]
    low, high = training * scenario.runs / slots[0] + audits / slots[1]
    # Attacks of all cells of a group are in memory at once, each beside all the rest; here in one
    # process with it, in a run in another.
    together = max(map(len, groups)) - 1
    memory = peak_memory() + PROCESS + together * max(c.memory for c in costs.values())
    if cells_for_layers(scenario):
        layout, audit = world.engine(0).layout, scenario.audit
        memory += memory_of(layout, audit.rounds, audit.shadows)
    size = world.engine(0).layout.size
    processes = min(workers, max(scenario.runs, len(groups)))
    return Estimate(
        federations=(scenario.runs if scenario.training_rounds else 0) + len(cells),
        cells=len(attacked_cells(scenario)) // scenario.runs,
        parameters=size,
        workers=workers,
        seconds_low=float(low),
        seconds_high=float(high) * MARGIN,
        memory=memory * processes,
        disk=_disk(scenario, groups, workers, size),
        free=shutil.disk_usage(_existing(job.folder)).free,
        processes=processes,
    )


def training_seconds(world: World, rounds: int) -> Range:
    """Of so many rounds of one run: steps of all clients, and the test after each."""
    federation = world.scenario.federation
    if not rounds:
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
    return np.asarray(rounds * (clients * batches + tested) * step)


def _one_per_size(cells: list[Cell]) -> list[Cell]:
    return list({_size(cell): cell for cell in cells}.values())


def _size(cell: Cell) -> Size:
    batches = cell.property if cell.game == RECONSTRUCTION else ""
    return cell.game, cell.participants, batches


def _group_seconds(world: World, costs: dict[Size, Costs], group: Sequence[Cell]) -> Range:
    """Of cells that are observed and attacked in one go: what they share is done once."""
    audit, federation = world.scenario.audit, world.scenario.federation
    any_cost = costs[_size(group[0])]
    if group[0].game == PUBLIC_LEDGER:
        return _ledger_seconds(world, group, any_cost.step)
    if group[0].game == WHOSE:
        return _sum_seconds(world, costs, group)
    if group[0].game != PROPERTY:  # each a federation of its own
        steps = GAMES[group[0].game].given(world, group[:1])[group[0]].rules.local_steps
        rounds = rounds_of(world.scenario, group[0]) * np.sum(
            [
                cell.participants * steps * any_cost.step
                + any_cost.shadows
                + costs[_size(cell)].fit
                for cell in group
            ],
            axis=0,
        )
        return np.asarray(rounds + sum(costs[_size(cell)].score for cell in group))
    common = audit.trajectory == "common"
    numbers = [cell.participants for cell in group]
    clients, adversaries = sum(numbers), len(group)
    if common:  # everybody of the largest, the target of the others, and the usual federation
        usual = federation.cohort or federation.participants
        clients, adversaries = max(numbers) + len(set(numbers)) - 1 + usual, 1
    per_round = (clients * audit.local_steps) * any_cost.step + adversaries * any_cost.shadows
    per_round += np.sum([costs[_size(cell)].fit for cell in group], axis=0)
    final = sum(costs[_size(cell)].score for cell in group)
    return np.asarray(audit.rounds * per_round + final)


def _sum_seconds(world: World, costs: dict[Size, Costs], group: Sequence[Cell]) -> Range:
    """Of a federation for all ledgers of its rounds, whose shadows are computed once."""
    audit, federation = world.scenario.audit, world.scenario.federation
    found = np.zeros(2)
    for place in {(cell.rule, cell.fraction, cell.participants, cell.defence) for cell in group}:
        of = [c for c in group if (c.rule, c.fraction, c.participants, c.defence) == place]
        cost, participants = costs[_size(of[0])], place[2]
        cohort = federation.cohort if participants == federation.participants else None
        clients = (cohort or participants) * audit.local_steps
        found = found + audit.rounds * (clients * cost.step + cost.shadows) + cost.score
    return np.asarray(found)


def _ledger_seconds(world: World, group: Sequence[Cell], step: Range) -> Range:
    """Of all ledgers of the same rounds: clients train once for all audited rounds."""
    audited, training = world.scenario.audit, world.scenario.federation
    most = max(cell.participants for cell in group)
    if is_of_rounds(world.scenario, group[0]):
        usual = training.cohort or training.participants
        return np.asarray(audited.rounds * (most + usual) * audited.local_steps * step)
    places = {(cell.rule, cell.fraction, cell.participants, cell.defence) for cell in group}
    return len(places) * training_seconds(world, training.rounds)


def _disk(scenario: Scenario, groups: Sequence[Sequence[Cell]], workers: int, size: int) -> int:
    """Bytes of the parameters of every run and of the traces that are there at the same time."""
    parameters = 4 * size * scenario.runs
    if scenario.audit.keep_traces:
        return parameters + sum(_trace_bytes(scenario, c, size) for group in groups for c in group)
    passing = sorted(sum(_trace_bytes(scenario, c, size) for c in group) for group in groups)
    return parameters + sum(passing[-workers:])


def _trace_bytes(scenario: Scenario, cell: Cell, size: int) -> int:
    """Of the aggregate and the own delta of each round, and of what else a trace may hold."""
    audit = scenario.audit
    if cell.game == PUBLIC_LEDGER:
        return 0
    value = PRECISIONS[audit.trace_precision].itemsize
    shares = [1 - (1 - cell.fraction) ** cell.participants, cell.fraction]
    if audit.threat_model == "server":
        shares += [cell.fraction] * cell.participants
    shares += [cell.fraction] * audit.colluding(cell.participants)
    deltas = sum((4 + value) * s if s < SPARSE_BELOW else value for s in shares)
    step = 4 if audit.trajectory == "common" or audit.trace_precision == "half" else 0
    return int(size * (4 + rounds_of(scenario, cell) * (deltas + step)))


def _existing(path: Path) -> Path:
    """The nearest folder above that is there."""
    while not path.is_dir() and path != path.parent:
        path = path.parent
    return path
