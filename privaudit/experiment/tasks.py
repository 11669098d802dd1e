"""Units of work for an executor: small arguments in, seconds and failure out."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from privaudit.attack.apart import prepare
from privaudit.attack.layers import sizes_of
from privaudit.attack.scoring import MODEL, Failure, failure_of
from privaudit.custody.folder import RunFolder, trace_folder
from privaudit.custody.plan import Plan, make_plan, refuse_changes
from privaudit.data.files import default_data_dir
from privaudit.engine.process import give_back, tune_process
from privaudit.errors import MachineError, UserError
from privaudit.experiment.attacking import attack_cells
from privaudit.experiment.executors.protocol import Executor, Vanished, quick, reads
from privaudit.experiment.training import price_run, time_rounds, train_run
from privaudit.games import GAMES
from privaudit.games.ending import prices_file
from privaudit.games.listening import keep_evidence
from privaudit.progress import Work
from privaudit.scenario.grid import Cell, cells_for_layers, work_of
from privaudit.scenario.schema import Scenario
from privaudit.world import World, check_world, load_world

OF_THE_MACHINE = (OSError, MemoryError)
"""What is wrong for all cells: it ends the run, which can go on from there."""


@dataclass(frozen=True)
class Job:
    """What every task of a run is given; a worker process loads the world once and keeps it.

    ``plan`` is the run's, as JSON: a process that starts while the run goes on refuses to compute
    from other data or with other code. ``permutation``: see :func:`.world.load_world`.
    """

    scenario_json: str
    data_dir: Path | None
    folder: Path
    device: str = "cpu"
    plan: str = ""
    permutation: int = 0

    @classmethod
    def of(cls, scenario: Scenario, data_dir: Path | None, folder: Path, device: str) -> Job:
        """What to give all tasks of a scenario; the folder need not be there yet."""
        place = Path(os.path.abspath(folder))  # unlike resolve(), no error for a loop of links
        return cls(scenario.model_dump_json(), data_dir or default_data_dir(), place, device)

    def world(self) -> World:
        """The scenario with its data."""
        tune_process()
        if self.plan:
            _check_inputs(self)
        return self._loaded()

    def _loaded(self) -> World:
        return load_world(self.scenario_json, self.data_dir, self.device, self.permutation)

    def attacks_of(self, game: str) -> list[str]:
        """Of the scenario, on one game."""
        return Scenario.model_validate_json(self.scenario_json).attacks_of(game)


@lru_cache(maxsize=1)
def _check_inputs(job: Job) -> None:
    """Once in every process: what it has loaded is what was planned."""
    plan, world = Plan.model_validate_json(job.plan), job._loaded()
    now = make_plan(world.scenario, world.dataset, device=job.device)
    refuse_changes(plan, now, where=str(job.folder))


@dataclass(frozen=True)
class Outcome:
    """Of one run's training or of one cell: which, how long, and what failed.

    ``seconds`` of cells that were computed together are equal parts of the time they took.
    ``failures``: attack -> why it has no scores; empty where all have.
    """

    task: int | Cell
    seconds: float
    failures: dict[str, str] = field(default_factory=dict)


AT_ONCE = 0.05
"""Seconds below which an outcome was there already."""


def work_of_runs(runs: int, workers: int) -> Work:
    """Of the training of so many runs, all alike."""
    return Work(runs, lambda _: 1.0, _is_fresh, _under_way(workers, runs))


def work_of_cells(groups: Sequence[Sequence[Cell]], workers: int) -> Work:
    """Of the audit: each cell an equal part of its group's, as its seconds are."""
    sizes = {cell: work_of(group) / len(group) for group in groups for cell in group}
    each = len(sizes) / len(groups)  # cells of a group come together
    return Work(
        total=sum(sizes.values()),
        of=lambda outcome: sizes[outcome.task],
        fresh=_is_fresh,
        under_way=_under_way(workers, len(groups)) * each,
    )


def _under_way(workers: int, tasks: int) -> float:
    """When one worker is done the others are half way, on the average."""
    return (min(workers, tasks) - 1) / 2


def _is_fresh(outcome: Outcome) -> bool:
    return outcome.seconds >= AT_ONCE


def timings(
    training: Iterable[Outcome], audited: Iterable[Outcome], devices: Iterable[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Rows of ``timings.jsonl``."""
    rows = [{"stage": "training", "run": o.task, "seconds": o.seconds} for o in training]
    rows += [
        {"stage": "audit", "run": o.task.run, "cell": o.task.name, "seconds": o.seconds}
        for o in audited
        if isinstance(o.task, Cell)
    ]
    return [*rows, *({"stage": "devices"} | row for row in devices)]


# --------------------------------------------------------------------- what a worker is told to do


@quick
def check_task(job: Job, _: int) -> list[str]:
    """Everything a user can get wrong, before anything is written (:func:`.world.check_world`)."""
    world = job.world()
    remarks = check_world(world)
    for name in world.scenario.games:
        GAMES[name].check(world)
    return list(remarks)


def _reads_of_training(job: Job, run: int) -> list[str]:
    return [f"training/run-{run}.safetensors", prices_file(run)]


def reads_of_rounds(run: int) -> list[str]:
    """What all that follows the training of a run reads."""
    return [f"training/run-{run}.safetensors"]


def _reads_of_audit(job: Job, cells: Sequence[Cell]) -> list[str]:
    return [*reads_of_rounds(cells[0].run), *map(scores_file, cells)]


def _reads_of_stage(job: Job, what: int | Sequence[Cell]) -> list[str]:
    return _reads_of_training(job, what) if isinstance(what, int) else _reads_of_audit(job, what)


@reads(_reads_of_stage)
def stage_task(job: Job, what: int | Sequence[Cell]) -> list[Outcome]:
    """Stage 1 of a run, or stages 2 and 3 of some cells of one that is trained."""
    return training_task(job, what) if isinstance(what, int) else audit_task(job, what)


def training_task(job: Job, run: int) -> list[Outcome]:
    """Stage 1 for one run. A failure here ends the whole run: nothing can follow it.

    Raises:
        UserError: the model failed, in one line; the traceback is kept.
    """
    started = time.perf_counter()
    folder = RunFolder(job.folder)
    try:
        with _memory_errors():
            train_run(job.world(), folder, run)
            price_run(job.world(), folder, run)
    except (UserError, KeyboardInterrupt, *OF_THE_MACHINE):
        raise
    except BaseException as error:
        failure = failure_of(MODEL, error)
        file = _keep_traceback(folder, f"run-{run}/training", failure.traceback)
        raise UserError(
            f"{failure.reason}", where=f"training of run {run}", remedy=f"traceback: {file}"
        ) from error
    prepare()  # the audit comes next, and a processor may be idle until all runs are trained
    return [Outcome(run, time.perf_counter() - started)]


def audit_task(job: Job, cells: Sequence[Cell]) -> list[Outcome]:
    """Stages 2 and 3 for some cells of one run; nothing for those whose scores are there already.

    What an attack or the model ends with is a failure of that attack or of these cells: it is
    reported with its reason, its traceback is kept, and the others go on.
    """
    started = time.perf_counter()
    folder = RunFolder(job.folder)
    attacks = job.attacks_of(cells[0].game)
    todo = [cell for cell in cells if not _scored(folder, cell, attacks)]
    failures: dict[Cell, dict[str, Failure]] = {}
    if todo:
        world = job.world()
        layers = [] if job.permutation else cells_for_layers(world.scenario)
        failures = _observe_and_attack(world, folder, todo, layers)
        if not world.scenario.audit.keep_traces:
            for cell in todo:
                shutil.rmtree(trace_folder(folder, cell), ignore_errors=True)
    for cell, failed in ((cell, failed) for cell, failed in failures.items() if failed):
        text = "\n".join(f"{f.reason}\n{f.traceback}" for f in dict.fromkeys(failed.values()))
        _keep_traceback(folder, f"run-{cell.run}/{cell.name}", text)
    seconds = (time.perf_counter() - started) / len(cells)
    return [
        Outcome(cell, seconds, {n: f.reason for n, f in failures.get(cell, {}).items()})
        for cell in cells
    ]


def _observe_and_attack(
    world: World, folder: RunFolder, cells: Sequence[Cell], layers: Sequence[Cell]
) -> dict[Cell, dict[str, Failure]]:
    """Cell -> attack -> failure, of those that failed; the scores of all others are written.

    Evidence for the ledger is written when the attacks are done: while they run, nothing that a
    participant would not see lies on disk. Scores come last, as they say that a cell is finished.
    """
    game = cells[0].game
    attacks = world.scenario.attacks_of(game)
    try:
        with _memory_errors():
            evidence = GAMES[game].observe(world, folder, cells)
    except (KeyboardInterrupt, *OF_THE_MACHINE):
        raise
    except BaseException as error:
        failed = failure_of(MODEL, error)
        return {cell: dict.fromkeys(attacks, failed) for cell in cells}
    give_back()  # it waits from here on, beside the process for attacks
    found = attack_cells(world, folder, cells, by_layer=layers)
    keep_evidence(folder, evidence)
    for cell, heard in found.items():
        if facts := GAMES[game].facts(world, folder, cell):
            folder.write_json(facts_file(cell), facts)
        if heard.signal is not None:
            sizes = sizes_of(world.engine(cell.run).layout)
            rows = [(layer, sizes[layer], scores) for layer, scores in heard.signal]
            folder.write_json(layers_file(cell), rows)
        scores = {name: s for name, s in heard.scores.items() if not isinstance(s, Failure)}
        if scores:
            folder.write_json(scores_file(cell), scores)
    return {
        cell: {name: s for name, s in heard.scores.items() if isinstance(s, Failure)}
        for cell, heard in found.items()
    }


def scores_file(cell: Cell) -> str:
    """Where the scores of a cell lie in the run folder."""
    return f"scores/run-{cell.run}/{cell.name}.json"


def layers_file(cell: Cell) -> str:
    """Where each layer of a cell lies, with its size and its scores, until all are gathered."""
    return f"layers/run-{cell.run}/{cell.name}.json"


def facts_file(cell: Cell) -> str:
    """Where the facts of a cell lie in the run folder, if its game has any."""
    return f"facts/run-{cell.run}/{cell.name}.json"


def _scored(folder: RunFolder, cell: Cell, attacks: Sequence[str]) -> bool:
    file = scores_file(cell)
    return folder.file(file).is_file() and set(folder.read_json(file)) == set(attacks)


def devices_task(job: Job, devices: Sequence[int]) -> list[dict[str, Any]]:
    """Seconds of a round by number of devices (:func:`.training.time_rounds`)."""
    return time_rounds(job.world(), list(devices))


# ------------------------------------------------------------------------- how a run has it done


def check(executor: Executor, job: Job) -> Callable[[], list[str]]:
    """Begin to check; what is returned waits for it, and says what a reader must know of the model.

    See :func:`check_task` for the errors.
    """
    found = executor.each(check_task, job, [0])
    return lambda: _only(found, "checking model and attacks")


def train_and_audit(
    executor: Executor, job: Job, groups: Sequence[Sequence[Cell]], *, workers: int
) -> Iterator[Outcome]:
    """All stages of all runs; outcomes as they come.

    Cells are audited once their own run is trained: where runs do not meet the workers evenly, no
    worker waits for the last of them.
    """

    def then(what: int | Sequence[Cell], result: object) -> list[Sequence[Cell]]:
        trained = isinstance(what, int) and not isinstance(result, Vanished)
        return [cells for cells in groups if trained and cells[0].run == what]

    runs: list[int | Sequence[Cell]] = [*sorted({cells[0].run for cells in groups})]
    return _outcomes(job, executor.each(stage_task, job, runs, workers=workers, then=then))


def _outcomes(
    job: Job, done: Iterable[tuple[int | Sequence[Cell], list[Outcome] | Vanished]]
) -> Iterator[Outcome]:
    """Where a process vanishes in an audit, the model or something of ours ended it, as attacks run
    in one of their own: its cells without scores have failed.
    """
    folder = RunFolder(job.folder)
    for what, result in done:
        if isinstance(what, int):
            yield from whole(result, f"run {what}")
            continue
        if not isinstance(result, Vanished):
            yield from result
            continue
        _refuse_killed(result)
        for cell in what:
            attacks = job.attacks_of(cell.game)
            scored = _scored(folder, cell, attacks)
            failed = {} if scored else dict.fromkeys(attacks, f"the model failed: {result}")
            yield Outcome(cell, 0.0, failed)


def time_devices(
    executor: Executor, job: Job, devices: Sequence[int]
) -> Callable[[], list[dict[str, Any]]]:
    """Begin to time them; what is returned waits for rows of timings.jsonl, one per device number
    and round; none for no devices.
    """
    if not devices:
        return list
    found = executor.each(devices_task, job, [devices])
    return lambda: _only(found, "timing devices")


def whole(result: Any, what: str) -> Any:
    """What a task returned, if its process lived to return it.

    Raises:
        UserError: it did not; ``what`` it was for.
    """
    if isinstance(result, Vanished):
        _refuse_killed(result)
        raise UserError(
            str(result), where=what, remedy="find out why with the model and its attacks alone"
        )
    return result


def _only(results: Iterator[tuple[Any, Any]], what: str) -> Any:
    ((_, result),) = results
    return whole(result, what)


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Call it by one name when there is no memory left; torch has names of its own."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MemoryError(str(error)) from error
    except RuntimeError as error:
        if "DefaultCPUAllocator" not in str(error):
            raise
        raise MemoryError(str(error)) from error


def _refuse_killed(vanished: Vanished) -> None:
    if vanished.killed:
        raise MachineError(
            "a worker process was killed from outside, as the system does when memory runs out "
            f"({vanished})",
            remedy="use fewer workers, or free memory",
            fewer_workers=True,
        )


def _keep_traceback(folder: RunFolder, name: str, text: str) -> Path:
    return folder.write_text(f"failures/{name}.txt", text)
