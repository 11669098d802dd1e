"""The main path, top to bottom.

scenario -> data -> federation -> trace -> attack -> scores + truth -> records -> report

Every stage leaves its results in the run folder (:mod:`privaudit.experiment.folder`), so each can
be run again from what the one before left, and an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from privaudit.errors import UserError
from privaudit.evaluation.judge import judge
from privaudit.evaluation.layers import LAYERS, measure_layers
from privaudit.evaluation.permuted import COUNT, asked_for, found_in, repetition_file
from privaudit.evaluation.records import Record
from privaudit.experiment import tasks
from privaudit.experiment.cells import Cell, cells_of, groups_of
from privaudit.experiment.data_sheet import DATA, describe_data
from privaudit.experiment.executors.here import Here
from privaudit.experiment.executors.local import Local
from privaudit.experiment.executors.protocol import Executor
from privaudit.experiment.folder import REMARKS, RunFolder
from privaudit.experiment.holdings import holdings_of
from privaudit.experiment.permuting import OPTION, check_permutations
from privaudit.experiment.plan import Plan, keep_plan, make_plan
from privaudit.experiment.tasks import Job, Outcome, default_workers, scores_file
from privaudit.experiment.training import trained_parameters
from privaudit.experiment.world import World, load_world
from privaudit.ledger.files import has_manifest, is_sealed, write_manifest
from privaudit.ledger.none import WithoutLedger, without_ledger
from privaudit.ledger.place import Place
from privaudit.memory import check_memory
from privaudit.report.write import write_report
from privaudit.scenario.load import refuse_sweep
from privaudit.scenario.schema import Scenario
from privaudit.scenario.write import resolved_toml

if TYPE_CHECKING:
    from privaudit.ledger.accounts import Accounts
    from privaudit.ledger.recording import RunLedger

T = TypeVar("T")

MOST_WORKERS = 1024


class Progress(Protocol):
    """Shows how far a stage is; the command line passes bars, a library user nothing."""

    def track(self, items: Iterable[T], *, stage: str, total: int) -> Iterator[T]:
        """Yield the items, counting them."""


class Silent:
    """No progress shown."""

    def track(self, items: Iterable[T], *, stage: str, total: int) -> Iterator[T]:
        """Yield the items."""
        yield from items


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
        workers: processes, at least 1; None = one per core.
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
    show = progress or Silent()
    workers = number_of_workers(workers, most=len(cells_of(scenario)))
    job = Job.of(scenario, data_dir, out, device)
    place = place or Place()
    with executor_for(executor, workers, holds_keys=place.rpc is not None) as runner:
        world = load_world(job.scenario_json, job.data_dir, device)
        remarks = tasks.check(runner, job)
        check_memory(runner, job, workers)
        if permute_all is not None:
            _check_repetitions(world, job, permute_all)
        accounts = place.accounts() if scenario.ledger.enabled else None
        if scenario.ledger.enabled and not resume:  # one that goes on has its own say about chains
            place.check_reachable()
        with RunFolder.create(out, scenario, resume=resume) as folder:
            on_node = place.rpc is not None
            plan = make_plan(scenario, world.dataset, device=device, on_node=on_node)
            job = replace(job, plan=keep_plan(folder, plan).model_dump_json())
            if not is_sealed(folder):
                with _ledger(folder, scenario, place, accounts) as ledger:
                    if not has_manifest(folder):
                        folder.write_json(REMARKS, remarks)
                        if permute_all is not None and not resume:
                            folder.write_json(COUNT, permute_all)
                        _compute(world, folder, job, ledger, runner, workers, show)
                    ledger.conclude()
    return folder


def executor_for(
    given: Executor | None, workers: int | None, *, holds_keys: bool = False
) -> AbstractContextManager[Executor]:
    """The executor given, or one of our own; other people's code never runs where keys are."""
    if given is not None:
        return nullcontext(given)
    alone = (workers or default_workers()) == 1 and not holds_keys
    return nullcontext(Here()) if alone else Local()


def number_of_workers(asked: int | None, *, most: int) -> int:
    """Processes to use: those asked for, or else one per core, but no more than there are cells.

    Raises:
        UserError: fewer than 1 were asked for, or more than ``most``.
    """
    if asked is None:
        return min(default_workers(), most)
    if asked < 1:
        raise UserError(f"workers must be at least 1, got {asked}", where="--workers")
    if asked > MOST_WORKERS:
        raise UserError(f"workers must be at most {MOST_WORKERS}, got {asked}", where="--workers")
    if asked > most:
        raise UserError(
            f"{asked} workers, but only {most} cells to share out",
            where="--workers",
            remedy=f"use at most {most}",
        )
    return asked


def run_audits(
    plans: Mapping[str, Scenario],
    out: Path,
    *,
    data_dir: Path | None = None,
    workers: int | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    device: str = "cpu",
    executor: Executor | None = None,
) -> None:
    """Run several scenarios one after the other, each in the folder of its name below ``out``.

    Args:
        plans: folder name -> scenario.
        out: folder for all of them.
        data_dir: as in :func:`run_audit`, and so the others.
        workers: processes.
        resume: go on with what was interrupted; what was not begun is begun.
        progress: shows how far each stage is.
        device: where models are computed.
        executor: who runs models, training and attacks.

    Raises:
        UserError: as :func:`run_audit`.
    """
    with executor_for(executor, workers) as runner:
        for name, plan in plans.items():
            folder = out / name
            run_audit(
                plan,
                folder,
                data_dir=data_dir,
                workers=workers,
                resume=resume and (folder / "scenario.json").exists(),
                progress=progress,
                device=device,
                executor=runner,
            )


def _compute(
    world: World,
    folder: RunFolder,
    job: Job,
    ledger: RunLedger | WithoutLedger,
    executor: Executor,
    workers: int,
    show: Progress,
) -> None:
    """From data to report; the manifest, written last, says that all of it is there."""
    folder.write_text("scenario.toml", resolved_toml(world.scenario))
    if not ledger.has_results:  # what is on the ledger stays as it is
        _measure(world, folder, job, ledger, executor, workers, show)
    ledger.record_results()
    layers = measure_layers(job, world.scenario, executor, workers=workers)
    folder.write_lines(LAYERS, [layer.model_dump(mode="json") for layer in layers])
    _repeat(folder, job, executor, workers, show)
    if not world.scenario.audit.keep_traces:
        shutil.rmtree(folder.file("traces"), ignore_errors=True)
    # Not earlier: the data's checksum leads to the ground truth, which no attack may come across.
    folder.write_json(DATA, describe_data(world))
    write_report(folder)
    write_manifest(folder)


def _measure(
    world: World,
    folder: RunFolder,
    job: Job,
    ledger: RunLedger | WithoutLedger,
    executor: Executor,
    workers: int,
    show: Progress,
) -> None:
    """From data to records."""
    scenario = world.scenario
    trained = tasks.train(executor, job, range(scenario.runs), workers=workers)
    training = list(show.track(trained, stage="training", total=scenario.runs))
    ledger.record_training(show)

    cells = cells_of(scenario)
    audited = tasks.audit(executor, job, groups_of(scenario, workers), workers=workers)
    outcomes = list(show.track(audited, stage="audit", total=len(cells)))
    ledger.record_cells(show)

    devices = tasks.time_devices(executor, job, scenario.report.devices)
    _write_timings(folder, [*training, *outcomes], devices)
    plan = Plan.model_validate_json(job.plan)
    records = _records(world, plan, folder, cells, outcomes)
    folder.write_lines("records.jsonl", [r.model_dump(mode="json") for r in records])


def _check_repetitions(world: World, job: Job, count: int) -> None:
    """Before anything is written: whether every repetition can be dealt.

    Raises:
        UserError: see :func:`privaudit.experiment.permuting.check_permutations`; or in one of them
            somebody would hold too few records.
    """
    check_permutations(world.dataset, world.scenario.audit.properties, count)
    for number in range(1, count + 1):
        made = replace(job, permutation=number).world()
        try:
            for run in range(world.scenario.runs):
                made.deal(run)
        except UserError as error:
            raise UserError(
                f"with the property permuted ({number} of {count}): {error.what}",
                where=OPTION,
                remedy="use a smaller audit.batch_size, fewer participants or more data",
            ) from error


def _repeat(folder: RunFolder, job: Job, executor: Executor, workers: int, show: Progress) -> None:
    """The audit with the properties permuted, as often as asked for; what is there stays."""
    places = {
        name: folder.file(name.removesuffix(".json"))
        for name in map(repetition_file, range(1, asked_for(folder) + 1))
    }
    todo = [(n, name) for n, name in enumerate(places, 1) if not folder.file(name).is_file()]
    stage = "audits with the property permuted"
    for number, name in show.track(todo, stage=stage, total=len(todo)):
        again = replace(job, folder=places[name], permutation=number, plan="")
        world = again.world()
        plan = make_plan(world.scenario, world.dataset, device=job.device)
        again = replace(again, plan=plan.model_dump_json())
        deque(tasks.train(executor, again, range(world.scenario.runs), workers=workers), 0)
        groups = groups_of(world.scenario, workers)
        deque(tasks.audit(executor, again, groups, workers=workers), 0)
        rows = found_in(RunFolder(places[name]), world)
        folder.write_json(name, [row.model_dump(mode="json") for row in rows])
    for place in places.values():
        shutil.rmtree(place, ignore_errors=True)


def _ledger(
    folder: RunFolder, scenario: Scenario, place: Place, accounts: Accounts | None
) -> AbstractContextManager[RunLedger | WithoutLedger]:
    if not scenario.ledger.enabled:
        return without_ledger(folder)
    from privaudit.ledger.recording import keep_ledger

    return keep_ledger(folder, scenario, place, accounts)


def _records(
    world: World, plan: Plan, folder: RunFolder, cells: list[Cell], outcomes: list[Outcome]
) -> list[Record]:
    """Scores joined with the truth, in table order whatever order the cells finished in.

    Here, with every attack done, the truth comes to lie on disk for the first time.
    """
    failures = {outcome.task: outcome.failures for outcome in outcomes}
    attacks = world.scenario.audit.attacks
    held = holdings_of(world, lambda run: trained_parameters(folder, run))
    records = []
    for cell in cells:
        failed = failures[cell]
        scores, present = {}, None
        if set(failed) != set(attacks):
            scores = folder.read_json(scores_file(cell))
            present = [bool(p) for p in world.presence(cell)]
            folder.write_json(f"truth/run-{cell.run}/{cell.name}.json", present)
        records += [
            judge(
                plan,
                cell,
                attack,
                checksum=world.dataset.checksum,
                scores=None if attack in failed else scores[attack],
                present=present,
                reason=failed.get(attack, ""),
                holdings=held[cell.run, cell.property, cell.participants],
            )
            for attack in attacks
        ]
    return records


def _write_timings(
    folder: RunFolder, outcomes: list[Outcome], devices: list[dict[str, Any]]
) -> None:
    rows = [
        {"stage": "audit", "run": o.task.run, "cell": o.task.name, "seconds": o.seconds}
        if isinstance(o.task, Cell)
        else {"stage": "training", "run": o.task, "seconds": o.seconds}
        for o in outcomes
    ]
    rows += [{"stage": "devices"} | row for row in devices]
    folder.write_lines("timings.jsonl", rows)
