"""Tasks for worker processes that end in every way a task can end."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
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


def one_waits(folder: Path, item: str) -> str:
    """``slow`` is done once ``later`` is."""
    for _ in range(600 if item == "slow" else 0):
        if (folder / "later").exists():
            break
        time.sleep(0.1)
    (folder / item).touch()
    return item


def wait_for(folder: Path, count: int) -> list[int]:
    """The processes of so many tasks that sleep."""
    for _ in range(600):
        found = [int(file.name) for file in folder.iterdir()]
        if len(found) == count:
            return found
        time.sleep(0.1)
    raise AssertionError("they never began")


def interrupt_when(folder: Path, count: int) -> None:
    """Ctrl-C for this process as soon as so many tasks sleep."""

    def press() -> None:
        wait_for(folder, count)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()


def all_gone(folder: Path) -> bool:
    """Whether the processes of tasks that sleep end in time."""
    for _ in range(200):
        if not any(map(alive, (int(file.name) for file in folder.iterdir()))):
            return True
        time.sleep(0.05)
    return False


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def end_submitted(_: str, item: int) -> int:
    """End the process that waits for this one, and that one with it."""
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)
    return item
