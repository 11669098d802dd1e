"""Units of work for worker processes: small arguments in, seconds and failure out."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed, parallel_config

from privaudit.engine.process import tune_process
from privaudit.errors import UserError
from privaudit.experiment.attacking import attack_cell
from privaudit.experiment.cells import Cell
from privaudit.experiment.folder import RunFolder
from privaudit.experiment.observing import observe_cell
from privaudit.experiment.training import train_run
from privaudit.experiment.world import World, load_world

TRACKER = "joblib.externals.loky.backend.resource_tracker"


@dataclass(frozen=True)
class Job:
    """What every task of a run is given; a worker process loads the world once and keeps it."""

    scenario_json: str
    data_dir: Path | None
    folder: Path

    def world(self) -> World:
        """The scenario with its data."""
        tune_process()
        return load_world(self.scenario_json, self.data_dir)


@dataclass(frozen=True)
class Outcome:
    """Of one task: which, how long, and why it failed (empty when it did not)."""

    task: int | Cell
    seconds: float
    failure: str = ""


def training_task(job: Job, run: int) -> Outcome:
    """Stage 1 for one run. A failure here ends the whole run: nothing can follow it."""
    started = time.perf_counter()
    train_run(job.world(), RunFolder(job.folder), run)
    return Outcome(run, time.perf_counter() - started)


def audit_task(job: Job, cell: Cell) -> Outcome:
    """Stages 2 and 3 for one cell; nothing if its scores are already there.

    A cell that fails is reported with its reason and does not stop the others.
    """
    started = time.perf_counter()
    folder = RunFolder(job.folder)
    if not folder.file("scores", f"run-{cell.run}", f"{cell.name}.json").is_file():
        try:
            world = job.world()
            observe_cell(world, folder, cell)
            attack_cell(world, folder, cell)
        except (UserError, ArithmeticError, RuntimeError, ValueError, MemoryError) as error:
            _keep_traceback(folder, cell)
            return Outcome(cell, time.perf_counter() - started, f"{type(error).__name__}: {error}")
    return Outcome(cell, time.perf_counter() - started)


def in_processes(
    task: Callable[..., Outcome], job: Job, items: Iterable[Any], *, workers: int
) -> Iterator[Outcome]:
    """Run ``task(job, item)`` for each item on ``workers`` processes, as they finish.

    One worker stays in this process.
    """
    # Interrupted, the pool's helper process would print after the one line that matters.
    os.environ.setdefault("PYTHONWARNINGS", f"ignore::UserWarning:{TRACKER}")
    with parallel_config(backend="loky", inner_max_num_threads=1):
        pool = Parallel(n_jobs=workers, return_as="generator_unordered")
        yield from pool(delayed(task)(job, item) for item in items)


def default_workers() -> int:
    """One process per core this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def _keep_traceback(folder: RunFolder, cell: Cell) -> None:
    folder.write_text(f"failures/run-{cell.run}/{cell.name}.txt", traceback.format_exc())
