"""The adversary's own records, from an .npz file: for a trace that somebody else's trainer wrote.

Unlike a data set, nothing is dealt to clients here and nothing is renamed: labels are the class
indices of the federation's model, inputs what its ``forward`` takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from privaudit.data import user_checks as checks
from privaudit.data.archive import array_names, read_arrays
from privaudit.engine.engine import Samples
from privaudit.errors import UserError, unknown_name

INPUTS, LABELS, GROUPS = "inputs", "labels", "groups"
CLASS_LIMIT = 1_000_000


@dataclass(frozen=True, eq=False)
class OwnRecords:
    """N records of the adversary.

    Attributes:
        samples: inputs and class indices.
        kind: ``image`` (uint8 [N, H, W] or [N, H, W, C], C 1 or 3), ``text`` (whole numbers
            [N, L]), ``table`` ([N, F]) or ``other`` (floats of any other shape).
        properties: name -> [N] int8, 1 present, 0 absent, -1 unknown.
        groups: [N] whose record it is, or None.
    """

    samples: Samples
    kind: str
    properties: dict[str, np.ndarray]
    groups: np.ndarray | None


def read_own_records(
    path: Path, wanted: Sequence[str] = (), *, needs_property: bool = True
) -> OwnRecords:
    """Read ``inputs``, ``labels``, optionally ``groups``, and the properties: all other arrays.

    Args:
        path: an .npz file.
        wanted: properties to read; empty = all, or none where none is needed.
        needs_property: whether there must be one.

    Raises:
        UserError: the file or an array in it is missing, damaged, or of the wrong type or shape.
    """
    path = checks.user_file(str(path))
    names = array_names(path)
    offered = [name for name in names if name not in (INPUTS, LABELS, GROUPS)]
    for name in wanted:
        if name not in offered:
            raise unknown_name("property", name, offered, where=str(path))
    chosen = list(dict.fromkeys(wanted)) or (offered if needs_property else [])
    if needs_property and not chosen:
        raise UserError(
            "no property: there is no array besides inputs, labels and groups",
            where=str(path),
            remedy="add one array of 1 present, 0 absent (-1 unknown) per property",
        )
    grouped = [GROUPS] if GROUPS in names else []
    arrays = read_arrays(path, [INPUTS, LABELS, *grouped, *chosen])
    inputs, kind = _inputs(arrays[INPUTS], path)
    for name in (LABELS, *grouped, *chosen):
        checks.checked_length(arrays[name], len(inputs), name, path)
    return OwnRecords(
        samples=Samples.of(inputs, _labels(arrays[LABELS], path)),
        kind=kind,
        properties={name: checks.as_property(arrays[name], name, path) for name in chosen},
        groups=checks.as_groups(arrays[GROUPS], GROUPS, path) if grouped else None,
    )


def _labels(values: np.ndarray, path: Path) -> np.ndarray:
    if values.dtype.kind not in checks.INTEGERS:
        raise UserError(
            f"'{LABELS}' holds {values.dtype}, not class indices",
            where=str(path),
            remedy="the classes as the federation's model numbers them, from 0",
        )
    if int(values.min()) < 0 or int(values.max()) >= CLASS_LIMIT:
        raise UserError(
            f"'{LABELS}' has class indices from {values.min()} to {values.max()}", where=str(path)
        )
    return values.astype(np.int64)


def _inputs(values: np.ndarray, path: Path) -> tuple[np.ndarray, str]:
    if values.ndim < 2 or not values.size:
        raise UserError(
            f"'{INPUTS}' has shape {list(values.shape)}, expected [N, ...] and no 0",
            where=str(path),
        )
    if values.dtype == np.uint8 and checks.has_dimensions(values, "image"):
        return values, "image"
    if values.dtype.kind in "iu" and values.ndim == 2:
        if int(values.min()) < 0 or int(values.max()) > np.iinfo(np.int32).max:
            raise UserError(
                f"'{INPUTS}' has token ids from {values.min()} to {values.max()}",
                where=str(path),
                remedy="save the numbers of a table as floats",
            )
        return values.astype(np.int32), "text"
    if values.dtype.kind != "f":
        raise UserError(
            f"'{INPUTS}' holds {values.dtype} of shape {list(values.shape)}",
            where=str(path),
            remedy="floats as the model takes them, uint8 images [N, H, W] or [N, H, W, C] with C "
            "1 or 3, or token ids [N, L]",
        )
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(values, dtype=np.float32)
    bad = np.any(~np.isfinite(numbers.reshape(len(numbers), -1)), axis=1)
    checks.refuse_missing(np.asarray(bad), INPUTS, path)
    return numbers, "table" if values.ndim == 2 else "other"
