"""Errors a user can cause, and nothing else.

Our own bugs are ``assert`` and ordinary exceptions with a traceback; what a user can cause is a
:class:`UserError`, which the command line prints as one line and turns into exit code 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class UserError(ValueError):
    """Something the user asked for cannot be done: what, where, the value, and the remedy.

    Args:
        what: what is wrong, with the offending value, e.g. ``"unknown property 'age'"``.
        where: the file, key or flag it came from, e.g. ``"scenario.toml: audit.properties"``.
        remedy: what the user can do about it, e.g. ``"choose one of: bold, italic, serif"``.
    """

    def __init__(self, what: str, *, where: str | None = None, remedy: str | None = None) -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        parts = [f"{where}: {what}" if where else what]
        if remedy:
            parts.append(remedy)
        super().__init__(" ".join("; ".join(parts).split()))


class MachineError(UserError):
    """Memory, a disk or somebody else ended what was going on: it can go on from where it was.

    Args:
        fewer_workers: going on with one worker may help.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        remedy: str | None = None,
        fewer_workers: bool = False,
    ) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.fewer_workers = fewer_workers


def unknown_name(
    kind: str, value: str, known: Iterable[str], *, where: str | None = None
) -> UserError:
    """The error for a name that is not in a list: it names the nearest match and the whole list."""
    names = sorted(known)
    close = difflib.get_close_matches(value, names, n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return UserError(
        f"unknown {kind} '{value}'",
        where=where,
        remedy=f"{hint}known: {', '.join(names) if names else '(none)'}",
    )


def first_problem(error: ValidationError) -> str:
    """The first thing that is wrong with a value, after the key it is at: in one line."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    return f"{key} {first['msg']}".strip()


def failure_of_others(error: BaseException) -> str:
    """An exception that other people's code ended with, in one line: its type and what it says.

    Raises:
        KeyboardInterrupt: that was the user, not their code.
    """
    if isinstance(error, KeyboardInterrupt):
        raise error
    try:
        says = " ".join(str(error).split())
    except BaseException:  # their __str__ may fail as well
        says = ""
    return f"{type(error).__name__}: {says}" if says else type(error).__name__
