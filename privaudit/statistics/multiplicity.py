"""Many cells, many tests: Benjamini-Hochberg over the cells of a table."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

import numpy as np
from scipy.stats import false_discovery_control


def adjusted_p_values(p_values: Sequence[float | None]) -> list[float | None]:
    """P-values adjusted to control the false discovery rate over the cells that have one.

    Benjamini & Hochberg, "Controlling the false discovery rate", JRSS B 57 (1995); valid for
    independent and positively dependent tests.

    Args:
        p_values: in [0, 1]; ``None`` or NaN for a cell without a test, which is outside the family
            and stays ``None``.

    Raises:
        ValueError: a p-value outside [0, 1].
    """
    tested = [i for i, p in enumerate(p_values) if p is not None and not isnan(p)]
    family = np.array([p_values[i] for i in tested], dtype=np.float64)
    if np.any((family < 0) | (family > 1)):
        raise ValueError(f"p-values must be in [0, 1], got {family[(family < 0) | (family > 1)]}")
    adjusted: list[float | None] = [None] * len(p_values)
    if tested:
        for i, p in zip(tested, false_discovery_control(family), strict=True):
            adjusted[i] = float(p)
    return adjusted
