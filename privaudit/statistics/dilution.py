"""A law of dilution fitted to measured AUCs; from how many honest clients on is the attack gone?

The fit is on the scale of AUCs, where a point at or below chance is a point like any other, by the
likelihood of :mod:`privaudit.statistics.hierarchy` (runs differ by an unknown amount, its own at
each number of clients), on a grid of the law's two parameters. Estimates are at the most likely
curve; their intervals are what the curves say whose likelihood is not too far below it (profile
likelihood), so that a flank the data leave open stays open. Measurements at different numbers are
taken as independent. They are not where there is no leak: the target's two finite pools of records
are the same at every number, so that a coin fades as n^-1/2 by itself. An exponent is to be read
where the attack is told from chance only, and nothing is said beyond the measured numbers: where
the law changes there, a test of misfit notices in 0 to 17 of 100 cases.

"Gone" is a claim of its own: equivalence to chance, from the largest number downwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from math import inf, isclose

import numpy as np
from scipy.special import ndtri
from scipy.stats import chi2, mannwhitneyu, norm, wilcoxon

from privaudit.statistics import roc
from privaudit.statistics.between import blind_variance, correlation_of_states
from privaudit.statistics.hierarchy import (
    MAX_LOCATION,
    Evidence,
    mean_rate_limits,
    mean_rate_log_likelihood,
)
from privaudit.statistics.intervals import (
    BETWEEN_SPREAD,
    auc_evidence,
    check_threshold,
    few_units,
    with_pools,
)
from privaudit.statistics.laws import SQRT2, Family, auc_of_d_prime
from privaudit.statistics.runs import FloatArray, RunScores, Unit, label_unit, pairs_of
from privaudit.statistics.variance import auc_variance, run_auc_variance

GRID = 121
SCORES = np.linspace(-MAX_LOCATION, MAX_LOCATION, 2401)
EQUIVALENCE = 0.9
"""Level of the limits of an equivalence claim: two one-sided tests at 5 % each."""

MOST_RUNS = 10_000


@dataclass(frozen=True)
class DilutionPoint:
    """The runs measured with one number of honest clients (participants K minus one).

    Attributes:
        honest: the number.
        runs: what the AUC is computed of.
        tau: deviation of a run's d' by finite pools (:mod:`privaudit.statistics.pools`).
        overlap: how much of that any two runs have in common.
        told: whether the AUC is told from 0.5 upwards; None = by its own interval.
        wrong_way: whether it is told downwards; None likewise.
    """

    honest: int
    runs: tuple[RunScores, ...]
    tau: float = 0.0
    overlap: float = 0.0
    told: bool | None = None
    wrong_way: bool | None = None


@dataclass(frozen=True)
class Estimate:
    """A fitted quantity with its interval; a limit is infinite where the data set no bound."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class DilutionFit:
    """A family of curves, and how likely each makes what was measured.

    Attributes:
        family: which curves.
        first: [G] first parameter of each curve.
        second: [G] second parameter.
        log_likelihood: [G] of each curve.
        centre: geometric mean of the measured numbers of honest clients.
        measured: the numbers of honest clients the fit has seen.
        misfit_p: p-value of "a curve of this family is true"; ``None`` with only two points.
        level: nominal coverage of estimates.
    """

    family: Family
    first: FloatArray
    second: FloatArray
    log_likelihood: FloatArray
    centre: float
    measured: tuple[int, ...]
    misfit_p: float | None
    level: float

    def parameter(self, name: str) -> Estimate:
        """A fitted parameter, such as ``"exponent"``; no limit where its range would be one.

        Raises:
            ValueError: not a parameter of the family.
        """
        if name not in self.family.parameters:
            raise ValueError(f"parameter must be one of {self.family.parameters}, got {name!r}")
        index = self.family.parameters.index(name)
        values = (self.first, self.second)[index]
        estimate = self._estimate(values)
        low, high = self.family.bounds[index]
        return Estimate(
            estimate.value,
            self.family.lowest if isclose(estimate.low, low) else estimate.low,
            inf if isclose(estimate.high, high) else estimate.high,
        )

    def auc(self, honest: float) -> Estimate:
        """The curve at a number of honest clients, with its pointwise band."""
        n = honest / self.centre if self.family.centred else honest
        estimate = self._estimate(self.family.d_prime(self.first, self.second, n))
        return Estimate(*(auc_of_d_prime(d) for d in (estimate.value, estimate.low, estimate.high)))

    def _estimate(self, values: FloatArray) -> Estimate:
        best = int(self.log_likelihood.argmax())
        allowed = values[self.log_likelihood >= self.log_likelihood[best] - _drop(self.level)]
        return Estimate(float(values[best]), float(allowed.min()), float(allowed.max()))


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


def fit_dilution(
    points: Sequence[DilutionPoint], family: Family, *, level: float = 0.95
) -> DilutionFit:
    """Fit one of the two families to the AUCs at several numbers of honest clients.

    Raises:
        ValueError: numbers of honest clients not increasing or below 1, fewer than two of them,
            ``level`` outside (0, 1), or runs that have no AUC.
    """
    _check(points, level)
    honest = np.array([point.honest for point in points], dtype=np.float64)
    centre = float(np.exp(np.log(honest).mean()))
    relative = honest / centre if family.centred else honest
    curves = [
        mean_rate_log_likelihood(auc_evidence(point.runs, point.tau, point.overlap), SCORES)
        for point in points
    ]

    def log_likelihood(first: FloatArray, second: FloatArray) -> FloatArray:
        return np.sum(
            [
                np.interp(family.d_prime(first, second, n) / SQRT2, SCORES, curve)
                for n, curve in zip(relative, curves, strict=True)
            ],
            axis=0,
        )

    first, second, value = _explore(log_likelihood, family, _drop(level))
    misfit = None
    if len(points) > 2:
        saturated = sum(float(curve.max()) for curve in curves)
        misfit = float(chi2.sf(2 * (saturated - value.max()), len(points) - 2))
    measured = tuple(point.honest for point in points)
    return DilutionFit(family, first, second, value, centre, measured, misfit, level)


def harmless_from(points: Sequence[DilutionPoint], *, threshold: float = 0.6) -> HarmlessAnswer:
    """From how many honest clients on the attack is equivalent to a blind guess.

    The numbers are looked at from the largest downwards, up to the first that is not harmless: in a
    fixed order no correction for several tests is needed, and the claim is wrong in 5 of 100 cases
    at most.

    Raises:
        ValueError: ``threshold`` outside (0.5, 1], or points not increasing.
    """
    check_threshold(threshold)
    _check_honest(points)
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
        limits=_limits(auc_evidence(last.runs, last.tau, last.overlap)),
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
    low, high = _limits(evidence)
    if 1 - threshold < low and high < threshold:
        return Finding.HARMLESS
    return Finding.LEAKS if told else Finding.OPEN


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
            reach = _reach_of_one(variance * unsure(count))
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


def _drop(level: float) -> float:
    """How far below the highest log likelihood a curve may lie to be inside the interval."""
    return float(chi2.ppf(level, 1) / 2)


def _explore(
    log_likelihood: Callable[[FloatArray, FloatArray], FloatArray], family: Family, drop: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Flattened grid of both parameters and its log likelihood, zoomed to where it matters."""
    scale, back = (np.log, np.exp) if family.logarithmic else (np.asarray, np.asarray)
    ranges = [tuple(scale(np.array(bound))) for bound in family.bounds]
    for _ in range(3):
        axes = [np.linspace(low, high, GRID) for low, high in ranges]
        first, second = np.meshgrid(*axes, indexing="ij")
        value = log_likelihood(back(first), back(second))
        relevant = value > value.max() - 2 * drop
        ranges = [
            (
                max(float(x[relevant].min()) - (axis[1] - axis[0]), low),
                min(float(x[relevant].max()) + (axis[1] - axis[0]), high),
            )
            for x, axis, (low, high) in zip((first, second), axes, ranges, strict=True)
        ]
    return back(first).ravel(), back(second).ravel(), value.ravel()


def _check(points: Sequence[DilutionPoint], level: float) -> None:
    _check_honest(points)
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be in (0, 1), got {level}")


def _check_honest(points: Sequence[DilutionPoint]) -> None:
    honest = [point.honest for point in points]
    if len(honest) < 2 or honest[0] < 1 or any(np.diff(honest) <= 0):
        raise ValueError(
            f"at least two increasing numbers of honest clients from 1 are needed, got {honest}"
        )
