"""Estimate and bound over mechanisms whose ε is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from privaudit.accounting.canary_bound import (
    canaries_for,
    ceiling,
    chance_of,
    chosen_guesses,
    count_right,
    guess,
    lower_bound,
    power,
)
from privaudit.accounting.canary_estimate import arrived, estimated_mu, readable_mu
from privaudit.accounting.gaussian import epsilon_at, mu_of
from privaudit.errors import UserError
from privaudit.randomness import Seed

DELTA = 1e-5
AUDITS = 400
KNOWN = [(0.0, 200), (0.4, 100), (0.4, 1000), (1.6, 400), (4.0, 200)]
"""(μ, canaries) of mechanisms whose ε is known."""


def audits(mu: float, count: int, repeats: int = AUDITS) -> list[tuple[np.ndarray, np.ndarray]]:
    """Scores and coins of audits of a Gaussian mechanism."""
    rng = Seed(1).generator("audits", str(mu), count)
    coins = rng.random((repeats, count)) < 0.5
    return list(zip(rng.standard_normal((repeats, count)) + mu * coins, coins, strict=True))


def tolerance(share: float, n: int) -> float:
    """Three standard errors of a share."""
    return 3 * math.sqrt(share * (1 - share) / n)


@pytest.mark.parametrize(("mu", "count"), KNOWN)
def test_the_interval_covers_and_the_bound_stays_below(mu: float, count: int) -> None:
    done, truth = audits(mu, count), epsilon_at(mu, DELTA)
    found = [estimated_mu(scores, coins) for scores, coins in done]
    covered = np.mean([one.low <= mu <= one.high for one in found])
    assert abs(covered - 0.95) <= tolerance(0.95, AUDITS)
    intervals = [one.epsilon(DELTA) for one in found]
    assert all(one.low <= one.value <= one.high for one in intervals)
    # Wherever μ is covered so is ε, which grows with it; at 0 the lower limit is there for good.
    assert np.mean([one.low <= truth <= one.high for one in intervals]) >= covered

    guesses = chosen_guesses(count, mu or 1.0, DELTA)
    right = np.array([count_right(scores, coins, guesses) for scores, coins in done])
    bounds = {int(v): lower_bound(int(v), guesses, count, DELTA) for v in np.unique(right)}
    below = np.mean([bounds[int(v)] <= truth for v in right])
    assert below >= 0.95 - tolerance(0.95, AUDITS)


def test_one_deviation_does_not_make_an_epsilon_out_of_chance() -> None:
    """The published form, a Gaussian fitted to each side, reads 2 and more where 1.55 is true."""
    mu = 0.4
    found = [estimated_mu(*one).epsilon(DELTA).value for one in audits(mu, 100)]
    standard_error = np.std(found) * math.sqrt(math.pi / 2 / AUDITS)  # of a median
    assert abs(np.median(found) - epsilon_at(mu, DELTA)) < 3 * standard_error


@pytest.mark.parametrize("epsilon", [0.5, 1.53, 3.0])
def test_a_quarter_of_the_noise_is_refuted(epsilon: float) -> None:
    count, claimed = 1000, mu_of(epsilon, DELTA)
    guesses = chosen_guesses(count, claimed, DELTA)
    bounds = [
        lower_bound(count_right(*one, guesses), guesses, count, DELTA)
        for one in audits(4 * claimed, count, 60)
    ]
    refuted = np.mean([bound > epsilon for bound in bounds])
    promised = power(guesses, count, epsilon, DELTA, 4 * claimed)
    assert promised > 0.9
    assert abs(refuted - promised) <= tolerance(promised, 60) + 1e-9


def naive(right: int, guesses: int, canaries: int, epsilon: float, delta: float) -> float:
    """The bound's formula, term by term."""
    p = 1 / (1 + math.exp(-epsilon))
    beta = binom.sf(right - 1, guesses, p)
    steps = [(binom.sf(right - i - 1, guesses, p) - beta) / i for i in range(1, right + 1)]
    return min(1.0, float(beta) + 2 * canaries * delta * max(steps, default=0.0))


counts = st.integers(1, 60).flatmap(
    lambda m: st.integers(1, m).flatmap(
        lambda r: st.tuples(st.just(m), st.just(r), st.integers(0, r))
    )
)


@given(counts, st.floats(0, 8), st.sampled_from([0.0, 1e-5, 1e-3]))
def test_the_chance_is_that_of_the_theorem(
    of: tuple[int, int, int], epsilon: float, delta: float
) -> None:
    canaries, guesses, right = of
    expected = naive(right, guesses, canaries, epsilon, delta)
    assert chance_of(right, guesses, canaries, epsilon, delta) == pytest.approx(expected, abs=1e-9)


@given(counts)
def test_more_right_is_no_smaller_bound(of: tuple[int, int, int]) -> None:
    canaries, guesses, right = of
    bounds = [lower_bound(v, guesses, canaries, DELTA) for v in range(right, guesses + 1)]
    assert bounds == sorted(bounds)
    assert bounds[-1] == ceiling(guesses, canaries, DELTA)
    assert lower_bound(right, guesses, canaries, 1e-3) <= lower_bound(right, guesses, canaries, 0.0)


def test_ceilings() -> None:
    found = [ceiling(m, m, DELTA) for m in (50, 100, 200, 500, 1000)]
    assert found == pytest.approx([2.78, 3.49, 4.19, 5.10, 5.78], abs=0.005)


@pytest.mark.parametrize("epsilon", [0.5, 3.0, 6.0])
def test_the_fewest_canaries(epsilon: float) -> None:
    fewest = canaries_for(epsilon, DELTA)
    assert fewest is not None
    assert ceiling(fewest, fewest, DELTA) > epsilon >= ceiling(fewest - 1, fewest - 1, DELTA)


def test_no_number_of_canaries_refutes_a_vacuous_claim() -> None:
    assert canaries_for(15.0, DELTA) is None


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40), st.data())
def test_guesses_are_as_many_as_said(values: list[float], data: st.DataObject) -> None:
    scores = np.array(values)
    guesses = data.draw(st.integers(1, len(scores)))
    said = guess(scores, guesses)
    assert np.count_nonzero(said) == guesses
    assert abs(int(said.sum())) <= 1
    if (said == 1).any() and (said == -1).any():
        assert scores[said == 1].min() >= scores[said == -1].max()


@given(st.floats(-5, 5), st.floats(1e-3, 1e3))
def test_units_do_not_matter(shift: float, scale: float) -> None:
    ((scores, coins),) = audits(1.0, 50, 1)
    here, there = estimated_mu(scores, coins), estimated_mu(shift + scale * scores, coins)
    assert (there.value, there.low, there.high) == pytest.approx((here.value, here.low, here.high))
    assert arrived(shift + scale * scores, coins).value == pytest.approx(
        scale * arrived(scores, coins).value
    )


def test_scores_without_spread() -> None:
    coins = np.array([True, True, False, False])
    assert estimated_mu(coins * 1.0, coins).epsilon(DELTA).low == math.inf
    assert estimated_mu(coins * 0.0, coins).epsilon(DELTA).high == 0.0


def test_one_side_of_one_is_refused() -> None:
    with pytest.raises(UserError, match="needs two of each; use more canaries"):
        estimated_mu(np.arange(4.0), np.array([True, False, False, False]))


@given(st.floats(0.01, 50), st.floats(1, 50), st.floats(0, 100))
def test_a_reader_finds_no_more_than_there_is(mu: float, rounds: float, spread: float) -> None:
    found = readable_mu(mu, rounds, spread)
    assert found <= mu * (1 + 1e-12)
    assert found <= readable_mu(math.inf, rounds, spread)
    variance = rounds * (rounds / mu**2 + spread / rounds)  # as of noise in each round
    assert found == pytest.approx(rounds / math.sqrt(variance))
