"""The one shape that every data set takes, whatever file it came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Kind = Literal["image", "text", "table"]

UNKNOWN = -1
"""Value of a property that a record does not state; such records stay out of its experiments."""

Role = Literal["number", "category", "text", "image", "label", "property", "group", "dropped"]


@dataclass(frozen=True)
class Column:
    """What a column of the user's table, or an array of their archive, became.

    Attributes:
        name: as in the file.
        role: what it is used as.
        inputs: how many numbers of a record's input it became.
        detail: e.g. how many values it has, or why it was dropped.
    """

    name: str
    role: Role
    inputs: int = 0
    detail: str = ""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Records with a task label, private binary properties and the group each belongs to.

    Shapes: N records; ``inputs`` is [N, H, W] or [N, H, W, C] uint8 for images (0..255; C is 1 or
    3), [N, L] int32 token ids for text (0 = padding), [N, F] float32 for tables (already encoded
    and scaled).

    Attributes:
        name: loader name, e.g. ``"glyphs"``.
        kind: what ``inputs`` holds; decides which bundled model fits.
        inputs: see above.
        labels: [N] int64 in 0..num_classes-1, the main task.
        class_names: one name per class, in label order.
        properties: name -> [N] int8, 1 present, 0 absent, -1 (:data:`UNKNOWN`) not stated.
        groups: [N] int64 id of the natural client (writer, author, state), or None.
        group_kind: what a group is, e.g. ``"writer"``; empty when ``groups`` is None.
        checksum: sha256 (hex) of the source file, or of the generated arrays.
        vocabulary: for text, the token of each id (index 0 is the padding); else empty.
        notes: sentences for the report, e.g. about unknown values or confounding.
        file: base name of the user's own file; empty for a data set by name.
        columns: what each column or array of that file became.
        generated: whether no record is of anybody: a report may show them.
    """

    name: str
    kind: Kind
    inputs: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    properties: dict[str, np.ndarray]
    groups: np.ndarray | None
    group_kind: str
    checksum: str
    vocabulary: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())
    file: str = ""
    columns: tuple[Column, ...] = ()
    generated: bool = False

    def __post_init__(self) -> None:
        records = len(self.inputs)
        assert self.labels.shape == (records,)
        assert self.labels.dtype == np.int64
        assert self.labels.min(initial=0) >= 0
        assert self.labels.max(initial=0) < len(self.class_names)
        assert self.groups is None or self.groups.shape == (records,)
        for name, values in self.properties.items():
            assert values.shape == (records,), name
            assert values.dtype == np.int8, name
            assert np.isin(values, (UNKNOWN, 0, 1)).all(), name

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def num_classes(self) -> int:
        """Number of classes of the main task."""
        return len(self.class_names)

    def unknown(self, name: str) -> int:
        """How many records do not state this property."""
        return int((self.properties[name] == UNKNOWN).sum())
