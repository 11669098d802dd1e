"""How much of a batch an answer holds, beside what a guess without the trace would have held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching
from scipy.stats import t as student_t

TOLERANCE = 0.01
"""A record is rebuilt if no number in it is off by more than this share of its largest one."""


def rebuilt(truth: np.ndarray, answer: np.ndarray) -> float:
    """Share of the records that stand in an answer, each entry of which counts once.

    Args:
        truth: [b, F] the batch, b at least 1.
        answer: [n, F] what was rebuilt; for the guess, the adversary's own records.
    """
    close = apart(truth, answer) <= TOLERANCE
    if not close.any():
        return 0.0
    matched = maximum_bipartite_matching(csr_matrix(close), perm_type="column")
    return float((matched >= 0).mean())


def apart(truth: np.ndarray, answer: np.ndarray) -> np.ndarray:
    """[b, n] largest difference in a number, in units of the record's largest one."""
    truth, answer = truth.reshape(len(truth), -1), answer.reshape(len(answer), truth[0].size)
    scale = np.maximum(np.abs(truth).max(axis=1), np.finfo(np.float64).tiny)
    found = np.empty((len(truth), len(answer)))
    for row, (record, size) in enumerate(zip(truth, scale, strict=True)):
        found[row] = np.abs(answer - record).max(axis=1) / size
    return found


def words(truth: np.ndarray, answer: np.ndarray) -> tuple[float, float]:
    """Recall and precision of a set of token ids; the precision of no answer is 0."""
    right = len(np.intersect1d(truth, answer))
    return right / max(1, len(np.unique(truth))), right / max(1, len(np.unique(answer)))


@dataclass(frozen=True)
class Mean:
    """A mean over runs with its 95 % interval (Student's t); limits nan with a single run."""

    value: float
    low: float
    high: float
    runs: int


def mean_over_runs(values: Sequence[float], *, least: float = 0.0) -> Mean:
    """Of one number per federation run: rounds of one run are no replicates.

    Args:
        values: shares, or differences of shares.
        least: the smallest they can be, where limits end: 0 or, of differences, -1.
    """
    value, count = float(np.mean(values)), len(values)
    if count < 2:
        return Mean(value, np.nan, np.nan, count)
    reach = float(student_t.ppf(0.975, count - 1) * np.std(values, ddof=1) / np.sqrt(count))
    return Mean(value, max(least, value - reach), min(1.0, value + reach), count)
