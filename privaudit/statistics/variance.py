"""Sampling variance of an AUC within one run, as a formula in the true AUC and from the data."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from privaudit.statistics.runs import BoolArray, FloatArray, RunScores


def auc_variance(
    auc: float | FloatArray, n_present: float | FloatArray, n_absent: float | FloatArray
) -> FloatArray:
    """Variance of an AUC from its true value and the two sample sizes.

    Hanley & McNeil, "The meaning and use of the area under a ROC curve", Radiology 143 (1982), in
    the symmetric form of Newcombe, "Confidence intervals for an effect size measure based on the
    Mann-Whitney statistic, part 2", Statistics in Medicine 25 (2006), method 5. For normal scores
    of equal variance it is right at 0.5 and about 30 % too large at 0.95: never too small.

    Args:
        auc: in [0, 1].
        n_present: at least 1.
        n_absent: at least 1.
    """
    theta = np.asarray(auc, dtype=np.float64)
    extra = (np.asarray(n_present) + np.asarray(n_absent)) / 2 - 1
    spread = 1 + extra * (1 - theta) / (2 - theta) + extra * theta / (1 + theta)
    return np.asarray(theta * (1 - theta) * spread / (np.asarray(n_present) * n_absent))


def run_auc_variance(auc: float, run: RunScores) -> float:
    """:func:`auc_variance` of the AUC within a run, the mean over its targets."""
    parts = run.parts()
    found = [auc_variance(auc, part.n_present, part.n_absent) for part in parts]
    return float(np.sum(found)) / len(parts) ** 2


def delong_variance(scores: FloatArray, present: BoolArray) -> float:
    """Variance of an AUC from the data, without assumptions on how scores are distributed.

    DeLong, DeLong & Clarke-Pearson, "Comparing the areas under two or more correlated receiver
    operating characteristic curves", Biometrics 44 (1988); 0 where the AUC is 0 or 1. A class with
    a single round contributes nothing.
    """
    wins, losses = _placements(scores, present)
    return _variance_of_mean(wins) + _variance_of_mean(losses)


def delong_difference_variance(a: FloatArray, b: FloatArray, present: BoolArray) -> float:
    """Variance of the difference of two AUCs over the same rounds (DeLong et al. 1988, eq. 6).

    Args:
        a: [T] scores of one attack.
        b: [T] scores of another.
        present: [T] bool, at least one of each.
    """
    wins, losses = (
        x - y for x, y in zip(_placements(a, present), _placements(b, present), strict=True)
    )
    return _variance_of_mean(wins) + _variance_of_mean(losses)


def _placements(scores: FloatArray, present: BoolArray) -> tuple[FloatArray, FloatArray]:
    """For each present round the share of absent ones below it; for each absent one, above it."""
    ranks = rankdata(scores)
    above, below = ranks[present], ranks[~present]
    wins = (above - rankdata(scores[present])) / below.size
    losses = 1 - (below - rankdata(scores[~present])) / above.size
    return wins, losses


def kernel_variance(kernel: FloatArray) -> float:
    """DeLong variance of the mean of a two-sample kernel, [n, m] values in [0, 1].

    With runs as the units and the AUC between two runs as the kernel this is the variance for
    clustered data (Obuchowski, "Nonparametric analysis of clustered ROC curve data", Biometrics 53
    (1997)) with equal weight per run.
    """
    return _variance_of_mean(kernel.mean(axis=1)) + _variance_of_mean(kernel.mean(axis=0))


def _variance_of_mean(values: FloatArray) -> float:
    return float(values.var(ddof=1) / values.size) if values.size > 1 else 0.0
