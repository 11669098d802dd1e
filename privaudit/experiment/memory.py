"""Whether a run fits into memory, asked before it begins."""

from __future__ import annotations

from collections import deque

from privaudit.attack.rows import fit
from privaudit.errors import UserError
from privaudit.experiment.executors.protocol import Executor, quick
from privaudit.experiment.tasks import Job
from privaudit.machine import free_memory
from privaudit.world import World

PROCESS = 200_000_000
"""Bytes of a process with torch and scikit-learn loaded and nothing done (measured: 210 to 280)."""


def check_memory(executor: Executor, job: Job, workers: int) -> None:
    """Refuse a run that cannot fit on every machine, before anything is trained or written.

    Raises:
        UserError: the least it takes, what is free, and what to lower.
    """
    deque(executor.on_each_node(memory_task, job, workers), 0)


@quick
def memory_task(job: Job, workers: int) -> None:
    """The same where the model may be built."""
    world = job.world()
    free, least = free_memory(), least_memory(world) * workers
    if free is not None and least > free:
        shadows, size = world.scenario.audit.shadows, world.engine(0).layout.size
        raise UserError(
            f"takes at least {least / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free "
            f"({workers} processes, each beside one for attacks; {shadows} shadows of a kind, of "
            f"{size:,} parameters)",
            remedy="lower --workers, audit.shadows, or the size of the model",
        )


def least_memory(world: World) -> float:
    """Bytes a worker and its process for attacks certainly hold at once: a lower bound, where
    ``--dry-run`` estimates.

    In the worker the records and its model; beside it the adversary's own records, the model, a
    gradient and what was seen. And one round's shadows with and without the property, unless they
    lie in a file.
    """
    audit, size = world.scenario.audit, world.engine(0).layout.size
    vectors = 8
    if fit(audit.shadows, size):
        vectors += 2 * audit.shadows
    if audit.threat_model == "server":
        vectors += min(world.scenario.participants)
    vectors += audit.colluding(max(world.scenario.participants))
    records = world.dataset.inputs.nbytes + world.dataset.labels.nbytes
    own = len(world.pooled(0, max(world.scenario.participants))) / len(world.dataset)
    return 2 * PROCESS + (1 + own) * records + 4.0 * vectors * size
