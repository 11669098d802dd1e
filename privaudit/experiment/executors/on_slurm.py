"""Slurm, through submitit: the tasks of each stage are one array job."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from privaudit.errors import MachineError, UserError
from privaudit.experiment.executors import carrying
from privaudit.experiment.executors.cluster import Call, Machine
from privaudit.experiment.executors.parcel import Answer

LOOK = 0.5
"""Seconds after which a wait looks for results."""
SLOTS = 8
"""Tasks at once, where --workers does not say."""
MINUTES = 240
"""Of an array task, where ``time`` does not say."""
MEMORY_STATES = ("OUT_OF_MEMORY", "OOM")


@dataclass
class OnSlurm:
    """Array jobs of the cluster that this machine may submit to.

    Attributes:
        settings: of :class:`submitit.SlurmExecutor`, e.g. ``partition``, ``time`` (minutes),
            ``mem``, ``account``.
        gpus: of each task.
        kind: ``slurm``; ``local`` for processes of this machine in their place, for tests.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    gpus: float = 0.0
    kind: str = "slurm"

    def __post_init__(self) -> None:
        self._jobs: list[Any] = []

    @property
    def flag(self) -> str:
        """For errors."""
        return "--executor slurm"

    def environment(self) -> dict[str, str]:
        """Nothing beyond what every worker has."""
        return {}

    def refuse(self) -> None:
        """Submitit is not installed, or there is no Slurm."""
        if find_spec("submitit") is None:
            raise UserError(
                "submitit is not installed",
                where=self.flag,
                remedy="pip install 'privaudit[slurm]'",
            )
        if self.kind == "slurm" and not (shutil.which("sbatch") and shutil.which("srun")):
            raise UserError(
                "there is no Slurm on this machine (no sbatch)",
                where=self.flag,
                remedy="run it where jobs are submitted, or use --executor local or ray",
            )
        if self.gpus != int(self.gpus):
            raise UserError(
                f"Slurm gives whole GPUs, not {self.gpus:g}",
                where="--gpus-per-task",
                remedy="use 1, or share one on Ray",
            )

    def connect(self) -> list[Machine]:
        """Which machines they will be is not known; only how many at once."""
        return [Machine("", "slurm", SLOTS)]

    def warm_up(self, path: Sequence[str]) -> None:
        """For what is quick, and done here."""
        carrying.prepare(path)

    def carry_out(self, call: Call) -> Iterator[tuple[int, Answer]]:
        """See :class:`.cluster.Cluster`; what is quick is not worth a place in the queue."""
        numbers = range(len(call.requests))
        if call.quick:
            for number in numbers:
                yield number, carrying.carry_out(call.parcel(number))
            return
        folder = Path(mkdtemp(prefix="slurm-", dir=_shared(call.home)))
        try:
            executor = self._executor(folder, call.workers)
            self._jobs = executor.map_array(
                carrying.carry_out_once, [call.parcel(number) for number in numbers]
            )
            waiting = dict(zip(numbers, self._jobs, strict=True))
            while waiting:
                done = [number for number, job in waiting.items() if job.done()]
                for number in done:
                    yield number, _result(waiting.pop(number))
                if not done:
                    time.sleep(LOOK)
        finally:
            self.abandon()
            shutil.rmtree(folder, ignore_errors=True)

    def abandon(self) -> None:
        """Cancel what is not done."""
        for job in self._jobs:
            with suppress(Exception):  # it may be done by now, or Slurm be gone
                job.cancel(check=False)
        self._jobs = []

    def _executor(self, folder: Path, workers: int) -> Any:
        import submitit

        if self.kind == "local":
            return submitit.LocalExecutor(folder)
        given = {
            "job_name": "privaudit",
            "time": MINUTES,
            "cpus_per_task": 1,
            "array_parallelism": workers,
            **({"gpus_per_task": int(self.gpus)} if self.gpus else {}),
            **self.settings,
        }
        executor = submitit.SlurmExecutor(folder, python=sys.executable)
        try:
            executor.update_parameters(**given)
        except (TypeError, ValueError) as error:
            raise UserError(
                f"not a setting of Slurm: {error}", where="--slurm", remedy="e.g. partition=long"
            ) from error
        return executor


def _shared(home: str) -> Path:
    """Where jobs find what they are to do: beside the run, as both lie on the shared disk."""
    folder = Path(home).parent if home else Path.cwd()
    while not folder.is_dir():
        folder = folder.parent
    return folder


def _result(job: Any) -> Answer:
    from submitit.core.utils import FailedJobError, UncompletedJobError

    try:
        answer: Answer = job.result()
    except (FailedJobError, UncompletedJobError) as error:
        if job.state in MEMORY_STATES:
            raise MachineError(
                f"array task {job.job_id} outgrew its memory ({job.state})",
                remedy="ask for more with --slurm mem=8GB, or use a smaller model",
            ) from error
        raise MachineError(
            f"array task {job.job_id} did not end as it should ({job.state})",
            where="--executor slurm",
        ) from error
    return answer
