"""Is a cell's AUC above chance? A permutation test that is exact whatever the scores look like.

The property's schedule is randomised, so under "the attack knows nothing" every assignment of the
labels to the rounds of a run (or to the runs, where the label belongs to the run) is equally likely
given how often each label occurs. Where each federation is audited in both states, the labels of
its two runs may be swapped, and no others. Where the property is there for one stretch of rounds,
the stretches that might have been drawn instead are tried, so that scores may drift as they like.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb, prod

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from privaudit.statistics.between import pairwise_auc
from privaudit.statistics.roc import auc
from privaudit.statistics.runs import FloatArray, RunScores, Unit, label_unit, pairs_of

PERMUTATIONS = 9_999
MAX_EXACT = 20_000
CHUNK_CELLS = 2_000_000
ROUNDING = 1e-9


@dataclass(frozen=True)
class PermutationTest:
    """A one-sided p-value, and the variance of the cell's AUC over the permutations."""

    p_value: float
    variance: float


def permutation_p_value(
    runs: Sequence[RunScores], rng: np.random.Generator, *, n_permutations: int = PERMUTATIONS
) -> float:
    """The p-value of :func:`permutation_test`."""
    return permutation_test(runs, rng, n_permutations=n_permutations).p_value


def permutation_test(
    runs: Sequence[RunScores], rng: np.random.Generator, *, n_permutations: int = PERMUTATIONS
) -> PermutationTest:
    """One-sided test of "the AUC of the cell is above 0.5".

    The statistic is :func:`privaudit.statistics.roc.mean_auc`. If there are at most 20,000
    assignments, all are tried and the p-value is exact; otherwise
    p = (1 + number at least as large) / (1 + ``n_permutations``), which is valid for any number
    (Phipson & Smyth, "Permutation p-values should never be zero", 2010).

    Raises:
        ValueError: ``n_permutations`` below 1, or runs without both labels.
    """
    if n_permutations < 1:
        raise ValueError(f"n_permutations must be at least 1, got {n_permutations}")
    over = _over_runs if label_unit(runs) is Unit.RUN else _within_runs
    if all(run.possible is not None for run in runs):
        over = _over_stretches
    null, observed, exact = over(runs, rng, n_permutations)
    hits, tried = int(np.count_nonzero(null >= observed - ROUNDING)), null.size
    p_value = hits / tried if exact else (1 + hits) / (1 + tried)
    return PermutationTest(p_value, float(null.var()))


Null = tuple[FloatArray, float, bool]
"""Statistic under permuted labels, as observed, and whether every assignment was tried."""


def _within_runs(runs: Sequence[RunScores], rng: np.random.Generator, n_permutations: int) -> Null:
    # The AUC of a run is its rank sum times a constant, plus a constant that drops out.
    # Where targets rotate it is the mean over targets, and labels stay among the rounds of each.
    within = [(part, len(runs) * len(run.parts())) for run in runs for part in run.parts()]
    parts = [part for part, _ in within]
    weights = [rankdata(p.scores) / (count * p.n_present * p.n_absent) for p, count in within]
    observed = sum(float(w[part.present].sum()) for w, part in zip(weights, parts, strict=True))
    if prod(comb(part.n_rounds, part.n_present) for part in parts) <= MAX_EXACT:
        null = np.zeros(1)
        for w, run in zip(weights, parts, strict=True):
            null = np.add.outer(null, _all_subset_sums(w, run.n_present)).ravel()
        return null, observed, True
    null = np.zeros(n_permutations)
    for w, run in zip(weights, parts, strict=True):
        null += _random_subset_sums(w, run.n_present, n_permutations, rng)
    return null, observed, False


def _over_stretches(
    runs: Sequence[RunScores], rng: np.random.Generator, n_permutations: int
) -> Null:
    aucs = []
    for run in runs:
        assert run.possible is not None
        found = [auc(run.scores, present) for present in run.possible]
        aucs.append(np.array(found) / len(runs))
    observed = sum(auc(run.scores, run.present) for run in runs) / len(runs)
    if prod(map(len, aucs)) <= MAX_EXACT:
        null = np.zeros(1)
        for of_run in aucs:
            null = np.add.outer(null, of_run).ravel()
        return null, observed, True
    drawn = np.sum([rng.choice(of_run, n_permutations) for of_run in aucs], axis=0)
    return drawn, observed, False


def _over_runs(runs: Sequence[RunScores], rng: np.random.Generator, n_permutations: int) -> Null:
    kernel = pairwise_auc(runs)
    pairs = pairs_of(runs)
    if pairs is not None:
        return _over_pairs(kernel, pairs, rng, n_permutations)
    labels = np.array([run.n_present > 0 for run in runs])
    n_present, n_runs = int(labels.sum()), len(runs)

    def statistic(assignments: FloatArray) -> FloatArray:
        """[B] AUCs for [B, R] labels of 0 and 1."""
        between = ((assignments @ kernel) * (1 - assignments)).sum(axis=1)
        return np.asarray(between / (n_present * (n_runs - n_present)))

    observed = float(statistic(labels[None].astype(np.float64))[0])
    if comb(n_runs, n_present) <= MAX_EXACT:
        assignments = np.zeros((comb(n_runs, n_present), n_runs))
        for row, chosen in enumerate(combinations(range(n_runs), n_present)):
            assignments[row, chosen] = 1.0
        return statistic(assignments), observed, True
    assignments = rng.permuted(
        np.broadcast_to(labels.astype(np.float64), (n_permutations, n_runs)), axis=1
    )
    return statistic(assignments), observed, False


def _over_pairs(
    kernel: FloatArray, pairs: NDArray[np.intp], rng: np.random.Generator, n_permutations: int
) -> Null:
    """Swaps within pairs; two states of one federation are not compared with each other."""
    count = len(pairs)
    kernel = kernel.copy()
    kernel[pairs[:, 0], pairs[:, 1]] = kernel[pairs[:, 1], pairs[:, 0]] = 0.0

    def statistic(swapped: FloatArray) -> FloatArray:
        """[B] AUCs for [B, R] swaps of 0 and 1."""
        labels = np.empty((len(swapped), len(kernel)))
        labels[:, pairs[:, 0]], labels[:, pairs[:, 1]] = 1 - swapped, swapped
        between = ((labels @ kernel) * (1 - labels)).sum(axis=1)
        return np.asarray(between / (count * (count - 1)))

    observed = float(statistic(np.zeros((1, count)))[0])
    if 2**count <= MAX_EXACT:
        swaps = np.arange(2**count)[:, None] >> np.arange(count) & 1
        return statistic(swaps.astype(np.float64)), observed, True
    drawn = rng.integers(2, size=(n_permutations, count)).astype(np.float64)
    return statistic(drawn), observed, False


def _all_subset_sums(weights: FloatArray, size: int) -> FloatArray:
    return np.array([sum(chosen) for chosen in combinations(weights.tolist(), size)])


def _random_subset_sums(
    weights: FloatArray, size: int, n_draws: int, rng: np.random.Generator
) -> FloatArray:
    """[n_draws] sums of ``size`` of the weights, drawn without replacement.

    Those with the ``size`` smallest of so many random numbers: finding the largest of them is
    cheaper than sorting out which they are.
    """
    sums = []
    for rows in _chunks(n_draws, weights.size):
        numbers = rng.random((rows, weights.size))
        largest = np.partition(numbers, size - 1, axis=1)[:, size - 1, None]
        sums.append(np.einsum("ij,j->i", numbers <= largest, weights))
    return np.concatenate(sums)


def _chunks(n_rows: int, n_columns: int) -> Iterator[int]:
    """Row counts that keep a block below a fixed number of cells."""
    most = max(1, CHUNK_CELLS // n_columns)
    while n_rows > 0:
        yield min(most, n_rows)
        n_rows -= most
