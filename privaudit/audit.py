"""The main path, top to bottom.

scenario -> data -> federation -> trace -> attack -> scores + truth -> records -> report

Every stage leaves its results in the run folder (:mod:`privaudit.custody.folder`), so each can be
run again from what the one before left, and an interrupted run goes on where it stopped. When a
stage is done, a listener hears of it: the reward ledger, where the scenario keeps one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import chain
from pathlib import Path
from threading import Thread
from typing import TypeVar

from privaudit.custody.folder import REMARKS, RunFolder
from privaudit.custody.manifest import has_manifest, is_sealed, write_manifest, write_seal
from privaudit.custody.plan import Plan, keep_plan, make_plan
from privaudit.evaluation.layers import LAYERS, gathered_layers
from privaudit.evaluation.repeating import ask_for, check_repetitions, repeat
from privaudit.experiment import alikeness, tasks
from privaudit.experiment.data_sheet import DATA, describe_data
from privaudit.experiment.executors.choice import executor_for, number_of_workers
from privaudit.experiment.executors.protocol import Executor
from privaudit.experiment.listener import Listener
from privaudit.experiment.memory import check_memory
from privaudit.experiment.nodes import check_nodes
from privaudit.experiment.tasks import Job
from privaudit.ledger.attach import import_chain, ledger_of
from privaudit.ledger.place import Place
from privaudit.progress import Progress, Silent
from privaudit.scenario.grid import Cell, cells_of, groups_of
from privaudit.scenario.load import refuse_sweep
from privaudit.scenario.schema import Scenario
from privaudit.scenario.write import resolved_toml
from privaudit.world import World, load_world

T = TypeVar("T")


def run_audit(
    scenario: Scenario,
    out: Path,
    *,
    data_dir: Path | None = None,
    workers: int | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    place: Place | None = None,
    device: str = "cpu",
    executor: Executor | None = None,
    permute_all: int | None = None,
) -> RunFolder:
    """Run a scenario and leave everything it produced in ``out``.

    Args:
        scenario: what to run.
        out: folder for this run; must be new or empty unless ``resume``.
        data_dir: where data sets lie; None = ``PRIVAUDIT_DATA`` or the user's cache.
        workers: processes, at least 1; None = one per core of whatever the executor computes on.
        resume: go on with a run that was interrupted; what is finished is not computed again.
        progress: shows how far each stage is.
        place: the chain of the reward ledger; None = one of its own, in the run folder.
        device: where models are computed: ``cpu``, ``cuda``, ``cuda:1``; results agree up to
            rounding.
        executor: who runs models, training and attacks; None = worker processes of this call, or,
            with one worker and no chain of ``place``, this process.
        permute_all: how often to repeat all of it with the properties permuted over the data set
            (1 to 999), for a p-value that takes nothing else for granted; it changes no other
            result. A run that goes on keeps the number it was begun with.

    Raises:
        UserError: the scenario cannot be run on this data or is a sweep, the folder or the chain
            cannot be used, or what the run depends on has changed since it began; a
            ``MachineError`` where the same run can go on with ``resume``.
    """
    refuse_sweep(scenario)
    show, place = progress or Silent(), place or Place()
    workers = number_of_workers(workers, most=len(cells_of(scenario)), of=executor)
    job = Job.of(scenario, data_dir, out, device)
    with executor_for(executor, workers, holds_keys=place.rpc is not None) as runner:
        checked = tasks.check(runner, job)  # in a worker of this machine, if it has one: meanwhile
        world = _beside(runner, lambda: load_world(job.scenario_json, job.data_dir, device))
        import_chain(scenario)
        check_nodes(runner, job, world, workers)
        remarks = checked()
        check_memory(runner, job, workers)
        check_repetitions(world, job, permute_all)
        keep = ledger_of(scenario, place, show, resume=resume)
        with RunFolder.create(out, scenario, resume=resume) as folder:
            on_node = place.rpc is not None
            made = make_plan(scenario, world.dataset, device=device, on_node=on_node)
            plan = keep_plan(folder, made)
            job = replace(job, plan=plan.model_dump_json())
            run = _Run(world, plan, folder, job, runner, workers, show)
            if is_sealed(folder):
                return folder
            with keep(folder) as ledger:
                if not has_manifest(folder):
                    folder.write_json(REMARKS, remarks)
                    folder.write_text("scenario.toml", resolved_toml(scenario))
                    ask_for(folder, None if resume else permute_all)
                    if not ledger.has_records:  # what it has put in safety stays as it is
                        _measure(run, ledger)
                    ledger.judged()
                    _report(run)
                ledger.reported()
            write_seal(folder, ledger.facts)
    return folder


@dataclass(frozen=True)
class _Run:
    """What every stage needs."""

    world: World
    plan: Plan
    folder: RunFolder
    job: Job
    executor: Executor
    workers: int
    show: Progress


def _measure(run: _Run, listener: Listener) -> None:
    """From data to records."""
    scenario, executor, job, workers = run.world.scenario, run.executor, run.job, run.workers
    cells, groups = cells_of(scenario), groups_of(scenario, workers)
    done = tasks.train_and_audit(executor, job, groups, workers=workers)
    work = tasks.work_of_runs(scenario.runs, workers)
    early: list[tasks.Outcome] = []
    trained = _until_trained(done, scenario.runs, early)
    training = list(run.show.track(trained, stage="training", total=scenario.runs, work=work))
    _beside(executor, listener.trained)  # workers, where there are some, are at the first cells
    work = tasks.work_of_cells(groups, workers)
    before_last = len(cells) - sum(map(len, groups[1 - workers :])) if workers > 1 else 0
    heard = _meanwhile(chain(early, done), before_last, _import_reporting)
    outcomes = list(run.show.track(heard, stage="audit", total=len(cells), work=work))
    devices = tasks.time_devices(executor, job, scenario.report.devices)
    _beside(executor, listener.attacked)
    run.folder.write_lines("timings.jsonl", tasks.timings(training, outcomes, devices()))
    failures = {o.task: o.failures for o in outcomes if isinstance(o.task, Cell)}
    alike = alikeness.measured(executor, job, run.world, workers=workers)
    from privaudit.evaluation.truth import judge_run  # slow to import: not before the first round

    records = judge_run(run.world, run.plan, run.folder, failures, alike)
    run.folder.write_lines("records.jsonl", [r.model_dump(mode="json") for r in records])


def _beside(executor: Executor, do: Callable[[], T]) -> T:
    """Do something while workers are at what comes next; if it fails, nobody waits for them."""
    try:
        return do()
    except BaseException:
        executor.leave()
        raise


def _until_trained(
    done: Iterator[tasks.Outcome], runs: int, cells: list[tasks.Outcome]
) -> Iterator[tasks.Outcome]:
    """Of training, until all runs are trained; what is heard of cells meanwhile is put there."""
    while runs:
        outcome = next(done)
        if isinstance(outcome.task, int):
            runs -= 1
            yield outcome
        else:
            cells.append(outcome)


def _meanwhile(items: Iterable[T], count: int, do: Callable[[], None]) -> Iterator[T]:
    """The items; after so many of them, do something beside what follows."""
    for number, item in enumerate(items, start=1):
        yield item
        if number == count:
            Thread(target=do, daemon=True).start()


def _import_reporting() -> None:
    """What is slow to import: once there is less work left than workers, a processor is idle."""
    for module in ("privaudit.evaluation.truth", "privaudit.report.write"):
        with suppress(Exception):  # whoever needs it is told
            import_module(module)


def _report(run: _Run) -> None:
    """From records to report; the manifest, written last, says that all of it is there."""
    scenario, folder = run.world.scenario, run.folder
    layers = gathered_layers(folder, scenario)
    folder.write_lines(LAYERS, [layer.model_dump(mode="json") for layer in layers])
    repeat(folder, run.job, run.executor, run.workers, run.show)
    shutil.rmtree(folder.file("layers"), ignore_errors=True)
    if not scenario.audit.keep_traces:
        shutil.rmtree(folder.file("traces"), ignore_errors=True)
    # Not earlier: the data's checksum leads to the ground truth, which no attack may come across.
    folder.write_json(DATA, describe_data(run.world))
    from privaudit.report.write import write_report  # slow, too

    write_report(folder)
    write_manifest(folder)
