"""The Gaussian mechanism in one number, μ: how many deviations apart two neighbours are.

J. Dong, A. Roth and W. Su, Gaussian Differential Privacy, JRSS B 2022. An observer of a μ-GDP
mechanism cannot tell neighbours apart better than N(0, 1) from N(μ, 1), so μ bounds every attack:
its ROC curve, hence its AUC and its advantage. μ of several rounds adds in squares (Corollary 2.1).

What neighbours are (a client more or less, or one exchanged) is for whoever computes μ to say.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.special import log_ndtr, ndtr


def delta_at(mu: float, epsilon: float) -> float:
    """The smallest δ at this ε (Corollary 2.13): Φ(-ε/μ + μ/2) - e^ε Φ(-ε/μ - μ/2), in [0, 1].

    Args:
        mu: at least 0; infinite where nothing is promised.
        epsilon: at least 0.
    """
    if mu == 0.0:
        return 0.0
    if math.isinf(mu):
        return 1.0
    first = log_ndtr(-epsilon / mu + mu / 2)
    second = epsilon + log_ndtr(-epsilon / mu - mu / 2)
    # exp(first) - exp(second), without losing what is left where the two are nearly equal.
    return float(max(0.0, -math.exp(first) * math.expm1(min(0.0, second - first))))


def epsilon_at(mu: float, delta: float) -> float:
    """The smallest ε at this δ in (0, 1): at least 0, infinite for an infinite ``mu``."""
    if math.isinf(mu):
        return math.inf
    if delta_at(mu, 0.0) <= delta:
        return 0.0
    # At ε = μ²/2 + t·μ the first term is Φ(-t): beyond a t with Φ(-t) < δ nothing is left to find.
    top = mu * mu / 2 + mu * 40.0
    return _root(lambda e: delta_at(mu, e) - delta, top, rtol=1e-12)


def mu_of(epsilon: float, delta: float) -> float:
    """The μ whose (ε, δ) this is: the weakest Gaussian mechanism of which the claim is true."""
    top = 1.0
    while delta_at(top, epsilon) < delta:
        top *= 2.0
    return _root(lambda m: delta_at(m, epsilon) - delta, top)


def _root(function: Callable[[float], float], top: float, **tolerance: float) -> float:
    """Where in [0, ``top``] the function is zero."""
    from scipy.optimize import brentq  # here, as every process would wait for it

    return float(brentq(function, 0.0, top, xtol=1e-12, **tolerance))


def over_rounds(mu: float, rounds: int) -> float:
    """μ of this many rounds with noise drawn anew in each."""
    return mu * math.sqrt(rounds)


def greatest_auc(mu: float) -> float:
    """No attack has a larger AUC than Φ(μ/√2)."""
    return float(ndtr(mu / math.sqrt(2.0)))


def greatest_advantage(mu: float) -> float:
    """No attack has a larger advantage (largest difference TPR - FPR) than 2Φ(μ/2) - 1."""
    return float(2.0 * ndtr(mu / 2.0) - 1.0)
