"""AUCs between runs, where labels belong to runs, and federations audited in both states.

Of a federation audited with the property throughout and again without it, everything else is the
same: what makes it score high whatever it holds is in both groups that are compared. The AUC is
that of an adversary who faces one federation: the mean over all i != j of "federation i with the
property scores higher than j without it". Its variance takes each federation as one unit; where the
two states correlate by rho it is about 1 - rho times that of as many runs of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import asin, pi, sin

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

from privaudit.statistics.runs import FloatArray, RunScores

TIE = 1e-9
"""By which a score that is moved on to another is above it."""


def pairwise_auc(runs: Sequence[RunScores]) -> FloatArray:
    """[R, R] probabilities that a round of run i scores higher than one of run j; ties are half."""
    if all(run.n_rounds == 1 for run in runs):
        single = np.concatenate([run.scores for run in runs])
        return np.asarray((np.sign(single[:, None] - single) + 1) / 2)
    table = np.full((len(runs), len(runs)), 0.5)
    ordered = [np.sort(run.scores) for run in runs]
    for i, above in enumerate(ordered):
        for j in range(i):
            below = ordered[j]
            wins = np.searchsorted(below, above, "left") + np.searchsorted(below, above, "right")
            table[i, j] = wins.sum() / (2 * above.size * below.size)
            table[j, i] = 1.0 - table[i, j]
    return table


@dataclass(frozen=True, eq=False)
class PairedAuc:
    """The AUC of R federations in both states.

    Attributes:
        shares: [R] what each federation has in it: the probability that its state with the property
            wins, plus that its state without it loses.
    """

    shares: FloatArray

    @property
    def value(self) -> float:
        """The AUC."""
        return float(self.shares.mean()) / 2

    @property
    def variance(self) -> float:
        """Of the value; not below that of half a comparison, which R federations do not resolve."""
        runs = self.shares.size
        seen = float(self.shares.var(ddof=1)) / runs
        return max(seen, (0.5 / (runs * (runs - 1))) ** 2)


def paired_auc(runs: Sequence[RunScores], pairs: NDArray[np.intp]) -> PairedAuc:
    """The AUC over federations in both states (``pairs`` are :func:`.runs.pairs_of`)."""
    kernel = pairwise_auc(runs)[np.ix_(pairs[:, 0], pairs[:, 1])]
    np.fill_diagonal(kernel, 0.0)
    others = len(pairs) - 1
    shares = (kernel.sum(axis=1) + kernel.sum(axis=0)) / others
    return PairedAuc(np.asarray(shares))


def moved_to(value: float, runs: Sequence[RunScores], pairs: NDArray[np.intp]) -> PairedAuc:
    """The AUC of the same federations if the property had moved scores until it is ``value``.

    All scores with the property move by one amount, as normal scores: what is rare at the ends
    weighs no more than elsewhere.
    """
    places = rankdata(np.concatenate([run.scores for run in runs]))
    normal = ndtri((places - 0.5) / places.size)
    scores = np.split(normal, np.cumsum([run.n_rounds for run in runs])[:-1])
    gaps, weights = [], []
    for i, (with_it, _) in enumerate(pairs):
        others = [scores[without] for j, (_, without) in enumerate(pairs) if j != i]
        for other in others:
            gaps.append(np.subtract.outer(scores[with_it], other).ravel())
            weights.append(np.full(gaps[-1].size, 1 / gaps[-1].size))
    gap, weight = np.concatenate(gaps), np.concatenate(weights)
    order = np.argsort(-gap)
    reached = np.searchsorted(np.cumsum(weight[order]), value * weight.sum())
    shift = TIE - gap[order][min(int(reached), gap.size - 1)]
    moved = [
        replace(run, scores=own + shift * (run.n_present > 0))
        for run, own in zip(runs, scores, strict=True)
    ]
    return paired_auc(moved, pairs)


def least_variance(federations: int, auc: float) -> float:
    """Of an AUC from federations whose two states score alike but for the property.

    The state with the property is higher by a fixed amount. It changes the order of two federations
    where they differ by less, which is so for a share p = 2 |auc - 0.5| of them; so the AUC is a
    U-statistic, whose variance follows for normal scores (W. Hoeffding, 1948).
    """
    p, n = 2 * abs(auc - 0.5), federations
    return p * (1 + _excess(n) * p) / (2 * n * (n - 1))


def least_reach(federations: int, deviations: float) -> float:
    """From 0.5 to the AUC that federations which score alike would show to be 0.5, by chance.

    So many standard deviations of :func:`least_variance` there.
    """
    n = federations
    share = 2 * deviations**2 / (n * (n - 1))
    return 0.5 * min(1.0, share / max(1 - share * _excess(n), share))


def _excess(federations: int) -> float:
    """What comparisons that share a federation add to a variance, normal scores."""
    return 2 * (federations - 2) * (2 / float(np.sqrt(3)) - 1) - 1


def blind_variance(federations: int, correlation: float) -> float:
    """Of the AUC of a blind guess; normal scores whose two states correlate by ranks that much."""
    n = federations
    of_values = 2 * sin(pi * correlation / 6)
    of_one_comparison = 1 / 4 - asin(of_values) / (2 * pi)
    return ((1 - correlation) * (n - 2) / 6 + of_one_comparison) / (n * (n - 1))


def correlation_of_states(runs: Sequence[RunScores], pairs: NDArray[np.intp]) -> float:
    """Rank correlation of the two states' mean scores over federations, in [0, 1).

    Taken as if two more federations without any had been seen: few say little about it, and an
    overrated one promises more power than there is.
    """
    levels = np.array([run.scores.mean() for run in runs])[pairs]
    ranks = rankdata(levels, axis=0)
    deviations = ranks.std(axis=0)
    if not deviations.all():
        return 0.0
    centred = ranks - ranks.mean(axis=0)
    found = float(np.mean(centred[:, 0] * centred[:, 1]) / deviations.prod())
    return max(0.0, found) * len(pairs) / (len(pairs) + 2)
