"""Tasks in worker processes on this machine."""

from __future__ import annotations

import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self, get_type_hints

from privaudit.attack.scratch import remove_abandoned
from privaudit.errors import MachineError, UserError
from privaudit.experiment.executors.environment import for_workers
from privaudit.experiment.executors.protocol import Item, Result, TaskError, Vanished

BOOT = (
    "import sys, pickle; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from privaudit.experiment.executors.worker import main; main({parent})"
)
"""Modules are looked for where the parent does, whatever lies in the current folder."""

LENGTH_BYTES = 8
LONGEST_ANSWER = 1 << 32
GOING = 5.0
"""Seconds that a process may take to go after it closed its pipe."""
LOOK = 0.5
"""Seconds after which a wait looks around: Windows hands over Ctrl-C only between waits."""


class Local:
    """Worker processes that stay until the block ends: a world is loaded once in each.

    They are started when there is work for them, or so many of them beforehand, which import what
    tasks need meanwhile. A process that ends in the middle of a task is
    replaced; its task's result is :class:`Vanished`.
    """

    def __init__(self, *, beforehand: int = 0) -> None:
        self._beforehand = beforehand
        self._idle: list[_Worker] = []
        self._busy: dict[_Worker, Any] = {}
        self._answers: queue.SimpleQueue[tuple[_Worker, str, Any]] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        self._idle += [_Worker(self._answers) for _ in range(self._beforehand)]
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
    ) -> Iterator[tuple[Item, Result | Vanished]]:
        """As :meth:`.protocol.Executor.each`."""
        from pydantic import TypeAdapter

        returned: TypeAdapter[Result] = TypeAdapter(get_type_hints(task)["return"])
        waiting = deque(items)
        try:
            while waiting or self._busy:
                while waiting and len(self._busy) < workers:
                    worker = self._idle.pop() if self._idle else _Worker(self._answers)
                    self._busy[worker] = waiting.popleft()
                    worker.give(task, job, self._busy[worker])
                worker, kind, content = self._next()
                item = self._busy.pop(worker)
                if kind == "vanished":
                    yield item, content
                    continue
                self._idle.append(worker)
                if kind != "done":
                    raise _raised(kind, content)
                yield item, returned.validate_python(content)
        finally:
            for worker in self._busy:  # left in the middle: what they do is of no use to anybody
                worker.kill()
                worker.wait()
            self._busy = {}

    def _next(self) -> tuple[_Worker, str, Any]:
        """The next answer of a worker at work."""
        while True:
            with suppress(queue.Empty):
                answer = self._answers.get(timeout=LOOK)
                if answer[0] in self._busy:
                    return answer
                if answer[0] in self._idle:  # ended while it had nothing to do
                    self._idle.remove(answer[0])


class _Worker:
    """One process, and a thread that waits for what it says."""

    def __init__(self, answers: queue.SimpleQueue[tuple[_Worker, str, Any]]) -> None:
        with _deaf_to_ctrl_c():
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", BOOT.format(parent=os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=for_workers(os.environ),
            )
        self._answers = answers
        self._send(pickle.dumps(sys.path))
        threading.Thread(target=self._listen, daemon=True).start()

    def give(self, task: Callable[..., Any], job: Any, item: Any) -> None:
        """Hand over one task; its end comes as an answer."""
        request = pickle.dumps((task, job, item))
        self._send(len(request).to_bytes(LENGTH_BYTES, "little") + request)

    def kill(self) -> None:
        """End the process now."""
        self._process.kill()

    def wait(self) -> None:
        """Until the process is gone."""
        self._process.wait()
        with suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()

    def _send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # it is gone: the listening thread says so
            self._process.stdin.write(data)
            self._process.stdin.flush()

    def _listen(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        with stream, suppress(OSError, ValueError):
            while len(header := stream.read(LENGTH_BYTES)) == LENGTH_BYTES:
                length = int.from_bytes(header, "little")
                if length > LONGEST_ANSWER:
                    break
                kind, content = json.loads(stream.read(length))
                self._answers.put((self, kind, content))
        try:
            code = self._process.wait(timeout=GOING)
        except subprocess.TimeoutExpired:  # it lives on, and can no longer be understood
            self._process.kill()
            self._process.wait()
            code = 1
        self._answers.put((self, "vanished", Vanished(code)))


def _raised(kind: str, content: Any) -> Exception:
    """The error that a task ended with, made anew from what is said of it."""
    if kind == "user":
        return UserError(content[0], where=content[1], remedy=content[2])
    if kind == "machine":
        return MachineError(
            content[0], where=content[1], remedy=content[2], fewer_workers=content[3]
        )
    if kind == "memory":
        return MemoryError(content)
    if kind == "system":
        number, text, name = content
        return OSError(text) if number is None else OSError(number, text, name)
    return TaskError(f"{content[0]}\n\nIn a worker process:\n{content[1]}")


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Ctrl-C reaches all processes of a terminal; only this one answers it, and ends the others."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
