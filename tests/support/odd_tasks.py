"""Tasks for worker processes that end in every way a task can end."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

from privaudit.errors import MachineError, UserError


def square(factor: int, item: int) -> list[float]:
    print("a model prints what it likes")
    return [factor * item * item / 3, float(os.getpid())]


def environment(_: str, name: str) -> str:
    return os.environ.get(name, "")


def end(how: str, item: int) -> int:
    if item != 1:
        return item
    if how == "exit":
        os._exit(0)
    if how == "crash":
        ctypes.string_at(0)
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "SystemExit":
        sys.exit(0)
    if how == "UserError":
        raise UserError("is wrong", where="here", remedy="do this")
    if how == "MachineError":
        raise MachineError("is gone", fewer_workers=True)
    if how == "OSError":
        raise OSError(28, "No space left on device", "/full/disk")
    if how == "MemoryError":
        raise MemoryError
    raise ZeroDivisionError("a fault")


def sleep(folder: Path, item: int) -> int:
    (folder / f"{os.getpid()}").touch()
    time.sleep(60)
    return item
