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
from typing import Any, BinaryIO, get_type_hints

from pydantic import TypeAdapter

from privaudit.engine.process import die_with
from privaudit.errors import MachineError, UserError

LENGTH = struct.Struct("<Q")
TASKS = "privaudit.experiment.tasks"


def main(parent: int) -> None:
    """Work until the parent closes the pipe or ends."""
    die_with(parent)
    requests, answers = _take_pipes()
    tasks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(requests, tasks), daemon=True).start()
    importlib.import_module(TASKS)  # while the parent is still busy with the first one
    while True:
        data = json.dumps(_carry_out(tasks.get())).encode()
        answers.write(LENGTH.pack(len(data)) + data)
        answers.flush()


def _read(requests: BinaryIO, tasks: queue.SimpleQueue[bytes]) -> None:
    """Hand requests to the main thread; the end of the pipe is the end of the parent."""
    while header := requests.read(LENGTH.size):
        tasks.put(requests.read(LENGTH.unpack(header)[0]))
    os._exit(0)


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """The pipes for ourselves: what a model prints must not end up between the answers."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - as long as the process
    return requests, answers


def _carry_out(request: bytes) -> tuple[str, Any]:
    try:
        task, job, item = pickle.loads(request)
        returned = TypeAdapter(get_type_hints(task)["return"])
        return "done", returned.dump_python(task(job, item), mode="json")
    except MachineError as error:
        return "machine", [error.what, error.where, error.remedy, error.fewer_workers]
    except UserError as error:
        return "user", [error.what, error.where, error.remedy]
    except MemoryError as error:
        return "memory", str(error)
    except OSError as error:
        return "system", [error.errno, error.strerror or str(error), _text(error.filename)]
    except BaseException as error:  # SystemExit too: what a plug-in raises ends no worker
        return "fault", [f"{type(error).__name__}: {error}", traceback.format_exc()]


def _text(filename: Any) -> str | None:
    """A file's name, where an error has one: a text, bytes, or the number of an open file."""
    return None if filename is None or isinstance(filename, int) else os.fsdecode(filename)
