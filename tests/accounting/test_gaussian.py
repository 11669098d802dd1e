"""The curve of a Gaussian mechanism and its inverses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from privaudit.accounting import gaussian

MUS = st.floats(0.01, 60.0)
DELTAS = st.floats(1e-12, 0.2)


@given(MUS, DELTAS)
def test_epsilon_is_where_the_curve_has_this_delta(mu: float, delta: float) -> None:
    epsilon = gaussian.epsilon_at(mu, delta)
    if epsilon > 0:
        assert gaussian.delta_at(mu, epsilon) == pytest.approx(delta, rel=1e-6)
    else:
        assert gaussian.delta_at(mu, 0.0) <= delta


@given(st.floats(0.01, 30.0), DELTAS)
def test_mu_is_the_inverse_of_epsilon(epsilon: float, delta: float) -> None:
    assert gaussian.epsilon_at(gaussian.mu_of(epsilon, delta), delta) == pytest.approx(
        epsilon, rel=1e-6
    )


@pytest.mark.parametrize("mu", [0.3, 1.0, 2.5])
def test_the_curve_is_the_integral_it_stands_for(mu: float) -> None:
    # δ(ε) = ∫ max(0, p - e^ε q) of N(μ, 1) and N(0, 1).
    x = np.linspace(-12, 12 + mu, 400_001)
    for epsilon in (0.0, 0.5, 2.0):
        gap = np.maximum(0.0, norm.pdf(x, mu) - math.exp(epsilon) * norm.pdf(x))
        assert gaussian.delta_at(mu, epsilon) == pytest.approx(np.trapezoid(gap, x), abs=1e-7)


def test_the_best_attack_meets_the_ceilings() -> None:
    # The likelihood ratio of N(μ, 1) and N(0, 1) is the number itself.
    rng, mu, n = np.random.default_rng(3), 1.2, 200_000
    zeros, ones = rng.normal(size=n), mu + rng.normal(size=n)
    assert gaussian.greatest_auc(mu) == pytest.approx((ones > zeros).mean(), abs=4 * 0.5 / n**0.5)
    advantage = (ones > mu / 2).mean() - (zeros > mu / 2).mean()
    assert gaussian.greatest_advantage(mu) == pytest.approx(advantage, abs=4 / n**0.5)


def test_nothing_told_and_all_told() -> None:
    assert gaussian.epsilon_at(0.0, 1e-5) == 0.0
    assert gaussian.epsilon_at(math.inf, 1e-5) == math.inf
    assert gaussian.greatest_auc(0.0) == 0.5
    assert gaussian.greatest_auc(math.inf) == 1.0
    assert gaussian.over_rounds(0.5, 4) == 1.0
