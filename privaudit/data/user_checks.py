"""Checks on the user's own files that hold for every format: one line, what and where."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from privaudit.data.dataset import UNKNOWN
from privaudit.data.missing import states_nothing
from privaudit.errors import UserError, unknown_name

CLASS_LIMIT = 1_000
"""Most classes of a task, and most categories of a column: beyond, it is likely the wrong one."""

INTEGERS, NUMBERS, TEXTS = "biu", "biuf", "U"
"""Kinds of NumPy types: whole numbers (and booleans), numbers, strings."""

NAMES_SHOWN = 40


def user_file(path: str) -> Path:
    """The path of a readable, non-empty file, ``~`` expanded."""
    file = Path(path).expanduser()
    if not file.exists():
        raise UserError(
            f"no file {file}", remedy="a path in a scenario starts at the scenario's own folder"
        )
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


def has_dimensions(values: np.ndarray, kind: str) -> bool:
    """Whether an array has the shape of inputs: [N, H, W], [N, H, W, 1 or 3], [N, L] or [N, F]."""
    if kind == "image" and values.ndim == 4:
        return bool(values.size) and values.shape[3] in (1, 3)
    return bool(values.size) and values.ndim == (3 if kind == "image" else 2)


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
    classes, labels = np.unique(_named(values, name, path), return_inverse=True)
    if not 2 <= len(classes) <= CLASS_LIMIT:
        raise UserError(
            f"'{name}' has {len(classes)} distinct values, which cannot be the classes of a task",
            where=str(path),
            remedy=f"2 to {CLASS_LIMIT} are possible",
        )
    return labels.astype(np.int64), tuple(str(value) for value in classes)


def as_groups(values: np.ndarray, name: str, path: Path) -> np.ndarray:
    """Group ids [N] int64: the distinct whole numbers or strings, numbered in sorted order."""
    return np.unique(_named(values, name, path), return_inverse=True)[1].astype(np.int64)


def _named(values: np.ndarray, name: str, path: Path) -> np.ndarray:
    """Whole numbers as they are; strings without blanks around them, all of them stated."""
    if values.dtype.kind in INTEGERS:
        return values
    if values.dtype.kind not in TEXTS:
        _refuse_type(values, name, path, "whole numbers or strings")
    refuse_missing(states_nothing(values), name, path)
    return np.char.strip(values)


def as_property(values: np.ndarray, name: str, path: Path) -> np.ndarray:
    """A property [N] int8: 1 (present), 0 (absent), -1 (unknown); both 1 and 0 must occur.

    Numbers, booleans, or strings of these; NaN and strings that state nothing are unknown.
    """
    numbers = values
    if values.dtype.kind in TEXTS:
        numbers = np.array([_as_number(text) for text in values])
    elif values.dtype.kind not in NUMBERS:
        _refuse_type(values, name, path, "1, 0 and -1")
    if numbers.dtype.kind == "f":
        numbers = np.where(np.isnan(numbers), float(UNKNOWN), numbers)
    strange = values[~np.isin(numbers, (UNKNOWN, 0, 1))]
    if len(strange):
        raise UserError(
            f"property '{name}' is not binary: {len(strange)} values such as {strange[0]}",
            where=str(path),
            remedy="1 present, 0 absent, -1 unknown",
        )
    known = set(numbers[numbers != UNKNOWN].tolist())
    if known != {0, 1}:
        only = ", ".join(str(int(value)) for value in known) or "unknown"
        raise UserError(
            f"property '{name}' has one value only ({only})",
            where=str(path),
            remedy="an experiment needs records with and without it",
        )
    return numbers.astype(np.int8)


def _as_number(text: str) -> float:
    """What a string says of a property; infinite where it says neither 1, 0, -1 nor nothing."""
    if states_nothing([text])[0]:
        return float(UNKNOWN)
    said = {"true": 1.0, "false": 0.0}.get(text.strip().lower())
    if said is not None:
        return said
    try:
        return float(text)
    except ValueError:
        return float("inf")


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
