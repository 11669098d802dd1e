"""What an executor does, and what it says of a task whose process is gone."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from privaudit.machine import cores

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


Then = Callable[[Item, Result | Vanished], Iterable[Item]]


def nothing(item: Any, result: Any) -> tuple[()]:
    """Follows from what is done."""
    return ()


@dataclass(frozen=True)
class Node:
    """A machine that computes.

    Attributes:
        name: what its owners call it; empty for this one.
        processes: how many tasks it has at once, at the most.
    """

    name: str
    processes: int


class Executor(Protocol):
    """Carries out tasks.

    A task is a function at the top level of a module that takes a job (the same for all items) and
    an item. What it returns is passed on as JSON, so it must say by its annotation what that is:
    numbers, texts, lists, tables, dataclasses and pydantic models of these. What it reads of the
    run folder it says by :func:`reads`; whatever it writes there is there when its result is.
    """

    def each(
        self,
        task: Callable[[Any, Item], Result],
        job: Any,
        items: Iterable[Item],
        *,
        workers: int = 1,
        then: Then[Item, Result] = nothing,
    ) -> Iterator[tuple[Item, Result | Vanished]]:
        """Call ``task(job, item)`` for every item, ``workers`` at a time; results as they come.

        Args:
            task: what is called.
            job: the same for all.
            items: what there is to do from the start.
            workers: how many at a time.
            then: which items follow from one that is done. They are done when there is room, at
                the latest when all before them are.

        Raises:
            UserError, MachineError, OSError, MemoryError: as the task raised it.
            TaskError: the task raised anything else; what and where.
        """

    def leave(self) -> None:
        """End the tasks of an iteration that has begun and that nobody will wait for."""
        return  # most begin when they are waited for

    elsewhere: bool = False
    """Whether it computes on other machines, too."""

    @property
    def slots(self) -> int:
        """Tasks there is room for at once."""
        return cores()

    def on_each_node(
        self, task: Callable[[Any, int], Result], job: Any, workers: int
    ) -> Iterator[tuple[Node, Result | Vanished]]:
        """Call ``task(job, processes)`` once on every machine that some of the workers may be on.

        Raises:
            as :meth:`each`; what a user can cause with the name of the node.
        """
        for _, result in self.each(task, job, [workers]):
            yield Node("", workers), result


Task = TypeVar("Task", bound=Callable[..., Any])


def reads(files: Callable[[Any, Any], Iterable[str]]) -> Callable[[Task], Task]:
    """State which files and folders of the run folder a task reads, where they are there.

    Args:
        files: what they are called, of a job and an item; below the run folder.
    """

    def mark(task: Task) -> Task:
        task.reads = files  # type: ignore[attr-defined]
        return task

    return mark


def quick(task: Task) -> Task:
    """State that a task is a matter of seconds: not worth a place in a queue."""
    task.quick = True  # type: ignore[attr-defined]
    return task


class TaskError(RuntimeError):
    """What a task ended with in a worker process, with its traceback there: a fault of ours."""
