"""The adversary's own records, from an .npz file: for a trace that somebody else's trainer wrote.

Unlike a data set, nothing is dealt to clients here and nothing is renamed: labels are the class
indices of the federation's model, or what another loss takes (:mod:`privaudit.engine.losses`),
inputs what its ``forward`` takes. A model with several inputs has an array ``inputs.NAME`` for each
argument, or ``inputs.0``, ``inputs.1`` and so on, in their order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from privaudit.data import user_checks as checks
from privaudit.data.archive import array_names, read_arrays
from privaudit.engine.engine import Samples
from privaudit.engine.losses import CROSS_ENTROPY
from privaudit.errors import UserError, unknown_name

INPUTS, LABELS, GROUPS = "inputs", "labels", "groups"
SEVERAL = "several"
CLASS_LIMIT = 1_000_000


@dataclass(frozen=True, eq=False)
class OwnRecords:
    """N records of the adversary.

    Attributes:
        samples: inputs and class indices.
        kind: ``image`` (uint8 [N, H, W] or [N, H, W, C], C 1 or 3), ``text`` (whole numbers
            [N, L]), ``table`` ([N, F]), ``other`` (floats of any other shape) or ``several`` (a
            dict or a tuple of arrays).
        properties: name -> [N] int8, 1 present, 0 absent, -1 unknown.
        groups: [N] whose record it is, or None.
    """

    samples: Samples
    kind: str
    properties: dict[str, np.ndarray]
    groups: np.ndarray | None


def read_own_records(
    path: Path,
    wanted: Sequence[str] = (),
    *,
    needs_property: bool = True,
    loss: str = CROSS_ENTROPY,
) -> OwnRecords:
    """Read ``inputs``, ``labels``, optionally ``groups``, and the properties: all other arrays.

    Args:
        path: an .npz file.
        wanted: properties to read; empty = all, or none where none is needed.
        needs_property: whether there must be one.
        loss: that labels are for.

    Raises:
        UserError: the file or an array in it is missing, damaged, or of the wrong type or shape.
    """
    path = checks.user_file(str(path))
    names = array_names(path)
    offered = [name for name in names if name not in (LABELS, GROUPS) and not is_input(name)]
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
    several = sorted(name for name in names if name.startswith(f"{INPUTS}."))
    arrays = read_arrays(path, [*(several or [INPUTS]), LABELS, *grouped, *chosen])
    if several:
        inputs, kind = _several({name: arrays[name] for name in several}, path), SEVERAL
    else:
        inputs, kind = _inputs(arrays[INPUTS], INPUTS, path)
    count = len(arrays[several[0] if several else INPUTS])
    labels = _labels(arrays[LABELS], path) if loss == CROSS_ENTROPY else arrays[LABELS]
    if loss != CROSS_ENTROPY:
        labels = _numbers(labels, count, path)
    for name in ([LABELS] if labels.ndim == 1 else []) + [*grouped, *chosen]:
        checks.checked_length(arrays[name], count, name, path)
    return OwnRecords(
        samples=Samples.of(inputs, labels),
        kind=kind,
        properties={name: checks.as_property(arrays[name], name, path) for name in chosen},
        groups=checks.as_groups(arrays[GROUPS], GROUPS, path) if grouped else None,
    )


def is_input(name: str) -> bool:
    """Whether an array holds inputs of the model."""
    return name.partition(".")[0] == INPUTS


def _several(arrays: Mapping[str, np.ndarray], path: Path) -> Any:
    """A tuple where all names are numbers from 0, else a dict."""
    found = {n.partition(".")[2]: _inputs(values, n, path)[0] for n, values in arrays.items()}
    lengths = {name: len(values) for name, values in found.items()}
    if len(set(lengths.values())) > 1:
        raise UserError(f"arrays of inputs have {lengths} records", where=str(path))
    places = [str(place) for place in range(len(found))]
    return tuple(found[p] for p in places) if set(found) == set(places) else found


def _numbers(values: np.ndarray, count: int, path: Path) -> np.ndarray:
    """Labels of a loss that does not take class indices: whole numbers as they are, or float32."""
    if values.ndim not in (1, 2) or len(values) != count or values.dtype.kind not in "iubf":
        raise UserError(
            f"'{LABELS}' holds {values.dtype} of shape {list(values.shape)}, expected numbers "
            f"[{count}] or [{count}, L]",
            where=str(path),
        )
    if values.dtype.kind != "f":
        return values.astype(np.int64)
    bad = ~np.isfinite(values.reshape(count, -1)).all(axis=1)
    checks.refuse_missing(np.asarray(bad), LABELS, path)
    return values.astype(np.float32)


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


def _inputs(values: np.ndarray, name: str, path: Path) -> tuple[np.ndarray, str]:
    if values.ndim < 2 or not values.size:
        raise UserError(
            f"'{name}' has shape {list(values.shape)}, expected [N, ...] and no 0",
            where=str(path),
        )
    if values.dtype == np.uint8 and checks.has_dimensions(values, "image"):
        return values, "image"
    if values.dtype.kind in "iu" and values.ndim == 2:
        if int(values.min()) < 0 or int(values.max()) > np.iinfo(np.int32).max:
            raise UserError(
                f"'{name}' has token ids from {values.min()} to {values.max()}",
                where=str(path),
                remedy="save the numbers of a table as floats",
            )
        return values.astype(np.int32), "text"
    if values.dtype.kind != "f":
        raise UserError(
            f"'{name}' holds {values.dtype} of shape {list(values.shape)}",
            where=str(path),
            remedy="floats as the model takes them, uint8 images [N, H, W] or [N, H, W, C] with C "
            "1 or 3, or token ids [N, L]",
        )
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(values, dtype=np.float32)
    bad = np.any(~np.isfinite(numbers.reshape(len(numbers), -1)), axis=1)
    checks.refuse_missing(np.asarray(bad), name, path)
    return numbers, "table" if values.ndim == 2 else "other"
