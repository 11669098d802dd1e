"""Checks on the user's own files that hold for every format: one line, what and where."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from privaudit.data.dataset import UNKNOWN
from privaudit.errors import UserError, unknown_name

CLASS_LIMIT = 1_000
"""Most classes of a task, and most categories of a column: beyond, it is likely the wrong one."""

INTEGERS, NUMBERS, TEXTS = "biu", "biuf", "U"
"""Kinds of NumPy types: whole numbers (and booleans), numbers, strings."""

NAMES_SHOWN = 40


def user_file(path: str) -> Path:
    """The path of a readable, non-empty file; relative to the working folder, ``~`` expanded."""
    file = Path(path).expanduser()
    if not file.exists():
        raise UserError(f"no file {file}", remedy=f"looked for in {Path.cwd()}")
    if file.is_dir():
        raise UserError(f"{file} is a folder", remedy="name a file")
    if not file.stat().st_size:
        raise UserError(f"{file} is empty")
    return file


def unknown_column(name: str, columns: Sequence[str], path: Path) -> UserError:
    """The error for a column that is not there; of a long list only near matches are named."""
    shown = list(columns)
    if len(shown) > NAMES_SHOWN:
        shown = difflib.get_close_matches(name, shown, n=5)
    return unknown_name("column", name, shown, where=str(path))


def checked_length(values: np.ndarray, records: int, name: str, path: Path) -> np.ndarray:
    """``values`` as they are, if they are one per record."""
    if values.shape != (records,):
        raise UserError(
            f"'{name}' has shape {list(values.shape)}, expected [{records}] as there are "
            f"{records} records",
            where=str(path),
        )
    return values


def refuse_missing(bad: np.ndarray, name: str, path: Path, *, remedy: str | None = None) -> None:
    """Raise if any entry of the [N] booleans ``bad`` is set: says the column and how many."""
    count = int(bad.sum())
    if count:
        raise UserError(
            f"column '{name}' has {count} missing or non-finite values in {len(bad)} records "
            f"(the first in record {int(bad.argmax()) + 1})",
            where=str(path),
            remedy=remedy,
        )


def as_classes(values: np.ndarray, name: str, path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class indices [N] int64 and class names from whole numbers or strings, in sorted order."""
    if values.dtype.kind not in INTEGERS + TEXTS:
        _refuse_type(values, name, path, "whole numbers or strings")
    classes, labels = np.unique(values, return_inverse=True)
    if not 2 <= len(classes) <= CLASS_LIMIT:
        raise UserError(
            f"'{name}' has {len(classes)} distinct values, which cannot be the classes of a task",
            where=str(path),
            remedy=f"2 to {CLASS_LIMIT} are possible",
        )
    return labels.astype(np.int64), tuple(str(value) for value in classes)


def as_groups(values: np.ndarray, name: str, path: Path) -> np.ndarray:
    """Group ids [N] int64: the distinct whole numbers or strings, numbered in sorted order."""
    if values.dtype.kind not in INTEGERS + TEXTS:
        _refuse_type(values, name, path, "whole numbers or strings")
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def as_property(values: np.ndarray, name: str, path: Path) -> np.ndarray:
    """A property [N] int8 from 1 (present), 0 (absent), -1 (unknown); both 1 and 0 must occur."""
    if values.dtype.kind not in NUMBERS:
        _refuse_type(values, name, path, "1, 0 and -1")
    refuse_missing(~np.isfinite(values), name, path, remedy="mark an unknown value by -1")
    strange = values[~np.isin(values, (UNKNOWN, 0, 1))]
    if len(strange):
        raise UserError(
            f"property '{name}' is not binary: {len(strange)} values such as {strange[0]}",
            where=str(path),
            remedy="1 present, 0 absent, -1 unknown",
        )
    known = set(values[values != UNKNOWN].tolist())
    if known != {0, 1}:
        only = ", ".join(str(int(value)) for value in known) or "unknown"
        raise UserError(
            f"property '{name}' has one value only ({only})",
            where=str(path),
            remedy="an experiment needs records with and without it",
        )
    return values.astype(np.int8)


def as_table(values: np.ndarray, names: Sequence[str], path: Path) -> np.ndarray:
    """[N, F] numbers as float32; the first column that is not finite everywhere is refused."""
    with np.errstate(over="ignore"):
        table = np.ascontiguousarray(values, dtype=np.float32)
    for column, name in enumerate(names):
        refuse_missing(~np.isfinite(table[:, column]), name, path)
    return table


def listed(values: Iterable[object]) -> str:
    """The first values of a column, for an error message."""
    return ", ".join(str(value)[:40] for value in list(values)[:10])


def _refuse_type(values: np.ndarray, name: str, path: Path, needed: str) -> None:
    if values.dtype.kind == "f":
        refuse_missing(~np.isfinite(values), name, path)
    raise UserError(f"'{name}' holds {values.dtype}, not {needed}", where=str(path))
