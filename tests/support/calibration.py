"""Do an attack's probabilities mean what they say?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from privaudit.statistics.runs import BoolArray, FloatArray


@dataclass(frozen=True)
class ReliabilityBin:
    """The rounds whose probability fell into [low, high).

    Attributes:
        low: lower edge of the bin.
        high: upper edge; the last bin includes it.
        n: number of rounds, at least 1.
        said: mean probability the attack gave.
        seen: share of rounds with the property.
        seen_low: lower 95 % (Wilson) limit of that share, rounds taken as independent.
        seen_high: upper limit.
    """

    low: float
    high: float
    n: int
    said: float
    seen: float
    seen_low: float
    seen_high: float


def reliability_table(
    probabilities: FloatArray, present: BoolArray, *, n_bins: int = 10
) -> list[ReliabilityBin]:
    """Bins of equal width from 0 to 1, empty ones left out.

    Args:
        probabilities: [T] in [0, 1].
        present: [T] booleans.
        n_bins: at least 1.

    Raises:
        ValueError: a probability outside [0, 1], unequal lengths, or ``n_bins`` below 1.
    """
    bins = _bin_of(probabilities, present, n_bins)
    return [
        _bin(index, n_bins, probabilities[bins == index], present[bins == index])
        for index in np.unique(bins)
    ]


def brier_score(probabilities: FloatArray, present: BoolArray) -> float:
    """Mean squared difference of probability and truth; 0.25 for "always 0.5", lower is better."""
    _check(probabilities, present)
    return float(np.mean((probabilities - present) ** 2))


def calibration_error(probabilities: FloatArray, present: BoolArray, *, n_bins: int = 10) -> float:
    """Expected calibration error: mean over rounds of |said - seen| of the round's bin.

    Never 0 by chance even for perfect probabilities: compare with :func:`calibration_p_value`.
    Naeini, Cooper & Hauskrecht, "Obtaining well calibrated probabilities", AAAI 2015.
    """
    bins = _bin_of(probabilities, present, n_bins)
    return float(_errors(bins, probabilities, present[None].astype(np.float64), n_bins)[0])


def calibration_p_value(
    probabilities: FloatArray,
    present: BoolArray,
    rng: np.random.Generator,
    *,
    n_bins: int = 10,
    n_draws: int = 2_000,
) -> float:
    """Probability of a calibration error at least as large if every probability were right.

    Labels are drawn independently with the given probabilities; small means badly calibrated.

    Raises:
        ValueError: ``n_draws`` below 1, or see :func:`reliability_table`.
    """
    if n_draws < 1:
        raise ValueError(f"n_draws must be at least 1, got {n_draws}")
    bins = _bin_of(probabilities, present, n_bins)
    draws = (rng.random((n_draws, probabilities.size)) < probabilities).astype(np.float64)
    null = _errors(bins, probabilities, draws, n_bins)
    observed = calibration_error(probabilities, present, n_bins=n_bins)
    return float((1 + np.count_nonzero(null >= observed - 1e-12)) / (1 + n_draws))


def _errors(
    bins: np.ndarray, probabilities: FloatArray, labels: FloatArray, n_bins: int
) -> FloatArray:
    """[B] calibration errors for [B, T] labels."""
    member = bins[:, None] == np.arange(n_bins)
    gaps = (labels - probabilities) @ member.astype(np.float64)
    return np.asarray(np.abs(gaps).sum(axis=1) / probabilities.size)


def _bin_of(probabilities: FloatArray, present: BoolArray, n_bins: int) -> np.ndarray:
    _check(probabilities, present)
    if n_bins < 1:
        raise ValueError(f"n_bins must be at least 1, got {n_bins}")
    return np.minimum((probabilities * n_bins).astype(int), n_bins - 1)


def _check(probabilities: FloatArray, present: BoolArray) -> None:
    if probabilities.shape != present.shape or probabilities.ndim != 1 or not probabilities.size:
        raise ValueError(
            "probabilities and present must be one-dimensional, equally long and not empty, "
            f"got shapes {probabilities.shape} and {present.shape}"
        )
    outside = ~((probabilities >= 0) & (probabilities <= 1))
    if outside.any():
        raise ValueError(f"probabilities must be in [0, 1], got {probabilities[outside][0]}")


def _bin(index: int, n_bins: int, said: FloatArray, present: BoolArray) -> ReliabilityBin:
    seen = binomtest(int(present.sum()), present.size)
    limits = seen.proportion_ci(0.95, method="wilson")
    return ReliabilityBin(
        low=index / n_bins,
        high=(index + 1) / n_bins,
        n=int(present.size),
        said=float(said.mean()),
        seen=float(present.mean()),
        seen_low=float(limits.low),
        seen_high=float(limits.high),
    )
