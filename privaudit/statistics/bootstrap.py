"""The two-level bootstrap: runs are drawn with replacement, and rounds within each drawn run.

Its percentile limits are honest only with many runs: over three that differ they cover about 80 %
where they say 95 % (``benchmarks/statistics_coverage.py``). It assumes nothing about the shape of
scores, and so it is the check on :func:`privaudit.statistics.intervals.auc_interval` where runs are
many; tables use the latter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from privaudit.statistics.intervals import Interval
from privaudit.statistics.roc import mean_auc
from privaudit.statistics.runs import FloatArray, RunScores, Unit, label_unit

METHOD = "two-level percentile bootstrap"


def bootstrap_auc_interval(
    runs: Sequence[RunScores],
    rng: np.random.Generator,
    *,
    n_draws: int = 2_000,
    level: float = 0.95,
) -> Interval:
    """Mean over runs of the AUC within the run, with percentile limits.

    Raises:
        ValueError: labels belong to runs, fewer than one draw, or ``level`` outside (0, 1).
    """
    if label_unit(runs) is not Unit.ROUND:
        raise ValueError("the two-level bootstrap needs both labels in every run")
    if n_draws < 1 or not 0.0 < level < 1.0:
        raise ValueError(f"n_draws must be positive, level in (0, 1), got {n_draws} and {level}")
    # Independent draws within each run are made once and then picked from at random.
    within = np.stack([_resampled_aucs(run, rng, n_draws) for run in runs])
    size = (n_draws, len(runs))
    means = within[rng.integers(len(runs), size=size), rng.integers(n_draws, size=size)].mean(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    n_rounds = sum(run.n_rounds for run in runs)
    return Interval(mean_auc(runs), float(low), float(high), len(runs), n_rounds, METHOD, level)


def _resampled_aucs(run: RunScores, rng: np.random.Generator, n_draws: int) -> FloatArray:
    """[n_draws] AUCs of one run, rounds of each label drawn with replacement."""
    above, below = run.scores[run.present, None], run.scores[None, ~run.present]
    wins = (above > below) + 0.5 * (above == below)
    n, m = wins.shape
    times_above = rng.multinomial(n, np.full(n, 1 / n), size=n_draws)
    times_below = rng.multinomial(m, np.full(m, 1 / m), size=n_draws)
    return np.asarray(((times_above @ wins) * times_below).sum(axis=1) / (n * m))
