"""What an executor does, and what it says of a task whose process is gone."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

KILLED = (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM))
"""How the system, or a person, ends a process; one that crashes ends by other signals."""


@dataclass(frozen=True)
class Vanished:
    """A worker process that ended in the middle of a task.

    Attributes:
        code: its exit code; minus the signal where it was ended by one.
    """

    code: int

    @property
    def killed(self) -> bool:
        """Whether somebody else ended it: mostly the system, for lack of memory."""
        return -self.code in KILLED

    def __str__(self) -> str:
        how = f"with exit code {self.code}"
        if self.code < 0:
            known = {int(s): s.name for s in signal.Signals}
            how = f"by {known.get(-self.code, f'signal {-self.code}')}"
        return f"its process ended {how}"


class Executor(Protocol):
    """Carries out tasks.

    A task is a function at the top level of a module that takes a job (the same for all items) and
    an item. What it returns is passed on as JSON, so it must say by its annotation what that is:
    numbers, texts, lists, tables, dataclasses and pydantic models of these.
    """

    def each(
        self,
        task: Callable[[Any, Item], Result],
        job: Any,
        items: Iterable[Item],
        *,
        workers: int = 1,
    ) -> Iterator[tuple[Item, Result | Vanished]]:
        """Call ``task(job, item)`` for every item, ``workers`` at a time; results as they come.

        Raises:
            UserError, MachineError, OSError, MemoryError: as the task raised it.
            TaskError: the task raised anything else; what and where.
        """


class TaskError(RuntimeError):
    """What a task ended with in a worker process, with its traceback there: a fault of ours."""
