"""A law of dilution fitted to measured AUCs.

The fit is on the scale of AUCs, where a point at or below chance is a point like any other, by the
likelihood of :mod:`privaudit.statistics.hierarchy` (runs differ by an unknown amount, its own at
each number of clients), on a grid of the law's two parameters. Estimates are at the most likely
curve; their intervals are what the curves say whose likelihood is not too far below it (profile
likelihood), so that a flank the data leave open stays open. Measurements at different numbers are
taken as independent. They are not where there is no leak: the target's two finite pools of records
are the same at every number, so that a coin fades as n^-1/2 by itself. An exponent is to be read
where the attack is told from chance only, and nothing is said beyond the measured numbers: where
the law changes there, a test of misfit notices in 0 to 17 of 100 cases.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, isclose

import numpy as np
from scipy.stats import chi2

from privaudit.statistics.hierarchy import MAX_LOCATION, mean_rate_log_likelihood
from privaudit.statistics.intervals import auc_evidence
from privaudit.statistics.laws import SQRT2, Family, auc_of_d_prime
from privaudit.statistics.runs import FloatArray, RunScores

GRID = 121
SCORES = np.linspace(-MAX_LOCATION, MAX_LOCATION, 2401)


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
    check_honest(points)
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be in (0, 1), got {level}")


def check_honest(points: Sequence[DilutionPoint], *, least: int = 2) -> None:
    """Refuse numbers of honest clients that are no curve of so many points at least.

    Raises:
        ValueError: fewer, below 1, or not increasing.
    """
    honest = [point.honest for point in points]
    if len(honest) < least or honest[0] < 1 or any(np.diff(honest) <= 0):
        raise ValueError(
            f"at least {least} increasing numbers of honest clients from 1 are needed, got {honest}"
        )
