"""Tasks in worker processes on this machine."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, get_type_hints

from privaudit.attack.scratch import remove_abandoned
from privaudit.experiment.executors.process import Answers, WorkerProcess, raised
from privaudit.experiment.executors.protocol import Executor, Item, Result, Then, Vanished, nothing

LOOK = 0.5
"""Seconds after which a wait looks around: Windows hands over Ctrl-C only between waits."""


class Local(Executor):
    """Worker processes that stay until the block ends: a world is loaded once in each.

    They are started when there is work for them, or so many of them beforehand, which import what
    tasks need meanwhile. A process that ends in the middle of a task is
    replaced; its task's result is :class:`Vanished`.
    """

    def __init__(self, *, beforehand: int = 0) -> None:
        self._beforehand = beforehand
        self._idle: list[WorkerProcess] = []
        self._busy: dict[WorkerProcess, Any] = {}
        self._answers: Answers = queue.SimpleQueue()

    def __enter__(self) -> Self:
        self._idle += [WorkerProcess(self._answers) for _ in range(self._beforehand)]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes, at work or not, and wait until they are gone."""
        workers = [*self._busy, *self._idle]
        self._idle, self._busy = [], {}
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.wait()
        remove_abandoned()  # of the attacks that ran below them

    def each(
        self,
        task: Callable[[Any, Item], Result],
        job: Any,
        items: Iterable[Item],
        *,
        workers: int = 1,
        then: Then[Item, Result] = nothing,
    ) -> Iterator[tuple[Item, Result | Vanished]]:
        """As :meth:`.protocol.Executor.each`; begun at once, and one after the other only."""
        from pydantic import TypeAdapter

        self.leave()
        returned: TypeAdapter[Result] = TypeAdapter(get_type_hints(task)["return"])
        waiting, busy = deque(items), self._busy

        def give() -> None:
            while waiting and len(busy) < workers:
                worker = self._idle.pop() if self._idle else WorkerProcess(self._answers)
                busy[worker] = waiting.popleft()
                worker.give(task, job, busy[worker])

        def go_on(item: Item, result: Result | Vanished) -> None:
            waiting.extend(then(item, result))
            give()

        give()
        return self._outcomes(busy, go_on, returned.validate_python)

    def _outcomes(
        self,
        busy: dict[WorkerProcess, Item],
        go_on: Callable[[Item, Result | Vanished], None],
        read: Callable[[Any], Result],
    ) -> Iterator[tuple[Item, Result | Vanished]]:
        """Of workers at work, who are given more as soon as one is done."""
        try:
            while busy:
                assert busy is self._busy, "another iteration has begun"
                worker, kind, content = self._next()
                item = busy.pop(worker)
                if kind != "vanished":
                    self._idle.append(worker)
                    if kind != "done":
                        raise raised(kind, content)
                result = content if kind == "vanished" else read(content)
                go_on(item, result)
                yield item, result
        finally:
            if busy is self._busy:
                self.leave()

    def leave(self) -> None:
        """End those in the middle of something: what they do is of no use to anybody."""
        for worker in self._busy:
            worker.kill()
            worker.wait()
        self._busy = {}

    def _next(self) -> tuple[WorkerProcess, str, Any]:
        """The next answer of a worker at work."""
        while True:
            with suppress(queue.Empty):
                answer = self._answers.get(timeout=LOOK)
                if answer[0] in self._busy:
                    return answer
                if answer[0] in self._idle:  # ended while it had nothing to do
                    self._idle.remove(answer[0])
