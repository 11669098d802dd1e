"""Which of two attacks, or of two audits, is ahead: the difference of their AUCs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student_t

from privaudit.statistics import roc
from privaudit.statistics.between import PairedAuc, paired_auc
from privaudit.statistics.runs import RunScores, Unit, label_unit, pairs_of, whole_run
from privaudit.statistics.variance import (
    delong_difference_variance,
    delong_variance,
    run_auc_variance,
)

Pair = tuple[RunScores, RunScores]
"""The scores of one attack and of another, on the same rounds of the same federation."""


@dataclass(frozen=True)
class Difference:
    """By how much the AUC of one attack is above another's, with its interval; or another number.

    Attributes:
        value: mean over settings.
        low: lower limit.
        high: upper limit.
        n_runs: runs behind it; of two audits those of the smaller.
        p_value: of "there is none", two-sided.
    """

    value: float
    low: float
    high: float
    n_runs: int
    p_value: float

    @property
    def ordered(self) -> bool:
        """Whether the attacks are told apart."""
        return not self.low <= 0.0 <= self.high

    @property
    def turned(self) -> Difference:
        """The same the other way round."""
        return Difference(-self.value, -self.high, -self.low, self.n_runs, self.p_value)


def auc_difference(settings: Sequence[Sequence[Pair]], *, level: float = 0.95) -> Difference | None:
    """Mean over settings (numbers of participants) of the difference of two AUCs.

    Labels on rounds: Student's t over the runs, each with its mean over the settings, so that what
    a run has in common at all of them counts once. Labels on runs: likewise over federations, where
    each is there in both states; else DeLong's variance with runs as the units, settings taken as
    wholly dependent, for the same federations stand behind them.

    Args:
        settings: for each the runs, the same ones in the same order in all of them.
        level: nominal coverage.

    Returns:
        None with fewer than two runs (labels on runs: two of each kind, or federations).

    Raises:
        ValueError: no settings, or runs that have no AUC.
    """
    first = [pair[0] for pair in settings[0]]
    if label_unit(first) is Unit.RUN:
        over = _over_runs if pairs_of(first) is None else _over_pairs
        return over(settings, level)
    by_run = np.array(
        [[roc.run_auc(a) - roc.run_auc(b) for a, b in pairs] for pairs in settings]
    ).mean(axis=0)
    if by_run.size < 2:
        return None
    within = [
        delong_difference_variance(x.scores, y.scores, x.present) / len(a.parts()) ** 2
        for a, b in settings[0]
        for x, y in zip(a.parts(), b.parts(), strict=True)
    ]
    # Runs that happen to agree say no more than their rounds do.
    least = sum(within) / len(settings) / by_run.size**2
    variance = max(float(by_run.var(ddof=1)) / by_run.size, least)
    return _difference(float(by_run.mean()), variance, by_run.size - 1, by_run.size, level)


def auc_change(
    first: Sequence[RunScores], second: Sequence[RunScores], *, level: float = 0.95
) -> Difference | None:
    """By how much the AUC of the second is above the first's, of runs that have nothing in common.

    Welch's t over the runs, no narrower than what the rounds of each can say (DeLong). Labels on
    runs: DeLong's variances of both, with runs as the units.

    Args:
        first: runs of one audit.
        second: of the other.
        level: nominal coverage.

    Returns:
        None with fewer than two runs (labels on runs: two of each kind) in one of them.
    """
    parts = [_summary(runs) for runs in (first, second)]
    if any(part is None for part in parts):
        return None
    (before, var_a, free_a), (after, var_b, free_b) = (part for part in parts if part)
    variance = var_a + var_b
    shares = var_a**2 / free_a + var_b**2 / free_b
    freedom = variance**2 / shares if shares else min(free_a, free_b)
    runs = min(len(first), len(second))
    return _difference(after - before, variance, freedom, runs, level)


def mean_change(
    first: Sequence[Sequence[float]],
    second: Sequence[Sequence[float]],
    *,
    paired: bool,
    top: float = 1.0,
    counted: bool = True,
    level: float = 0.95,
) -> Difference | None:
    """By how much the mean of a number from 0 to ``top`` is higher in the second.

    Student's t over the runs' differences where they are of the same federations, else Welch's.

    Args:
        first: of each run of one audit the number of each round.
        second: of the other; where paired, the same runs in the same order.
        paired: whether they are of the same federations.
        top: the largest number there can be.
        counted: whether numbers are shares of a few records: then no narrower than for as many
            independent yes and no, as all right is not known to be right for ever.
        level: nominal coverage.

    Returns:
        None with fewer than two runs in one of them.
    """
    means = [np.array([np.mean(run) for run in runs]) for runs in (first, second)]
    runs = min(len(of) for of in means)
    if runs < 2:
        return None
    least = [
        _least(float(of.mean()), sum(map(len, rounds))) if counted else 0.0
        for of, rounds in zip(means, (first, second), strict=True)
    ]
    value = float(means[1].mean() - means[0].mean())
    if paired:
        variance = max(float((means[1] - means[0]).var(ddof=1)) / runs, sum(least))
        return _difference(value, variance, runs - 1, runs, level, top)
    parts = [
        max(float(of.var(ddof=1)) / len(of), low) for of, low in zip(means, least, strict=True)
    ]
    shares = sum(part**2 / (len(of) - 1) for part, of in zip(parts, means, strict=True))
    freedom = sum(parts) ** 2 / shares if shares else runs - 1
    return _difference(value, sum(parts), freedom, runs, level, top)


def _least(share: float, rounds: int) -> float:
    """Variance of the mean of so many independent yes and no; of all alike as if half one were."""
    edge = 0.5 / rounds
    inside = min(max(share, edge), 1 - edge)
    return inside * (1 - inside) / rounds


def _summary(runs: Sequence[RunScores]) -> tuple[float, float, float] | None:
    """AUC, its variance over runs, and degrees of freedom."""
    if label_unit(runs) is Unit.RUN:
        summed = whole_run(runs)
        scores = np.array([run.scores[0] for run in summed])
        present = np.array([bool(run.present[0]) for run in summed])
        fewest = min(int(present.sum()), int((~present).sum()))
        if fewest < 2:
            return None
        return roc.auc(scores, present), delong_variance(scores, present), fewest - 1
    aucs = np.array([roc.run_auc(run) for run in runs])
    if aucs.size < 2:
        return None
    mean = float(aucs.mean())
    edge = 0.5 / sum(run.n_rounds for run in runs)  # all right is not known to be right for ever
    least = sum(run_auc_variance(min(max(mean, edge), 1 - edge), run) for run in runs)
    variance = max(float(aucs.var(ddof=1)) / aucs.size, least / aucs.size**2)
    return mean, variance, aucs.size - 1


def _over_runs(settings: Sequence[Sequence[Pair]], level: float) -> Difference | None:
    values, deviations, freedom = [], [], len(settings[0])
    for pairs in settings:
        present = np.array([bool(a.present[0]) for a, _ in pairs])
        a, b = (np.array([pair[i].scores.sum() for pair in pairs]) for i in (0, 1))
        fewest = min(int(present.sum()), int((~present).sum()))
        if fewest < 2:
            return None
        freedom = min(freedom, fewest - 1)
        values.append(roc.auc(a, present) - roc.auc(b, present))
        deviations.append(np.sqrt(delong_difference_variance(a, b, present)))
    variance = float(np.mean(deviations)) ** 2
    return _difference(float(np.mean(values)), variance, freedom, len(settings[0]), level)


def _over_pairs(settings: Sequence[Sequence[Pair]], level: float) -> Difference | None:
    by_federation = []
    for compared in settings:
        shares = []
        for runs in zip(*compared, strict=True):
            summed = whole_run(runs)
            pairs = pairs_of(summed)
            assert pairs is not None
            order = np.argsort([summed[place].pair for place in pairs[:, 0]])
            shares.append(paired_auc(summed, pairs).shares[order])
        by_federation.append(shares[0] - shares[1])
    mean = PairedAuc(np.mean(by_federation, axis=0))
    count = mean.shares.size
    return _difference(mean.value, mean.variance, count - 1, len(settings[0]), level)


def _difference(
    value: float, variance: float, freedom: float, n_runs: int, level: float, top: float = 1.0
) -> Difference:
    size = variance**0.5
    reach = float(student_t.ppf((1 + level) / 2, freedom)) * size
    p_value = float(2 * student_t.sf(abs(value) / size, freedom)) if size else float(value == 0)
    return Difference(value, max(value - reach, -top), min(value + reach, top), n_runs, p_value)
