"""Units of work for worker processes: small arguments in, seconds and failure out."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed, parallel_config

from privaudit.attack.scoring import MODEL, Failure, failure_of
from privaudit.engine.process import tune_process
from privaudit.errors import UserError
from privaudit.experiment.attacking import attack_cells
from privaudit.experiment.cells import Cell, cells_for_layers, trace_folder
from privaudit.experiment.folder import RunFolder
from privaudit.experiment.observing import keep_evidence, observe_cells
from privaudit.experiment.plan import Plan, make_plan, refuse_changes
from privaudit.experiment.training import train_run
from privaudit.experiment.world import World, load_world
from privaudit.scenario.schema import Scenario

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

    @property
    def attacks(self) -> list[str]:
        """Of the scenario."""
        return Scenario.model_validate_json(self.scenario_json).audit.attacks


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


def training_task(job: Job, run: int) -> list[Outcome]:
    """Stage 1 for one run. A failure here ends the whole run: nothing can follow it.

    Raises:
        UserError: the model failed, in one line; the traceback is kept.
    """
    started = time.perf_counter()
    folder = RunFolder(job.folder)
    try:
        train_run(job.world(), folder, run)
    except (UserError, OSError):
        raise
    except BaseException as error:
        failure = failure_of(MODEL, error)
        file = _keep_traceback(folder, f"run-{run}/training", failure.traceback)
        raise UserError(
            f"{failure.reason}", where=f"training of run {run}", remedy=f"traceback: {file}"
        ) from error
    return [Outcome(run, time.perf_counter() - started)]


def audit_task(job: Job, cells: Sequence[Cell]) -> list[Outcome]:
    """Stages 2 and 3 for some cells of one run; nothing for those whose scores are there already.

    What an attack or the model ends with is a failure of that attack or of these cells: it is
    reported with its reason, its traceback is kept, and the others go on.
    """
    started = time.perf_counter()
    folder = RunFolder(job.folder)
    todo = [cell for cell in cells if not _scored(folder, cell, job.attacks)]
    failures: dict[Cell, dict[str, Failure]] = {}
    if todo:
        world = job.world()
        failures = _observe_and_attack(world, folder, todo)
        if not world.scenario.audit.keep_traces:
            needed = cells_for_layers(world.scenario)
            for cell in (cell for cell in todo if cell not in needed):
                shutil.rmtree(trace_folder(folder, cell), ignore_errors=True)
    for cell, failed in failures.items():
        text = "\n".join(f"{f.reason}\n{f.traceback}" for f in dict.fromkeys(failed.values()))
        _keep_traceback(folder, f"run-{cell.run}/{cell.name}", text)
    seconds = (time.perf_counter() - started) / len(cells)
    return [
        Outcome(cell, seconds, {n: f.reason for n, f in failures.get(cell, {}).items()})
        for cell in cells
    ]


def _observe_and_attack(
    world: World, folder: RunFolder, cells: Sequence[Cell]
) -> dict[Cell, dict[str, Failure]]:
    """Cell -> attack -> failure, of those that failed; the scores of all others are written.

    Evidence for the ledger is written when the attacks are done: while they run, nothing that a
    participant would not see lies on disk. Scores come last, as they say that a cell is finished.
    """
    attacks = world.scenario.audit.attacks
    try:
        evidence = observe_cells(world, folder, cells)
    except OSError:
        raise
    except BaseException as error:
        failed = failure_of(MODEL, error)
        return {cell: dict.fromkeys(attacks, failed) for cell in cells}
    found = attack_cells(world, folder, cells)
    keep_evidence(folder, evidence)
    for cell, results in found.items():
        scores = {name: s for name, s in results.items() if not isinstance(s, Failure)}
        if scores:
            folder.write_json(scores_file(cell), scores)
    return {
        cell: {name: s for name, s in results.items() if isinstance(s, Failure)}
        for cell, results in found.items()
    }


def scores_file(cell: Cell) -> str:
    """Where the scores of a cell lie in the run folder."""
    return f"scores/run-{cell.run}/{cell.name}.json"


def _scored(folder: RunFolder, cell: Cell, attacks: Sequence[str]) -> bool:
    file = scores_file(cell)
    return folder.file(file).is_file() and set(folder.read_json(file)) == set(attacks)


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


def _keep_traceback(folder: RunFolder, name: str, text: str) -> Path:
    return folder.write_text(f"failures/{name}.txt", text)
