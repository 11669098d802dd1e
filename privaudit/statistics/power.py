"""What could this experiment have seen? Without the answer "no leak found" says nothing."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb, log, sqrt

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtri
from scipy.stats import norm

from privaudit.statistics.runs import RunScores, Unit, label_unit
from privaudit.statistics.variance import auc_variance


def smallest_detectable_auc(
    n_present: Sequence[int],
    n_absent: Sequence[int],
    *,
    power: float = 0.8,
    significance: float = 0.05,
    between_spread: float = 0.0,
) -> float | None:
    """The smallest AUC that the one-sided permutation test would tell from 0.5 with this power.

    Normal approximation of the mean AUC over runs: variance (n + m + 1) / (12 n m) per run where
    the attack knows nothing, Hanley-McNeil's where it does.

    Args:
        n_present: [R] rounds with the property in each run; where labels belong to runs, one
            number, the runs with it.
        n_absent: [R] likewise without.
        power: in (significance, 1).
        significance: in (0, 0.5).
        between_spread: standard deviation of d' between runs, non-negative.

    Returns:
        The AUC in (0.5, 1), or ``None`` if not even a perfect attack would be found that often.

    Raises:
        ValueError: a number out of its range, or lists of unequal length.
    """
    _check(n_present, n_absent, power, significance, between_spread)
    present, absent = np.array(n_present, dtype=float), np.array(n_absent, dtype=float)
    critical = -ndtri(significance) * _error(0.5, present, absent, 0.0)

    def shortfall(auc: float) -> float:
        return auc - 0.5 - critical - ndtri(power) * _error(auc, present, absent, between_spread)

    assignments = sum(log(comb(n + m, n)) for n, m in zip(n_present, n_absent, strict=True))
    if assignments < -log(significance) or shortfall(1.0) <= 0:
        return None
    # From 1 downwards, because the shortfall may have a second root below a steep variance.
    grid = np.linspace(1.0, 0.5, 501)
    first_short = next(auc for auc in grid if shortfall(float(auc)) <= 0)
    return float(brentq(shortfall, first_short, first_short + 0.001))


def detectable_auc(runs: Sequence[RunScores], **options: float) -> float | None:
    """:func:`smallest_detectable_auc` for the runs of a cell, with the same options."""
    if label_unit(runs) is Unit.RUN:
        n_present = sum(run.n_present > 0 for run in runs)
        return smallest_detectable_auc([n_present], [len(runs) - n_present], **options)
    return smallest_detectable_auc(
        [run.n_present for run in runs], [run.n_absent for run in runs], **options
    )


def _error(auc: float, present: np.ndarray, absent: np.ndarray, between_spread: float) -> float:
    """Standard error of the mean over runs of the AUC within the run."""
    slope = norm.pdf(ndtri(auc)) / sqrt(2) if 0 < auc < 1 else 0.0
    variances = auc_variance(auc, present, absent) + (between_spread * slope) ** 2
    return float(np.sqrt(variances.sum()) / present.size)


def _check(
    n_present: Sequence[int],
    n_absent: Sequence[int],
    power: float,
    significance: float,
    between_spread: float,
) -> None:
    if not n_present or len(n_present) != len(n_absent) or min(*n_present, *n_absent) < 1:
        raise ValueError(
            f"every run needs rounds of both kinds, got {list(n_present)} and {list(n_absent)}"
        )
    if not 0.0 < significance < 0.5:
        raise ValueError(f"significance must be in (0, 0.5), got {significance}")
    if not significance < power < 1.0:
        raise ValueError(f"power must be in ({significance}, 1), got {power}")
    if between_spread < 0:
        raise ValueError(f"between_spread must not be negative, got {between_spread}")
