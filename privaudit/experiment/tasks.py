"""Units of work for worker processes: small arguments in, seconds and failure out."""

from __future__ import annotations

import os
import shutil
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed, parallel_config

from privaudit.attack.protocol import FAILURES
from privaudit.engine.process import tune_process
from privaudit.experiment.attacking import attack_cells
from privaudit.experiment.cells import Cell, cells_for_layers, trace_folder
from privaudit.experiment.folder import RunFolder
from privaudit.experiment.observing import observe_cells
from privaudit.experiment.plan import Plan, make_plan, refuse_changes
from privaudit.experiment.training import train_run
from privaudit.experiment.world import World, load_world

TRACKER = "joblib.externals.loky.backend.resource_tracker"


@dataclass(frozen=True)
class Job:
    """What every task of a run is given; a worker process loads the world once and keeps it.

    ``plan`` is the run's, as JSON: a process that starts while the run goes on refuses to compute
    from other data or with other code.
    """

    scenario_json: str
    data_dir: Path | None
    folder: Path
    device: str = "cpu"
    plan: str = ""

    def world(self) -> World:
        """The scenario with its data."""
        tune_process()
        if self.plan:
            _check_inputs(self)
        return self._loaded()

    def _loaded(self) -> World:
        return load_world(self.scenario_json, self.data_dir, self.device)


@lru_cache(maxsize=1)
def _check_inputs(job: Job) -> None:
    """Once in every process: what it has loaded is what was planned."""
    plan, world = Plan.model_validate_json(job.plan), job._loaded()
    now = make_plan(world.scenario, world.dataset, device=job.device)
    refuse_changes(plan, now, where=str(job.folder))


@dataclass(frozen=True)
class Outcome:
    """Of one run's training or of one cell: which, how long, and why it failed (empty if not).

    ``seconds`` of cells that were computed together are equal parts of the time they took.
    """

    task: int | Cell
    seconds: float
    failure: str = ""


def training_task(job: Job, run: int) -> list[Outcome]:
    """Stage 1 for one run. A failure here ends the whole run: nothing can follow it."""
    started = time.perf_counter()
    train_run(job.world(), RunFolder(job.folder), run)
    return [Outcome(run, time.perf_counter() - started)]


def audit_task(job: Job, cells: Sequence[Cell]) -> list[Outcome]:
    """Stages 2 and 3 for some cells of one run; nothing for those whose scores are there already.

    A cell that fails is reported with its reason and does not stop the others.
    """
    started = time.perf_counter()
    folder = RunFolder(job.folder)
    todo = [cell for cell in cells if not _scored(folder, cell)]
    failed: dict[Cell, Exception] = {}
    if todo:
        world = job.world()
        try:
            observe_cells(world, folder, todo)
            failed = attack_cells(world, folder, todo)
        except FAILURES as error:
            failed = dict.fromkeys((c for c in todo if not _scored(folder, c)), error)
        if not world.scenario.audit.keep_traces:
            needed = cells_for_layers(world.scenario)
            for cell in (cell for cell in todo if cell not in needed):
                shutil.rmtree(trace_folder(folder, cell), ignore_errors=True)
    for cell, reason in failed.items():
        _keep_traceback(folder, cell, reason)
    seconds = (time.perf_counter() - started) / len(cells)
    reasons = {cell: f"{type(reason).__name__}: {reason}" for cell, reason in failed.items()}
    return [Outcome(cell, seconds, reasons.get(cell, "")) for cell in cells]


def _scored(folder: RunFolder, cell: Cell) -> bool:
    return folder.file("scores", f"run-{cell.run}", f"{cell.name}.json").is_file()


def in_processes(
    task: Callable[..., list[Outcome]], job: Job, items: Iterable[Any], *, workers: int
) -> Iterator[Outcome]:
    """Run ``task(job, item)`` for each item on ``workers`` processes; outcomes as they come.

    One worker stays in this process.
    """
    # Interrupted, the pool's helper process would print after the one line that matters.
    os.environ.setdefault("PYTHONWARNINGS", f"ignore::UserWarning:{TRACKER}")
    with parallel_config(backend="loky", inner_max_num_threads=1):
        pool = Parallel(n_jobs=workers, return_as="generator_unordered")
        for outcomes in pool(delayed(task)(job, item) for item in items):
            yield from outcomes


def default_workers() -> int:
    """One process per core this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def _keep_traceback(folder: RunFolder, cell: Cell, error: Exception) -> None:
    text = "".join(traceback.format_exception(error))
    folder.write_text(f"failures/run-{cell.run}/{cell.name}.txt", text)
