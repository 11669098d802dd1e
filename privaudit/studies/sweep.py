"""The same audit at several values of one setting: what the leak depends on.

A sweep is a folder with ``scenario.json`` (the scenario with its ``[sweep]``), one run folder per
value, and ``report/``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from privaudit.custody.folder import RunFolder
from privaudit.errors import UserError
from privaudit.evaluation.cells import TableCell, one_family, table_cells
from privaudit.evaluation.records import parse_records
from privaudit.experiment import tasks
from privaudit.experiment.executors.choice import executor_for, number_of_workers
from privaudit.experiment.executors.protocol import Executor
from privaudit.experiment.tasks import Job
from privaudit.experiment.training import training_rows
from privaudit.progress import Progress
from privaudit.scenario.grid import cells_of
from privaudit.scenario.load import variants
from privaudit.scenario.schema import Scenario
from privaudit.scenario.write import resolved_toml
from privaudit.studies.several import run_audits


@dataclass(frozen=True)
class Accuracy:
    """Test accuracy after the ordinary training: mean and range over runs."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class SweepPoint:
    """The audit at one value.

    Attributes:
        value: as in the scenario.
        folder: name of its run folder.
        scenario: what was run there.
        cells: of its table; ``q_value`` is over all cells of the whole sweep.
        accuracy: of the main task before the audited rounds; None without ordinary training.
    """

    value: Any
    folder: str
    scenario: Scenario
    cells: tuple[TableCell, ...]
    accuracy: Accuracy | None

    @property
    def label(self) -> str:
        """:func:`value_text` of the value."""
        return value_text(self.value)


@dataclass(frozen=True)
class Sweep:
    """A finished sweep: the scenario with its ``[sweep]``, and a point per value, in its order."""

    scenario: Scenario
    key: str
    points: tuple[SweepPoint, ...]


def measure_sweep(
    scenario: Scenario,
    out: Path,
    *,
    data_dir: Path | None = None,
    workers: int | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    device: str = "cpu",
    executor: Executor | None = None,
) -> None:
    """Run the scenario once per value of its ``[sweep]`` and leave the run folders below ``out``.

    Every value is checked on the data before the first one is run.

    Args:
        scenario: with a ``[sweep]``; the runs keep no ledger and no traces.
        out: folder of the sweep; must be new or empty unless ``resume``.
        data_dir: where data sets lie.
        workers: processes.
        resume: go on with an interrupted sweep of this scenario.
        progress: shows how far each stage is.
        device: where models are computed.
        executor: who runs models, training and attacks, as in :func:`run_audit`.

    Raises:
        UserError: a value cannot be run, or the folder cannot be used.
    """
    plans = sweep_plans(scenario)
    workers = number_of_workers(
        workers, most=min(len(cells_of(p)) for p in plans.values()), of=executor
    )
    if resume:
        RunFolder.open(out)  # or else there is nothing to go on with
    elif (out / "scenario.json").exists():
        raise UserError(
            "holds a run or a sweep already",
            where=str(out),
            remedy="choose another --out, or go on with --resume",
        )
    with executor_for(executor, workers) as runner:
        for plan in plans.values():
            tasks.check(runner, Job.of(plan, data_dir, out, device))()
        with RunFolder.create(out, scenario, resume=resume) as folder:
            folder.write_text("scenario.toml", resolved_toml(scenario))
            run_audits(
                plans,
                out,
                data_dir=data_dir,
                workers=workers,
                resume=resume,
                progress=progress,
                device=device,
                executor=runner,
            )


def read_sweep(out: Path) -> Sweep:
    """What a finished sweep found, from its records alone.

    Raises:
        UserError: no sweep in this folder, or a value has no records yet.
    """
    scenario = RunFolder.open(out).scenario()
    if scenario.sweep is None:
        raise UserError("a run, not a sweep", where=str(out), remedy="use privaudit table")
    points = [
        _point(value, out, name)
        for value, name in zip(scenario.sweep.values, sweep_plans(scenario), strict=True)
    ]
    family = iter(one_family(cell for point in points for cell in point.cells))
    points = [replace(p, cells=tuple(next(family) for _ in p.cells)) for p in points]
    return Sweep(scenario, scenario.sweep.key, tuple(points))


def value_text(value: Any) -> str:
    """A value as a scenario has it; a name without quotes, unless it looks like something else."""
    if isinstance(value, str):
        try:
            json.loads(value)
        except ValueError:
            return value
    return json.dumps(value)


def sweep_plans(scenario: Scenario) -> dict[str, Scenario]:
    """Folder name -> what is run there, one per value.

    Raises:
        UserError: it asks about rebuilt records, of which there is no AUC to compare.
    """
    assert scenario.sweep is not None, "a sweep is over something"
    if scenario.reconstruction:
        raise UserError(
            "a sweep compares scores, and [reconstruction] has none",
            where="sweep",
            remedy="use privaudit dilution, several batch_sizes in one run, or a run per value",
        )
    key, values = scenario.sweep.key, scenario.sweep.values
    plans = {}
    for number, (value, variant) in enumerate(zip(values, variants(scenario), strict=True)):
        text = value_text(value)
        title = f"{scenario.title or scenario.name} ({key} = {text})"
        named = re.sub(r"[^A-Za-z0-9.-]+", "-", text)[:40]
        plans[f"{number:02d}-{named}"] = variant.model_copy(update={"title": title})
    return plans


def _point(value: Any, out: Path, name: str) -> SweepPoint:
    folder = RunFolder.open(out / name)
    scenario = folder.scenario()
    where = str(folder.file("records.jsonl"))
    cells = table_cells(parse_records(folder.read_lines("records.jsonl"), where=where))
    accuracy = _accuracy(training_rows(folder, scenario.runs))
    return SweepPoint(value, name, scenario, tuple(cells), accuracy)


def _accuracy(training: Sequence[dict[str, Any]]) -> Accuracy | None:
    last = max((row["round"] for row in training), default=None)
    final = [row["test_accuracy"] for row in training if row["round"] == last]
    return Accuracy(float(np.mean(final)), min(final), max(final)) if final else None
