"""Which executor a run gets, and how many processes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from privaudit.errors import UserError
from privaudit.experiment.executors.here import Here
from privaudit.experiment.executors.local import Local
from privaudit.experiment.executors.protocol import Executor
from privaudit.machine import cores

MOST_WORKERS = 1024


def executor_for(
    given: Executor | None, workers: int | None, *, holds_keys: bool = False
) -> AbstractContextManager[Executor]:
    """The executor given, or one of our own; other people's code never runs where keys are."""
    if given is not None:
        return nullcontext(given)
    alone = (workers or cores()) == 1 and not holds_keys
    return nullcontext(Here()) if alone else Local()


def number_of_workers(asked: int | None, *, most: int, of: Executor | None = None) -> int:
    """Processes to use: those asked for, or else as many as there is room for, or cells.

    Args:
        asked: None = one per core of whatever the executor computes on.
        most: cells to share out.
        of: the executor; None = one of this machine.

    Raises:
        UserError: fewer than 1 were asked for, or more than ``most``.
    """
    if asked is None:
        return min(cores() if of is None else of.slots, most)
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
