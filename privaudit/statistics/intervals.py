"""Intervals of a cell's metrics over federated runs, rounds nested in runs.

Limits come from the hierarchical model of :mod:`privaudit.statistics.hierarchy`, because a
percentile bootstrap over three runs that differ covers about 70 % where it says 95 %
(``benchmarks/statistics_coverage.py``). The values themselves are plain means over runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri
from scipy.stats import t as student_t

from privaudit.statistics import roc
from privaudit.statistics.between import PairedAuc, least_reach, paired_auc, pairwise_auc
from privaudit.statistics.hierarchy import MAX_LOCATION, Evidence, mean_rate_limits
from privaudit.statistics.runs import (
    FloatArray,
    RunScores,
    Unit,
    label_unit,
    pairs_of,
    pool,
)
from privaudit.statistics.variance import (
    auc_variance,
    delong_variance,
    kernel_variance,
    run_auc_variance,
)

BETWEEN_SPREAD = 0.5
"""Prior scale of the standard deviation of d' between runs (half-t, 4 degrees of freedom)."""

OF_AUC, OF_ACCURACY, OF_TPR = 2**-0.5, 0.5, 1.0
"""By how much the normal quantile of a rate moves with d': an AUC is Phi(d' / sqrt 2), an accuracy
at a threshold half way Phi(d' / 2) (so is the precision, where there are as many of both kinds),
the TPR at a quantile of the others Phi(d' - constant)."""
ALL_ONE_WAY = 1e-9
"""A variance of 0 or 1 is below, up to rounding."""

OVER_RUNS = "hierarchical over runs"
WITHIN_ONE_RUN = "within one run; says nothing about other runs"
RUNS_AS_UNITS = "runs as units"
PAIRS_AS_UNITS = "federations in both states as units"
ROUGH = "rough: fewer than 10 false alarms expected"


@dataclass(frozen=True)
class Interval:
    """A metric with its interval; ``low <= value <= high``.

    Attributes:
        value: the estimate.
        low: lower limit.
        high: upper limit.
        n_runs: number of federated runs behind it.
        n_rounds: number of rounds in all of them.
        method: how the limits were found, in words for a table's note.
        level: nominal coverage.
        rough: whether too few rounds stand behind the point of a curve it is taken at.
    """

    value: float
    low: float
    high: float
    n_runs: int
    n_rounds: int
    method: str
    level: float = 0.95
    rough: bool = False


def auc_interval(
    runs: Sequence[RunScores], *, level: float = 0.95, tau: float = 0.0, overlap: float = 0.0
) -> Interval:
    """The AUC of a cell, :func:`privaudit.statistics.roc.mean_auc`, with its interval over runs.

    With ``tau`` the interval is about this data set, dealt anew; about other data of its kind it
    says less. With one run and labels on rounds it is about that run only, and ``method`` says so.

    Args:
        runs: of the cell.
        level: nominal coverage.
        tau: deviation of a run's d' by which the target's records with and without the property
            differ by chance (:mod:`privaudit.statistics.pools`). Labels on runs: not used, since
            the runs, whose pools are others, are the units.
        overlap: how much of that any two runs have in common, in [0, 1].

    Raises:
        ValueError: ``level`` outside (0, 1), or runs without both labels (see ``label_unit``).
    """
    return _interval(runs, auc_evidence(runs, tau, overlap), level)


def auc_evidence(runs: Sequence[RunScores], tau: float = 0.0, overlap: float = 0.0) -> Evidence:
    """What the runs of a cell say about its AUC, for intervals and for fits over several cells."""
    if label_unit(runs) is Unit.RUN:
        value, size = _run_level_auc(runs)
        return Evidence(np.array([value]), np.array([size]), 0.0)
    rates = np.array([roc.run_auc(run) for run in runs])
    found = _evidence(rates, _auc_sizes(runs, rates), BETWEEN_SPREAD * OF_AUC)
    return with_pools(found, tau, overlap)


def with_pools(evidence: Evidence, tau: float, overlap: float, slope: float = OF_AUC) -> Evidence:
    """The same where finite pools move each run's d' by ``tau``, and all runs partly alike.

    ``slope`` says by how much a rate's normal quantile moves with d'.
    """
    variance = (min(tau, MAX_LOCATION) * slope) ** 2
    own, common = np.sqrt([variance * (1 - overlap), variance * overlap])
    return replace(evidence, own=float(own), common=float(common))


def accuracy_interval(
    runs: Sequence[RunScores],
    threshold: float,
    *,
    level: float = 0.95,
    tau: float = 0.0,
    overlap: float = 0.0,
) -> Interval:
    """Mean over runs of the accuracy at the attack's own threshold, with its interval.

    Pools (``tau`` and ``overlap``) as in :func:`auc_interval`; so in the functions below.
    """
    by_round = label_unit(runs) is Unit.ROUND
    rates = np.array([roc.accuracy(run.scores, run.present, threshold) for run in runs])
    sizes = np.array([float(run.n_rounds) for run in runs])
    found = _evidence(rates, sizes, BETWEEN_SPREAD * OF_ACCURACY)
    if by_round:
        found = with_pools(found, tau, overlap, OF_ACCURACY)
    return _interval(runs, found, level)


def precision_interval(
    runs: Sequence[RunScores],
    threshold: float,
    *,
    level: float = 0.95,
    tau: float = 0.0,
    overlap: float = 0.0,
) -> Interval | None:
    """Mean over runs of the precision at the attack's own threshold, with its interval.

    Each round called "present" is a coin flip. Where labels belong to runs, rounds are pooled over
    runs and the runs that hold such a round are counted.

    Returns:
        ``None`` ("not estimable") where a run has no round that is called "present".
    """
    by_round = label_unit(runs) is Unit.ROUND
    found = [
        roc.precision(run.scores, run.present, threshold)
        for run in (runs if by_round else [pool(runs)])
    ]
    rates = np.array([rate for rate in found if rate is not None])
    if rates.size < len(found):
        return None
    called = np.array([float((run.scores > threshold).sum()) for run in runs])
    if not by_round:
        size = float((called > 0).sum())
        return _interval(runs, Evidence(rates, np.array([size]), 0.0), level)
    evidence = _evidence(rates, called, BETWEEN_SPREAD * OF_ACCURACY)
    return _interval(runs, with_pools(evidence, tau, overlap, OF_ACCURACY), level)


def balanced_accuracy_interval(
    runs: Sequence[RunScores],
    threshold: float,
    *,
    level: float = 0.95,
    tau: float = 0.0,
    overlap: float = 0.0,
) -> Interval:
    """Mean over runs of (TPR + TNR) / 2 at the attack's own threshold, with its interval."""

    def rate(run: RunScores) -> float:
        return roc.balanced_accuracy(run.scores, run.present, threshold)

    def size(_: float, n_present: int, n_absent: int) -> float:
        # Its variance is at most that of a fair mixture of both classes.
        return 4 * n_present * n_absent / (n_present + n_absent)

    return _rate_interval(runs, rate, size, OF_ACCURACY, level, tau, overlap)


def advantage_interval(
    runs: Sequence[RunScores],
    threshold: float,
    *,
    level: float = 0.95,
    tau: float = 0.0,
    overlap: float = 0.0,
) -> Interval:
    """Mean over runs of TPR - FPR at the attack's own threshold, with its interval, in [-1, 1]."""
    half = balanced_accuracy_interval(runs, threshold, level=level, tau=tau, overlap=overlap)
    return Interval(
        2 * half.value - 1,
        2 * half.low - 1,
        2 * half.high - 1,
        half.n_runs,
        half.n_rounds,
        half.method,
        level,
    )


def tpr_at_fpr_interval(
    runs: Sequence[RunScores],
    fpr: float,
    *,
    level: float = 0.95,
    tau: float = 0.0,
    overlap: float = 0.0,
) -> Interval | None:
    """Mean over runs of the TPR where the expected FPR is ``fpr``, with its interval.

    Where labels belong to runs, rounds are pooled over runs and runs are counted.

    Returns:
        ``None`` ("not estimable") where a run has too few rounds without the property to resolve
        ``fpr``; ``rough``, and its method says so, where it has few.
    """
    if label_unit(runs) is Unit.RUN:
        fewest = sum(run.n_absent > 0 for run in runs)
    else:
        fewest = min(run.n_absent for run in runs)
    if not roc.resolves(fewest, fpr):
        return None

    def rate(run: RunScores) -> float:
        value = roc.tpr_at_fpr(run.scores, run.present, fpr)
        assert value is not None
        return value

    def size(value: float, n_present: int, n_absent: int) -> float:
        # The threshold is an order statistic of the absent rounds: its error moves the TPR along
        # the ROC curve, whose slope is that of the equal-variance binormal curve through the point.
        shrunk = (value * n_present + 0.5) / (n_present + 1)
        slope = np.exp((ndtri(fpr) ** 2 - ndtri(shrunk) ** 2) / 2)
        binomial = shrunk * (1 - shrunk)
        variance = binomial / n_present + slope**2 * fpr * (1 - fpr) / n_absent
        return float(binomial / variance)

    found = _rate_interval(runs, rate, size, OF_TPR, level, tau, overlap)
    if roc.resolves(fewest, fpr, roc.ROUGH_FALSE_ALARMS):
        return found
    return replace(found, method=f"{found.method}; {ROUGH}", rough=True)


def check_threshold(threshold: float) -> None:
    """Refuse an AUC threshold outside (0.5, 1]."""
    if not 0.5 < threshold <= 1.0:
        raise ValueError(f"threshold must be in (0.5, 1], got {threshold}")


def _rate_interval(
    runs: Sequence[RunScores],
    rate: Callable[[RunScores], float],
    size: Callable[[float, int, int], float],
    slope: float,
    level: float,
    tau: float,
    overlap: float,
) -> Interval:
    """Interval of a rate per run; where labels belong to runs, of the pooled rate, runs counted."""
    if label_unit(runs) is Unit.RUN:
        value = rate(pool(runs))
        n_present = sum(run.n_present > 0 for run in runs)
        size_of_cell = size(value, n_present, len(runs) - n_present)
        return _interval(runs, Evidence(np.array([value]), np.array([size_of_cell]), 0.0), level)
    rates = np.array([rate(run) for run in runs])
    sizes = np.array(
        [size(r, run.n_present, run.n_absent) for r, run in zip(rates, runs, strict=True)]
    )
    found = _evidence(rates, sizes, BETWEEN_SPREAD * slope)
    return _interval(runs, with_pools(found, tau, overlap, slope), level)


def _evidence(rates: FloatArray, sizes: FloatArray, spread_scale: float) -> Evidence:
    return Evidence(rates, sizes, spread_scale if rates.size > 1 else 0.0)


def _interval(runs: Sequence[RunScores], evidence: Evidence, level: float) -> Interval:
    value = float(evidence.rates.mean())
    low, high = mean_rate_limits(evidence, level)
    # Equal tails leave out a value at the end of the range, such as an AUC of exactly 1.
    low, high = min(low, value), max(high, value)
    n_rounds = sum(run.n_rounds for run in runs)
    return Interval(value, low, high, len(runs), n_rounds, _method(runs), level)


def _method(runs: Sequence[RunScores]) -> str:
    if label_unit(runs) is Unit.RUN:
        return RUNS_AS_UNITS if pairs_of(runs) is None else PAIRS_AS_UNITS
    return OVER_RUNS if len(runs) > 1 else WITHIN_ONE_RUN


def _auc_sizes(runs: Sequence[RunScores], rates: FloatArray) -> FloatArray:
    """Effective numbers of coin flips behind each run's AUC.

    The formula takes scores to be normal with equal variances; where the data's own (DeLong)
    variance is larger on average over the runs, the sizes shrink by that factor.
    """
    n_present = np.array([float(run.n_present) for run in runs])
    n_absent = np.array([float(run.n_absent) for run in runs])
    harmonic = 2 * n_present * n_absent / (n_present + n_absent)
    shrunk = (rates * harmonic + 0.5) / (harmonic + 1)
    expected = [run_auc_variance(rate, run) for rate, run in zip(shrunk, runs, strict=True)]
    sizes = shrunk * (1 - shrunk) / np.array(expected)
    observed = sum(
        delong_variance(part.scores, part.present) / len(run.parts()) ** 2
        for run in runs
        for part in run.parts()
    )
    formula = sum(run_auc_variance(rate, run) for rate, run in zip(rates, runs, strict=True))
    inflation = max(1.0, observed / (formula or 1.0))
    # No distribution has a variance above theta (1 - theta) / min(n, m) (Birnbaum & Klose, 1957).
    return np.maximum(sizes / inflation, np.minimum(n_present, n_absent))


def _auc_size(rates: FloatArray, n_present: FloatArray, n_absent: FloatArray) -> FloatArray:
    harmonic = 2 * n_present * n_absent / (n_present + n_absent)
    shrunk = (rates * harmonic + 0.5) / (harmonic + 1)
    return np.asarray(shrunk * (1 - shrunk) / auc_variance(shrunk, n_present, n_absent))


def _run_level_auc(runs: Sequence[RunScores]) -> tuple[float, float]:
    """AUC between runs with and without the property, and its effective number of coin flips.

    Between "every round counts" and "every run counts once", as the variance between runs says.
    """
    pairs = pairs_of(runs)
    if pairs is not None:
        return _paired_evidence(paired_auc(runs, pairs))
    with_property = np.array([run.n_present > 0 for run in runs])
    kernel = pairwise_auc(runs)[np.ix_(with_property, ~with_property)]
    value = float(kernel.mean())
    n_runs = np.array(kernel.shape, dtype=np.float64)
    rounds = [sum(run.n_rounds for run in runs if (run.n_present > 0) == x) for x in (True, False)]
    fewest = _auc_size(np.array(value), n_runs[0], n_runs[1])
    most = _auc_size(np.array(value), np.array(float(rounds[0])), np.array(float(rounds[1])))
    variance = kernel_variance(kernel)
    if len(runs) < 4 or variance == 0.0:
        return value, float(fewest)
    size = value * (1 - value) / (variance * few_units(len(runs) - 2))
    return value, float(np.clip(size, fewest, most))


def _paired_evidence(found: PairedAuc) -> tuple[float, float]:
    """Likewise of federations in both states; an AUC of 0 or 1 as of runs of their own.

    Few whose states score alike would often look like 0.5 if the AUC were another: no interval is
    shorter than so near that can be.
    """
    value, runs = found.value, found.shares.size
    binomial = value * (1 - value)
    if binomial < ALL_ONE_WAY:
        return value, float(
            _auc_size(np.array(value), np.array(float(runs)), np.array(float(runs)))
        )
    deviations = float(ndtri(0.975))
    least = (least_reach(runs, deviations) / deviations) ** 2
    return value, min(binomial / (found.variance * few_units(runs - 1)), 0.25 / least)


def few_units(freedom: int) -> float:
    """What a variance must be larger by for having been estimated with so few degrees of freedom.

    The factor (t / z)^2 makes limits of a normal kind those of Student's.
    """
    return float((student_t.ppf(0.975, freedom) / ndtri(0.975)) ** 2)
