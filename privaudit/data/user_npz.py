"""The user's own arrays, from an .npz file.

In a scenario::

    [data]
    name = "npz"
    path = "mine.npz"
    kind = "image"              # image: uint8 [N, H, W] or [N, H, W, C], C 1 or 3; text: token
    inputs = "x"                # ids [N, L], 0 = padding; table: numbers [N, F], already scaled
    labels = "y"                # whole numbers or strings, one class each
    groups = "writer"           # optional, whole numbers or strings
    properties = {left_handed = "left"}   # name -> array of 1 present, 0 absent, -1 or NaN unknown
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from privaudit.data import user_checks as checks
from privaudit.data.archive import array_names, read_arrays
from privaudit.data.dataset import Column, Dataset, Kind, Role
from privaudit.data.files import sha256_of
from privaudit.errors import UserError
from privaudit.options import Options
from privaudit.randomness import Seed

VOCABULARY_LIMIT = 1_000_000

DIMENSIONS = {
    "image": "[N, H, W] or [N, H, W, C], C 1 or 3",
    "text": "[N, L]",
    "table": "[N, F]",
}


class NpzOptions(Options):
    """Options of ``npz``."""

    path: str = Field(description="the name of an .npz file", examples=["mine.npz"])
    kind: Kind = Field(description="what a record is: image, text or table", examples=["image"])
    inputs: str = Field("inputs", description="the name of the array of the inputs")
    labels: str = Field("labels", description="the name of the array of the classes of the task")
    groups: str | None = Field(
        None,
        description="the name of the array of the natural clients of the records",
        examples=["hospital"],
    )
    properties: dict[str, str] = Field(
        {}, description='private properties: name = array, e.g. {bold = "is_bold"}'
    )


OPTIONS = NpzOptions


def load(options: NpzOptions, data_dir: Path, seed: Seed) -> Dataset:
    """Read the arrays; ``data_dir`` and ``seed`` are not used.

    Raises:
        UserError: the file is missing, empty, a folder or not an .npz archive; an array is missing
            or has the wrong type, shape or length; a value is not finite (column and count); a
            property is not binary or has one value only.
    """
    del data_dir, seed
    path = checks.user_file(options.path)
    named = [options.inputs, options.labels, *options.properties.values()]
    arrays = read_arrays(path, [*named, options.groups] if options.groups else named)
    inputs = _inputs(arrays[options.inputs], options, path)
    columns = {
        name: checks.checked_length(values, len(inputs), name, path)
        for name, values in arrays.items()
        if name != options.inputs
    }
    labels, class_names = checks.as_classes(columns[options.labels], options.labels, path)
    return Dataset(
        name="npz",
        kind=options.kind,
        inputs=inputs,
        labels=labels,
        class_names=class_names,
        properties={
            name: checks.as_property(columns[array], array, path)
            for name, array in options.properties.items()
        },
        groups=checks.as_groups(columns[options.groups], options.groups, path)
        if options.groups
        else None,
        group_kind=options.groups or "",
        checksum=sha256_of(path),
        vocabulary=_vocabulary(inputs) if options.kind == "text" else (),
        file=path.name,
        columns=_columns(options, inputs, path),
    )


def _columns(options: NpzOptions, inputs: np.ndarray, path: Path) -> tuple[Column, ...]:
    """What each array of the file became."""
    role: Role = "number" if options.kind == "table" else options.kind
    shape = f"[N, {', '.join(map(str, inputs.shape[1:]))}]"
    used = {
        options.inputs: Column(options.inputs, role, inputs[0].size, shape),
        options.labels: Column(options.labels, "label"),
    }
    if options.groups:
        used[options.groups] = Column(options.groups, "group")
    for name, array in options.properties.items():
        used.setdefault(array, Column(array, "property", 0, f"property {name}"))
    return tuple(used.get(n, Column(n, "dropped", 0, "not named")) for n in array_names(path))


def _inputs(values: np.ndarray, options: NpzOptions, path: Path) -> np.ndarray:
    """The inputs in the type of their kind, once shape and values are right."""
    if not checks.has_dimensions(values, options.kind):
        raise UserError(
            f"'{options.inputs}' has shape {list(values.shape)}, expected "
            f"{DIMENSIONS[options.kind]} and no 0",
            where=str(path),
        )
    if options.kind == "image":
        return _of_type(values, "u", options, path, itemsize=1)
    if options.kind == "table":
        numbers = _of_type(values, checks.NUMBERS, options, path)
        names = [f"{options.inputs}[:, {i}]" for i in range(numbers.shape[1])]
        return checks.as_table(numbers, names, path)
    tokens = _of_type(values, "iu", options, path)
    if tokens.min() < 0 or tokens.max() >= VOCABULARY_LIMIT:
        raise UserError(
            f"'{options.inputs}' has token ids from {tokens.min()} to {tokens.max()}",
            where=str(path),
            remedy=f"0 (padding) to {VOCABULARY_LIMIT - 1:,} are possible",
        )
    return tokens.astype(np.int32)


def _of_type(
    values: np.ndarray, kinds: str, options: NpzOptions, path: Path, itemsize: int | None = None
) -> np.ndarray:
    if values.dtype.kind in kinds and itemsize in (None, values.dtype.itemsize):
        return values
    needed = {"image": "uint8 (0 to 255)", "text": "whole numbers", "table": "numbers"}
    raise UserError(
        f"'{options.inputs}' holds {values.dtype}, kind '{options.kind}' needs "
        f"{needed[options.kind]}",
        where=str(path),
    )


def _vocabulary(tokens: np.ndarray) -> tuple[str, ...]:
    """The words are not known; their ids stand for them."""
    return tuple(str(i) for i in range(int(tokens.max()) + 1))
