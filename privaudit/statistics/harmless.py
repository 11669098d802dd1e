"""From how many honest clients on is an attack equivalent to a blind guess, or what would show it?

A claim of its own, not the absence of a leak: two one-sided tests, from the largest number of
clients downwards, where no correction for several numbers is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from scipy.special import ndtri
from scipy.stats import mannwhitneyu, norm, wilcoxon

from privaudit.statistics import roc
from privaudit.statistics.between import (
    blind_variance,
    correlation_of_states,
    least_variance,
    moved_to,
)
from privaudit.statistics.dilution import DilutionPoint, check_honest
from privaudit.statistics.hierarchy import Evidence, mean_rate_limits
from privaudit.statistics.intervals import (
    BETWEEN_SPREAD,
    auc_evidence,
    check_threshold,
    few_units,
    with_pools,
)
from privaudit.statistics.runs import RunScores, Unit, label_unit, pairs_of
from privaudit.statistics.variance import auc_variance, run_auc_variance

EQUIVALENCE = 0.9
"""Level of the limits of an equivalence claim: two one-sided tests at 5 % each."""

MOST_RUNS = 10_000


class Finding(Enum):
    """What one number of honest clients says about "the attack is gone"."""

    HARMLESS = "harmless"
    LEAKS = "leaks"
    WRONG_WAY = "wrong way"
    OPEN = "open"


@dataclass(frozen=True)
class HarmlessAnswer:
    """From how many honest clients on the attack is harmless.

    Attributes:
        threshold: the AUC below which it counts as harmless; 1 - threshold is the limit below.
        measured: the smallest measured number of honest clients at which and at every larger
            measured number the attack is :attr:`Finding.HARMLESS`; None: not shown.
        measured_up_to: the largest measured number.
        at_largest: what that number says.
        limits: [low, high] of its AUC, level :data:`EQUIVALENCE`.
        runs: its runs.
        runs_needed: about how many it needs for "harmless" to be shown in 80 of 100 cases if the
            attack is blind; None: more than :data:`MOST_RUNS`.
    """

    threshold: float
    measured: int | None
    measured_up_to: int
    at_largest: Finding
    limits: tuple[float, float]
    runs: int
    runs_needed: int | None


def harmless_from(points: Sequence[DilutionPoint], *, threshold: float = 0.6) -> HarmlessAnswer:
    """From how many honest clients on the attack is equivalent to a blind guess.

    The numbers are looked at from the largest downwards, up to the first that is not harmless: in a
    fixed order no correction for several tests is needed, and the claim is wrong in 5 of 100 cases
    at most.

    Raises:
        ValueError: ``threshold`` outside (0.5, 1], or points not increasing.
    """
    check_threshold(threshold)
    check_honest(points, least=1)
    last = points[-1]
    at_largest = finding(last, threshold)
    measured = last.honest if at_largest is Finding.HARMLESS else None
    for point in points[-2::-1] if measured else []:
        if finding(point, threshold) is not Finding.HARMLESS:
            break
        measured = point.honest
    return HarmlessAnswer(
        threshold=threshold,
        measured=measured,
        measured_up_to=last.honest,
        at_largest=at_largest,
        limits=_limits(_evidence(last, threshold)),
        runs=len(last.runs),
        runs_needed=runs_needed(
            last.runs,
            threshold,
            spread=spread_between_runs(points),
            tau=last.tau,
            overlap=last.overlap,
            correlation=_correlation(points),
        ),
    )


def finding(point: DilutionPoint, threshold: float) -> Finding:
    """Two one-sided tests at 5 % each: both 90 % limits within 1 - threshold and threshold.

    An AUC wholly below 0.5 is no safety: whoever turns the scores round is above it.
    """
    evidence = auc_evidence(point.runs, point.tau, point.overlap)
    told, wrong_way = point.told, point.wrong_way
    if told is None or wrong_way is None:
        low, high = mean_rate_limits(evidence, 0.95)
        # An interval over six runs takes no notice of how few orders of them there are.
        differ = label_unit(point.runs) is Unit.ROUND or _runs_differ(point.runs)
        told, wrong_way = differ and low > 0.5, differ and high < 0.5
    if wrong_way:
        return Finding.WRONG_WAY
    low, high = _limits(_evidence(point, threshold))
    if 1 - threshold < low and high < threshold:
        return Finding.HARMLESS
    return Finding.LEAKS if told else Finding.OPEN


def _evidence(point: DilutionPoint, threshold: float) -> Evidence:
    """What a claim rests on: of federations in both states never surer than at its edge.

    Where the two states of a federation score nearly alike, few comparisons with other federations
    are decided by the property; fewer than there are by chance look like certainty. So the variance
    is also that of the same federations moved to the edge, and of any there.
    """
    found = auc_evidence(point.runs, point.tau, point.overlap)
    pairs = pairs_of(point.runs) if label_unit(point.runs) is Unit.RUN else None
    if pairs is None or not 0 < found.rates[0] < 1:
        return found
    edges = [moved_to(edge, point.runs, pairs).variance for edge in (threshold, 1 - threshold)]
    least = max(*edges, least_variance(len(pairs), threshold)) * few_units(len(pairs) - 1)
    most = found.rates * (1 - found.rates) / least
    return replace(found, sizes=np.minimum(found.sizes, most))


def _limits(evidence: Evidence) -> tuple[float, float]:
    """Of an equivalence claim: of the AUC that records leak, apart from what pools add by chance.

    The mean over deals is nearer to 0.5 than that, and is no measure of safety.
    """
    return mean_rate_limits(evidence, EQUIVALENCE, apart=True)


def _correlation(points: Sequence[DilutionPoint]) -> float | None:
    """Of the scores of a federation's two states, mean over points; None where there are none."""
    if label_unit(points[-1].runs) is Unit.ROUND:
        return None
    found = [(point.runs, pairs_of(point.runs)) for point in points]
    known = [correlation_of_states(runs, pairs) for runs, pairs in found if pairs is not None]
    return float(np.mean(known)) if known else None


def _runs_differ(runs: Sequence[RunScores]) -> bool:
    """Whether scores of runs with and without the property differ, two-sided at 5 %."""
    levels = np.array([run.scores.mean() for run in runs])
    pairs = pairs_of(runs)
    if pairs is not None:
        return bool(wilcoxon(levels[pairs[:, 0]], levels[pairs[:, 1]]).pvalue <= 0.05)
    present = np.array([run.n_present > 0 for run in runs])
    return bool(mannwhitneyu(levels[present], levels[~present]).pvalue <= 0.05)


def spread_between_runs(points: Sequence[DilutionPoint]) -> float:
    """Standard deviation between runs of the normal quantile of their AUC, beyond chance.

    Of all points together, for each has few runs; 0 where labels belong to runs.
    """
    excess = weight = 0.0
    for point in points:
        if len(point.runs) < 2 or label_unit(point.runs) is Unit.RUN:
            continue
        aucs = np.array([roc.run_auc(run) for run in point.runs])
        mean = float(np.clip(aucs.mean(), 0.01, 0.99))
        chance = np.mean([run_auc_variance(mean, run) for run in point.runs])
        excess += float(aucs.var(ddof=1) - chance)
        weight += float(norm.pdf(ndtri(mean)) ** 2)
    return float(np.sqrt(max(excess, 0.0) / weight)) if weight else 0.0


def runs_needed(
    runs: Sequence[RunScores],
    threshold: float,
    *,
    spread: float = 0.0,
    tau: float = 0.0,
    overlap: float = 0.0,
    correlation: float | None = None,
    power: float = 0.8,
) -> int | None:
    """About how many runs like these show "harmless" with this power where the AUC is 0.5.

    The mean AUC of R runs has the variance v / R; its interval, of the very kind that
    :func:`finding` looks at, must leave room for the mean to wander.

    Args:
        runs: of one number of clients.
        threshold: in (0.5, 1].
        spread: see :func:`spread_between_runs`; ``tau``, of each run's pools, is part of it.
        tau: see :class:`DilutionPoint`; so ``overlap``.
        correlation: of the two states' scores, where runs are federations in both; a federation
            counts as two runs. None = runs are federations of their own.
        power: in (0.5, 1).

    Returns:
        None: more than :data:`MOST_RUNS`.
    """
    of_runs = label_unit(runs) is Unit.RUN
    slope = float(norm.pdf(0)) ** 2
    of_rounds = 0.0 if of_runs else float(np.mean([run_auc_variance(0.5, run) for run in runs]))
    pools = slope * tau**2 / 2
    # Of one run about what all have in common.
    alone = of_rounds + max(slope * spread**2, (1 - overlap) * pools)

    def enough(count: int) -> bool:
        if correlation is not None:
            variance = blind_variance(count // 2, correlation)
            edge = least_variance(count // 2, threshold) * few_units(count // 2 - 1)
            reach = _reach_of_one(variance * unsure(count) + edge)
        elif of_runs:
            variance = float(auc_variance(0.5, count / 2, count / 2))
            reach = _reach_of_one(variance)
        else:
            variance = alone / count + overlap * pools
            reach = _reach(count, alone, of_rounds, tau, overlap)
        return threshold - 0.5 - reach >= ndtri((1 + power) / 2) * np.sqrt(variance)

    def unsure(count: int) -> float:
        """Of federations in both states the variance is estimated: of five once as much larger."""
        freedom = count // 2 - 1
        return few_units(freedom) * (1 + float(ndtri(power)) / np.sqrt(2 * freedom)) ** 2

    low, high = (2, 4) if of_runs else (1, 2)
    while not enough(high):
        if high >= MOST_RUNS:
            return None
        low, high = high, 2 * high
    while high - low > (2 if of_runs else 1):
        middle = (low + high) // 4 * 2 if of_runs else (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _reach_of_one(variance: float) -> float:
    """From 0.5 to the limit of the interval of an AUC with this variance, runs being the units."""
    one = Evidence(np.array([0.5]), np.array([0.25 / variance]), 0.0)
    return _limits(one)[1] - 0.5


def _reach(count: int, alone: float, of_rounds: float, tau: float, overlap: float) -> float:
    """From 0.5 to the limit of the interval of ``count`` runs whose mean is 0.5.

    Args:
        count: runs.
        alone: variance of a run's AUC about what it has in common with the others.
        of_rounds: the part of that which its rounds make.
        tau: see :class:`DilutionPoint`; so ``overlap``.
    """
    tried = min(count, 32)
    # So many runs that lie as such a spread lays them; with more the limits close in as a root.
    rates = 0.5 + np.sqrt(alone) * ndtri((np.arange(tried) + 0.5) / tried)
    sizes = np.full(tried, 0.25 / of_rounds)
    scale = BETWEEN_SPREAD / np.sqrt(2)
    evidence = with_pools(Evidence(np.clip(rates, 0, 1), sizes, scale), tau, overlap)
    shrink = float(np.sqrt(tried / count))
    evidence = replace(evidence, common=evidence.common / shrink)  # which does not close in
    return (_limits(evidence)[1] - 0.5) * shrink
