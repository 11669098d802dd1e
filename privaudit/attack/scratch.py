"""Empty folders for the process for attacks, which go when it goes, however it went."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

PREFIX = "privaudit-attacks-"


class Scratch:
    """An empty folder among the temporary files, for as long as this process keeps it.

    It is locked, and the lock goes with this process: what a killed one left is known by that.
    """

    def __init__(self) -> None:
        remove_abandoned()
        lock = None
        while lock is None:  # whoever removes what is abandoned may come before the lock
            self.path = tempfile.mkdtemp(prefix=PREFIX)
            lock = _lock(self.path, wait=True)
        self._lock = lock

    def remove(self) -> None:
        """The folder and all it holds; does nothing the second time."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def remove_abandoned() -> None:
    """Remove the folders of processes that were killed."""
    for found in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        lock = _lock(str(found), wait=False)
        if lock is not None and lock >= 0:
            shutil.rmtree(found, ignore_errors=True)
            os.close(lock)


def _lock(path: str, *, wait: bool) -> int | None:
    """The open folder, locked and still there; -1 where folders have no locks; None: it is not."""
    if sys.platform == "win32":
        return -1
    import fcntl

    try:
        opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:  # gone, somebody else's, or no folder
        return None
    with suppress(OSError):  # somebody else has it
        fcntl.flock(opened, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        if os.path.isdir(path) and os.fstat(opened).st_uid == os.geteuid():
            return opened
    os.close(opened)
    return None
