"""What scores of canaries say of ε, for the reader who made them: an estimate with an interval.

After G. Andrew, P. Kairouz, S. Oh, A. Oprea, H. B. McMahan & V. Suriyakumar, One-shot Empirical
Privacy Estimation for Federated Learning, ICLR 2024 (section 3: random unit canaries, scored by
their dot product). Scores of canaries that are in are normal about a mean, those of the others
about another, with one deviation, which noise, honest clients and the other canaries make. Their
distance in deviations is the μ of a Gaussian mechanism. Andrew et al. fit a deviation to each side,
which makes ε too large where ε or the number of canaries is small, as at a small δ a chance
difference of two deviations is an ε by itself; so there is one here, pooled from both sides. Then
μ times √(n₁n₀/(n₁+n₀)) is the noncentrality of Student's two-sample t, which gives exact limits.

It is no bound: whoever reads better sees more (:mod:`.canary_bound` is one).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import nctdtrinc, stdtrit

from privaudit.accounting.gaussian import epsilon_at
from privaudit.errors import UserError

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A value with its limits of 95 %."""

    value: float
    low: float
    high: float

    def epsilon(self, delta: float) -> Estimate:
        """The ε at this δ of a μ and its limits; 0 where a limit is not above 0."""
        found = (epsilon_at(max(mu, 0.0), delta) for mu in (self.value, self.low, self.high))
        return Estimate(*found)


def estimated_mu(scores: np.ndarray, inserted: np.ndarray) -> Estimate:
    """How many deviations apart canaries that are in score from those that are not.

    Args:
        scores: [m] finite.
        inserted: [m] bool, at least two of each.

    Returns:
        μ, infinite where no score of a side differs from another and the sides do.

    Raises:
        UserError: fewer than two canaries on a side.
    """
    difference, deviation, error = _two_samples(scores, inserted)
    freedom = len(scores) - 2
    if deviation == 0.0:
        value = math.copysign(math.inf, difference) if difference else 0.0
        return Estimate(value, value, value)
    t, tail = difference / (deviation * error), (1 - LEVEL) / 2
    low, high = (float(nctdtrinc(freedom, p, t)) * error for p in (1 - tail, tail))
    return Estimate(difference / deviation, low, high)


def arrived(scores: np.ndarray, inserted: np.ndarray) -> Estimate:
    """How much higher canaries that are in score on average: what of them came through.

    Arguments and errors of :func:`estimated_mu`; limits by Student's t.
    """
    difference, deviation, error = _two_samples(scores, inserted)
    quantile = float(stdtrit(len(scores) - 2, (1 + LEVEL) / 2))
    reach = quantile * deviation * error
    return Estimate(difference, difference - reach, difference + reach)


def _two_samples(scores: np.ndarray, inserted: np.ndarray) -> tuple[float, float, float]:
    """Difference of means, pooled deviation, and what that makes the standard error of the one."""
    inside, outside = scores[inserted], scores[~inserted]
    few = min(len(inside), len(outside))
    if few < 2:
        raise UserError(
            f"{len(inside)} canaries are in and {len(outside)} are not; an estimate needs two of "
            "each",
            remedy="use more canaries",
        )
    squares = len(inside) * inside.var() + len(outside) * outside.var()
    deviation = math.sqrt(squares / (len(scores) - 2))
    error = math.sqrt(1 / len(inside) + 1 / len(outside))
    return float(inside.mean() - outside.mean()), deviation, error


def readable_mu(mu: float, carried: float, spread: float) -> float:
    """The cap: the largest μ that this reader finds in a mechanism of ``mu``.

    Honest deltas and other canaries are noise to it: of a sum of length L, a random direction in d
    dimensions takes L/√d. With T rounds alike, S the length of the honest sum and n the number of
    canaries in (in clipping norms), z the noise multiplier: 1/√((z² + (n + S²)/d)/T).

    Args:
        mu: of the mechanism; infinite without noise.
        carried: what a canary that is in adds to its own score.
        spread: variance of a score that is due to honest deltas and other canaries.
    """
    variance = spread + (0.0 if math.isinf(mu) else (carried / mu) ** 2 if mu else math.inf)
    return math.inf if variance == 0.0 else carried / math.sqrt(variance)
