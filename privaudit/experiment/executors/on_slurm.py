"""Slurm, through submitit: the tasks of each stage are one array job."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from time import monotonic, sleep
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
ASK, GRACE = 10.0, 30.0
"""Seconds after which the queue is asked again, and that the result of a task which has left it may
take to be seen on the shared disk."""


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
        self._folder: Path | None = None

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
        """Which machines they will be is not known; only how many at once.

        Raises:
            UserError: Slurm would refuse such jobs. It is asked by one that does nothing and is
                cancelled at once; of one that is held it does not see what no node has.
        """
        if self.kind == "slurm":
            with TemporaryDirectory(prefix="slurm-") as folder:
                try:
                    self._executor(Path(folder), 1).submit(int).cancel(check=False)
                except _refusal() as error:
                    raise UserError(
                        f"Slurm refuses: {_said(error)}",
                        where="--slurm",
                        remedy="sinfo shows which partitions and nodes there are",
                    ) from error
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
        self._folder = folder = Path(mkdtemp(prefix="slurm-", dir=_shared(call.home)))
        try:
            executor = self._executor(folder, call.workers)
            parcels = [call.parcel(number) for number in numbers]
            try:
                self._jobs = executor.map_array(carrying.carry_out_once, parcels)
            except _refusal() as error:
                raise MachineError(f"Slurm refuses: {_said(error)}", where=self.flag) from error
            waiting = dict(zip(numbers, self._jobs, strict=True))
            queue = _Queue(self.kind == "slurm")
            while waiting:
                done = [number for number, job in waiting.items() if job.done()]
                for number in done:
                    yield number, _result(waiting.pop(number))
                if done:
                    continue
                for number in queue.lost(waiting):
                    waiting.pop(number)
                    yield number, Answer("vanished", -signal.SIGKILL, {})
                sleep(LOOK)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Cancel what is not done, and clear away what jobs were given."""
        for job in self._jobs:
            with suppress(Exception):  # it may be done by now, or Slurm be gone
                job.cancel(check=False)
        self._jobs = []
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

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
            what = str(error).partition("Valid parameters")[0].strip()
            raise UserError(
                f"not a setting of Slurm: {what}", where="--slurm", remedy="e.g. partition=long"
            ) from error
        return executor


class _Queue:
    """Which array tasks have left the queue, and no result.

    A task that is killed leaves none. Where the cluster keeps accounts, submitit learns from them
    that it has failed; where it keeps none it would be waited for without end.
    """

    def __init__(self, there: bool) -> None:
        self._there = there
        self._asked = monotonic()
        self._missing: dict[int, float] = {}

    def lost(self, waiting: Mapping[int, Any]) -> list[int]:
        """Numbers of the jobs without a result that have been gone for long enough."""
        now = monotonic()
        if not self._there or now < self._asked + ASK:
            return []
        self._asked = now
        queued = _queued({str(job.job_id).partition("_")[0] for job in waiting.values()})
        if queued is None:
            return []
        gone = [number for number, job in waiting.items() if str(job.job_id) not in queued]
        self._missing = {number: self._missing.get(number, now) for number in gone}
        return [number for number, since in self._missing.items() if now >= since + GRACE]


def _queued(arrays: Iterable[str]) -> set[str] | None:
    """Array tasks that wait or run, as ``array_task``; None where Slurm does not say."""
    found = set()
    for array in arrays:
        command = ["squeue", "--noheader", "--array", "--jobs", array, "--format", "%F_%K"]
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
        if asked.returncode and "Invalid job id" not in asked.stderr:  # that is one long gone
            return None
        found |= set(asked.stdout.split())
    return found


def _refusal() -> type[Exception]:
    """What submitit raises where sbatch will not have a job."""
    from submitit.core.utils import FailedJobError

    refusal: type[Exception] = FailedJobError
    return refusal


def _said(error: Exception) -> str:
    """The last line that sbatch wrote."""
    return str(error).strip().splitlines()[-1].removeprefix("sbatch: error: ")


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
