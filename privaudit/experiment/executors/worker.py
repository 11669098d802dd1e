"""A worker process: reads tasks from its parent, answers in JSON, and dies with the parent.

The parent never unpickles what comes from here: whatever other people's code does to this process,
the parent, which may hold keys, reads numbers and texts.
"""

from __future__ import annotations

import importlib
import json
import os
import pickle
import queue
import struct
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, BinaryIO, get_type_hints

from pydantic import TypeAdapter

from privaudit.engine.process import collect_rarely, die_with
from privaudit.errors import MachineError, UserError

LENGTH = struct.Struct("<Q")
TASKS = "privaudit.experiment.tasks"


def main(parent: int) -> None:
    """Work until the parent closes the pipe or ends."""
    die_with(parent)
    collect_rarely()
    tasks, say = take_pipes()
    importlib.import_module(TASKS)  # while the parent is still busy with the first one
    while True:
        say(*_carry_out(tasks.get()))


def take_pipes(
    at_the_end: Callable[[], object] = lambda: None,
) -> tuple[queue.SimpleQueue[bytes], Callable[[str, Any], None]]:
    """The pipes for ourselves: what a model prints must not end up between the answers.

    Args:
        at_the_end: what to do before this process ends because the parent has gone.

    Returns:
        Requests as they come; and what says an answer, its kind and its content.
    """
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - as long as the process
    tasks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(requests, tasks, at_the_end), daemon=True).start()

    def say(kind: str, content: Any) -> None:
        data = json.dumps((kind, content)).encode()
        answers.write(LENGTH.pack(len(data)) + data)
        answers.flush()

    return tasks, say


def _read(
    requests: BinaryIO, tasks: queue.SimpleQueue[bytes], at_the_end: Callable[[], object]
) -> None:
    """Hand requests to the main thread; the end of the pipe is the end of the parent."""
    while header := requests.read(LENGTH.size):
        tasks.put(requests.read(LENGTH.unpack(header)[0]))
    try:
        at_the_end()
    finally:
        os._exit(0)


def _carry_out(request: bytes) -> tuple[str, Any]:
    try:
        task, job, item = pickle.loads(request)
        returned = TypeAdapter(get_type_hints(task)["return"])
        return "done", returned.dump_python(task(job, item), mode="json")
    except BaseException as error:  # SystemExit too: what a plug-in raises ends no worker
        return said_of(error)


def said_of(error: BaseException) -> tuple[str, Any]:
    """An error as an answer: its kind, and what makes it anew (:func:`.process.raised`)."""
    if isinstance(error, MachineError):
        return "machine", [error.what, error.where, error.remedy, error.fewer_workers]
    if isinstance(error, UserError):
        return "user", [error.what, error.where, error.remedy]
    if isinstance(error, MemoryError):
        return "memory", str(error)
    if isinstance(error, OSError):
        return "system", [error.errno, error.strerror or str(error), _text(error.filename)]
    where = "".join(traceback.format_exception(error))
    return "fault", [f"{type(error).__name__}: {error}", where]


def _text(filename: Any) -> str | None:
    """A file's name, where an error has one: a text, bytes, or the number of an open file."""
    return None if filename is None or isinstance(filename, int) else os.fsdecode(filename)
