"""Which of two attacks is ahead, from scores of both on the same federations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student_t

from privaudit.statistics import roc
from privaudit.statistics.between import PairedAuc, paired_auc
from privaudit.statistics.runs import RunScores, Unit, label_unit, pairs_of, whole_run
from privaudit.statistics.variance import delong_difference_variance

Pair = tuple[RunScores, RunScores]
"""The scores of one attack and of another, on the same rounds of the same federation."""


@dataclass(frozen=True)
class Difference:
    """By how much the AUC of one attack is above another's, with its interval.

    Attributes:
        value: mean over settings.
        low: lower limit.
        high: upper limit.
        n_runs: runs behind it.
    """

    value: float
    low: float
    high: float
    n_runs: int

    @property
    def ordered(self) -> bool:
        """Whether the attacks are told apart."""
        return not self.low <= 0.0 <= self.high

    @property
    def turned(self) -> Difference:
        """The same the other way round."""
        return Difference(-self.value, -self.high, -self.low, self.n_runs)


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
    value: float, variance: float, freedom: int, n_runs: int, level: float
) -> Difference:
    reach = float(student_t.ppf((1 + level) / 2, freedom)) * variance**0.5
    return Difference(value, max(value - reach, -1.0), min(value + reach, 1.0), n_runs)
