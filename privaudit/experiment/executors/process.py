"""A worker process as its parent has it: work in by pickle, answers out as JSON."""

from __future__ import annotations

import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any

from privaudit.errors import MachineError, UserError
from privaudit.experiment.executors.environment import for_workers
from privaudit.experiment.executors.protocol import TaskError, Vanished

BOOT = (
    "import sys, pickle; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from privaudit.experiment.executors.{module} import main; main({parent})"
)
"""Modules are looked for where the parent does, whatever lies in the current folder."""

WORKER = "worker"
LENGTH_BYTES = 8
LONGEST_ANSWER = 1 << 32
GOING = 5.0
"""Seconds that a process may take to go after it closed its pipe, or was asked to go."""

Answers = queue.SimpleQueue[tuple["WorkerProcess", str, Any]]


class WorkerProcess:
    """One process, and a thread that waits for what it says.

    Args:
        answers: where its answers go: which process, the kind, the content. The last one is
            ``vanished``.
        module: whose ``main`` it runs.
        path: where it looks for modules.
        environment: on top of what it may have of ours.
        stderr: where it writes what is for people; None = where we do.
    """

    def __init__(
        self,
        answers: Answers,
        *,
        module: str = WORKER,
        path: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        stderr: IO[bytes] | None = None,
    ) -> None:
        with _deaf_to_ctrl_c():
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", BOOT.format(module=module, parent=os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=for_workers(os.environ) | dict(environment or {}),
            )
        self._answers = answers
        self._send(pickle.dumps(list(path or sys.path)))
        threading.Thread(target=self._listen, daemon=True).start()

    def give(self, *request: Any) -> None:
        """Hand over one task, a job and an item; its end comes as an answer."""
        data = pickle.dumps(request)
        self._send(len(data).to_bytes(LENGTH_BYTES, "little") + data)

    def kill(self) -> None:
        """End the process now."""
        self._process.kill()

    def dismiss(self) -> None:
        """Ask it to end by itself; end it where it does not."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=GOING)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()

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


def raised(kind: str, content: Any) -> Exception:
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
