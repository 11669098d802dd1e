"""Cells that state nothing: one list for labels, properties, inputs and groups of every format."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

MARKS = frozenset(
    {"", "?", ".", "na", "n/a", "#na", "#n/a", "<na>", "nan", "-nan", "nat", "null", "none"}
    | {"unknown"}
)
"""What such a cell holds, in lower case and without blanks around it."""


def states_nothing(texts: Iterable[str], marks: frozenset[str] = MARKS) -> np.ndarray:
    """[N] booleans: which of N texts are one of ``marks``, blanks and capitals aside."""
    return np.array([text.strip().lower() in marks for text in texts], dtype=bool)
