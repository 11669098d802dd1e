"""Data sets made up on the spot."""

from __future__ import annotations

import numpy as np

from privaudit.data.dataset import Dataset


def table(
    records: int,
    *,
    features: int = 4,
    classes: int = 2,
    groups: np.ndarray | None = None,
    properties: dict[str, np.ndarray] | None = None,
    labels: np.ndarray | None = None,
    seed: int = 0,
) -> Dataset:
    """A table of standard normal numbers; labels and the property ``secret`` are coin tosses."""
    rng = np.random.default_rng(seed)
    if properties is None:
        properties = {"secret": rng.integers(2, size=records).astype(np.int8)}
    return Dataset(
        name="made-up",
        kind="table",
        inputs=rng.standard_normal((records, features)).astype(np.float32),
        labels=rng.integers(classes, size=records) if labels is None else labels.astype(np.int64),
        class_names=tuple(f"class {i}" for i in range(classes)),
        properties=properties,
        groups=groups,
        group_kind="" if groups is None else "writer",
        checksum="0" * 64,
    )
