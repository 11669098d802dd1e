"""What interrupts a run, in one line that says how to go on."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from privaudit.cli.app import interrupted, system_error
from privaudit.errors import MachineError, UserError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def resumable(
    go_on: str, *, fewer_workers: str, begun: Callable[[], bool] = lambda: True
) -> Iterator[None]:
    """End what a signal, a disk or memory stopped with the command that goes on.

    Args:
        go_on: that command.
        fewer_workers: the same with one worker.
        begun: whether there is anything to go on with.
    """
    try:
        yield
    except KeyboardInterrupt:
        interrupted(f"; go on with: {go_on}" if begun() else ", nothing begun")
    except MachineError as error:
        if not begun():
            raise
        command = fewer_workers if error.fewer_workers else go_on
        raise UserError(str(error), remedy=f"go on with: {command}") from error
    except MemoryError as error:
        if not begun():
            raise
        raise UserError(
            "not enough memory", remedy=f"use fewer workers: {fewer_workers}"
        ) from error
    except OSError as error:
        if not begun():
            raise
        first = "make room on the disk, then " if error.errno in FULL else ""
        raise UserError(system_error(error), remedy=f"{first}go on with: {go_on}") from error
