"""When is an attack told from chance, and how large a leak would have been? One definition.

A cell is *told* if its p-value, adjusted over the cells it stands among (Benjamini & Hochberg,
"Controlling the false discovery rate", JRSS B 57, 1995), is below 5 %. Its p-value is the larger
of two:

- of the permutation test, exact where rounds are exchangeable;
- of the *pool test*, which allows for the target's finite pools
  (:mod:`privaudit.statistics.pools`): with R runs, f the overlap of their pools, V0 the variance of
  a run's AUC under permutation and Vp what the pools add, the mean AUC has the variance
  ``[V0 (1 - 4 Vp) + Vp (1 + (R - 1) f)] / R`` about 0.5.

Stars, verdicts, figures, sweeps and power all come from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb, isinf, isnan, log, sqrt

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri
from scipy.stats import false_discovery_control, norm

from privaudit.statistics.between import blind_variance, correlation_of_states
from privaudit.statistics.permutation import PERMUTATIONS, permutation_test
from privaudit.statistics.pools import Holdings, pool_variance
from privaudit.statistics.roc import mean_auc
from privaudit.statistics.runs import RunScores, Unit, label_unit, pairs_of
from privaudit.statistics.variance import auc_variance

SIGNIFICANT = 0.05
POWER = 0.8
SPREAD = 0.2
"""Deviation of d' between runs that the stated power takes for granted, where runs have one."""


ALMOST_PERFECT = 0.995
"""What is stated goes up to here: above it the normal approximation says nothing."""


@dataclass(frozen=True)
class Design:
    """What a test of one cell has to work with.

    Attributes:
        unit: what carries the label.
        n_present: rounds with the property in each run (where targets rotate, of each target in
            each run); with labels on runs one number, the runs.
        n_absent: likewise without.
        tau: deviation of d' that comes from finite pools alone; None = not known, no allowance.
        overlap: correlation of that between runs, in [0, 1].
        targets: of each run.
        correlation: of the two states' scores, where runs are federations in both states (of
            which ``n_present`` and ``n_absent`` then each give the number); None = they are not.

    Raises:
        ValueError: a run without rounds of both kinds, or a number out of its range.
    """

    unit: Unit
    n_present: tuple[int, ...]
    n_absent: tuple[int, ...]
    tau: float | None = None
    overlap: float = 0.0
    correlation: float | None = None
    targets: int = 1

    def __post_init__(self) -> None:
        counts = (*self.n_present, *self.n_absent)
        if not counts or len(self.n_present) != len(self.n_absent) or min(counts) < 1:
            raise ValueError(
                f"every run needs rounds of both kinds, got {self.n_present} and {self.n_absent}"
            )
        if self.tau is not None and self.tau < 0:
            raise ValueError(f"tau must not be negative, got {self.tau}")
        if not 0.0 <= self.overlap <= 1.0:
            raise ValueError(f"overlap must be in [0, 1], got {self.overlap}")

    @property
    def null_error(self) -> float:
        """Standard error of the mean AUC where the attack knows nothing."""
        return sqrt(self.null_variance(self._exchangeable))

    def null_variance(self, exchangeable: float) -> float:
        """The same squared, from the variance under permutation, which ties make smaller."""
        pools = pool_variance(self.tau or 0.0)
        # Of two states that correlate it is not ties that make it small.
        scale = exchangeable / self._exchangeable if self.correlation is None else 1.0
        return exchangeable * (1 - 4 * pools) + scale * pools * self._together

    def error(self, auc: float, spread: float) -> float:
        """Standard error of the mean AUC about a true one, d' between runs deviating by ``spread``.

        With labels on runs these are the units, and ``spread`` is in their scores.
        """
        counts = np.array(self.n_present, float), np.array(self.n_absent, float)
        rounds = float(auc_variance(auc, *counts).sum()) / len(self.n_present) ** 2
        rounds *= 1 - (self.correlation or 0.0)
        slope = norm.pdf(ndtri(auc)) ** 2 / 2 if 0 < auc < 1 else 0.0
        between = spread**2 / self._runs if self.unit is Unit.ROUND else 0.0
        pools = (self.tau or 0.0) ** 2 * self._together if slope else 0.0
        return sqrt(rounds + slope * (between + pools))

    @property
    def run_tau(self) -> float:
        """Deviation of a run's own d', the mean over its targets, whose records are not shared."""
        return (self.tau or 0.0) / sqrt(self.targets)

    @property
    def run_overlap(self) -> float:
        """How much of that two runs have in common, so that a mean over runs varies as it does."""
        runs = self._runs
        if runs == 1:
            return 0.0
        return min(1.0, self.overlap * (len(self.n_present) - 1) / (runs - 1))

    @property
    def pools(self) -> dict[str, float]:
        """What intervals over runs allow for: keywords of ``auc_interval``."""
        return {"tau": self.run_tau, "overlap": self.run_overlap}

    @property
    def _runs(self) -> int:
        return len(self.n_present) // self.targets

    @property
    def assignments(self) -> float:
        """Logarithm of the number of ways to put the labels."""
        if self.correlation is not None:
            return self.n_present[0] * log(2)
        pairs = zip(self.n_present, self.n_absent, strict=True)
        return sum(log(comb(n + m, n)) for n, m in pairs)

    @property
    def _exchangeable(self) -> float:
        if self.correlation is not None:
            return blind_variance(self.n_present[0], self.correlation)
        pairs = zip(self.n_present, self.n_absent, strict=True)
        return sum((n + m + 1) / (12 * n * m) for n, m in pairs) / len(self.n_present) ** 2

    @property
    def _together(self) -> float:
        """Variance of a mean over runs in units of one target's, their pools overlapping."""
        runs = len(self.n_present)
        return (1 + (runs - 1) * self.overlap) / runs


def design_of(
    runs: Sequence[RunScores],
    holdings: Sequence[Sequence[Holdings]] = (),
    *,
    rounds: int | None = None,
) -> Design:
    """The design of a cell.

    Args:
        runs: of the cell.
        holdings: [R] of each run's targets; empty, or none at all, where nobody wrote them down.
        rounds: that a run's scores were added up over, where labels are on runs; None = its own.

    Raises:
        ValueError: see :func:`privaudit.statistics.runs.label_unit`.
    """
    unit = label_unit(runs)
    known = [held for of_run in holdings for held in of_run]
    parts = [part for run in runs for part in run.parts()]
    whole = bool(known) and len(known) == len(parts)
    if unit is Unit.ROUND:
        counts = tuple(p.n_present for p in parts), tuple(p.n_absent for p in parts)
        targets = len(parts) // len(runs)
        if not whole:
            return Design(unit, *counts, targets=targets)
        tau = sqrt(float(np.mean([held.tau**2 for held in known])))
        overlap = float(np.mean([held.overlap for held in known]))
        return Design(unit, *counts, tau, overlap, targets=targets)
    n_present = sum(run.n_present > 0 for run in runs)
    counts = (n_present,), (len(runs) - n_present,)
    pairs = pairs_of(runs)
    correlation = None if pairs is None else correlation_of_states(runs, pairs)
    if not whole:
        return Design(unit, *counts, correlation=correlation)
    squares = [
        held.tau_of_runs(rounds or run.n_rounds) ** 2 for held, run in zip(known, runs, strict=True)
    ]
    return Design(unit, *counts, sqrt(float(np.mean(squares))), correlation=correlation)


@dataclass(frozen=True)
class Tested:
    """Of "the AUC of the cell is above 0.5", one-sided.

    Attributes:
        p_value: the one that counts: the larger of the two.
        permutation: of the permutation test alone, which knows nothing of pools.
    """

    p_value: float
    permutation: float


def against_chance(runs: Sequence[RunScores], design: Design, rng: np.random.Generator) -> Tested:
    """Test a cell against chance; without known pools the permutation test alone."""
    by_permutation = permutation_test(runs, rng)
    p = by_permutation.p_value
    variance = design.null_variance(by_permutation.variance)
    if design.tau is None or variance <= 0:
        return Tested(p, p)
    return Tested(max(p, float(ndtr((0.5 - mean_auc(runs)) / sqrt(variance)))), p)


def adjusted(p_values: Sequence[float | None]) -> list[float | None]:
    """P-values adjusted to control the false discovery rate over those that are there.

    Args:
        p_values: in [0, 1]; ``None`` or NaN for a cell without a test, which is outside the family
            and stays ``None``.

    Raises:
        ValueError: a p-value outside [0, 1].
    """
    tested = [i for i, p in enumerate(p_values) if p is not None and not isnan(p)]
    family = np.array([p_values[i] for i in tested], dtype=np.float64)
    if np.any((family < 0) | (family > 1)):
        raise ValueError(f"p-values must be in [0, 1], got {family[(family < 0) | (family > 1)]}")
    found: list[float | None] = [None] * len(p_values)
    if tested:
        for i, p in zip(tested, false_discovery_control(family), strict=True):
            found[i] = float(p)
    return found


def is_told(q_value: float | None) -> bool:
    """Whether an adjusted p-value says "told from chance"."""
    return q_value is not None and q_value < SIGNIFICANT


@lru_cache(maxsize=1024)  # the cells of a table have few designs
def smallest_told(
    design: Design, *, cells: int = 1, power: float = POWER, spread: float = SPREAD
) -> float | None:
    """The smallest AUC that would have been told in a share ``power`` of such audits.

    Normal approximation. With ``cells`` the number of cells of the table it holds if this cell
    alone leaked (the adjustment is then by that number), with 1 if all of them did.

    Returns:
        The AUC in (0.5, 0.995), or ``None`` if not even an almost perfect attack would be told
        that often.

    Raises:
        ValueError: fewer than one cell, ``power`` outside (0.5, 1), or a negative ``spread``.
    """
    if cells < 1 or not 0.5 <= power < 1 or spread < 0:
        raise ValueError(
            "cells must be at least 1, power in [0.5, 1), spread not negative, "
            f"got {cells}, {power} and {spread}"
        )
    level = SIGNIFICANT / cells
    if min(design.assignments, log(PERMUTATIONS + 1)) < -log(level):
        return None  # no p-value is that small
    critical = 0.5 - ndtri(level) * design.null_error

    def shortfall(auc: float) -> float:
        return auc - critical - float(ndtri(power)) * design.error(auc, spread)

    if critical >= 1 or isinf(design.tau or 0.0) or shortfall(1.0) <= 0:
        return None
    # From 1 downwards, because the shortfall may have a second root below a steep variance.
    grid = np.linspace(1.0, 0.5, 501)
    first_short = next(auc for auc in grid if shortfall(float(auc)) <= 0)
    found = float(brentq(shortfall, first_short, first_short + 0.001))
    return found if found < ALMOST_PERFECT else None
