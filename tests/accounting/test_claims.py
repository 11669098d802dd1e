"""Promises against dp-accounting and Monte Carlo; ceilings against simulated audits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from privaudit.accounting.claims import (
    ceiling_over,
    claim_over,
    clients_needed,
    mu_over,
    rounds_within,
)
from privaudit.accounting.gaussian import mu_of
from privaudit.randomness import Seed
from privaudit.statistics.intervals import auc_interval
from privaudit.statistics.runs import RunScores

NEIGHBOURS = ["add-or-remove", "replace-one"]


@pytest.mark.parametrize("neighbours", NEIGHBOURS)
@pytest.mark.parametrize("multiplier", [0.7, 2.0, 8.0])
@pytest.mark.parametrize("rounds", [1, 10, 60])
def test_full_participation_is_what_pld_says(
    multiplier: float, rounds: int, neighbours: str
) -> None:
    dp = pytest.importorskip("dp_accounting")
    pld = pytest.importorskip("dp_accounting.pld")
    relation = {
        "add-or-remove": dp.NeighboringRelation.ADD_OR_REMOVE_ONE,
        "replace-one": dp.NeighboringRelation.REPLACE_ONE,
    }[neighbours]
    accountant = pld.PLDAccountant(relation)
    accountant.compose(dp.GaussianDpEvent(multiplier), rounds)
    for delta in (1e-2, 1e-5, 1e-8):
        ours = claim_over(multiplier, rounds, delta, neighbours=neighbours).epsilon
        assert ours == pytest.approx(accountant.get_epsilon(delta), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize(("multiplier", "rounds", "share"), [(1.0, 5, 0.2), (0.8, 20, 0.05)])
def test_sampled_rounds_keep_delta_by_monte_carlo(
    multiplier: float, rounds: int, share: float
) -> None:
    """δ(ε) = E_P[(1 - e^(ε - L))+], L the loss of P against Q; the larger of both directions."""
    pytest.importorskip("dp_accounting")
    delta, draws = 1e-2, 200_000
    claim = claim_over(multiplier, rounds, delta, neighbours="add-or-remove", share=share)
    assert claim.sampler == "poisson"
    rng = Seed(1).generator("draws")
    took_part = rng.random((draws, rounds)) < share
    noise = rng.normal(0, multiplier, (draws, rounds))

    def loss(seen: np.ndarray) -> np.ndarray:
        tilt = np.exp((2 * seen - 1) / (2 * multiplier**2))
        return np.log1p(share * (tilt - 1)).sum(1)

    assert claim.epsilon is not None
    found = []
    for losses in (loss(noise + took_part), -loss(noise)):
        parts = np.maximum(0, 1 - np.exp(claim.epsilon - losses))
        found.append((parts.mean(), parts.std() / math.sqrt(draws)))
    worst, error = max(found)
    assert worst == pytest.approx(delta, abs=5 * error + 0.01 * delta)


def test_what_is_missing_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from privaudit.errors import UserError

    monkeypatch.setitem(sys.modules, "dp_accounting", None)
    with pytest.raises(UserError, match=r"pip install 'privaudit\[accounting\]'"):
        claim_over(1.23, 7, 1e-5, share=0.5)


@given(st.floats(0.3, 20), st.integers(1, 200), st.floats(1e-9, 1e-2))
@settings(max_examples=50)
def test_a_replacement_costs_as_much_as_half_the_noise(
    multiplier: float, rounds: int, delta: float
) -> None:
    replaced = claim_over(multiplier, rounds, delta, neighbours="replace-one")
    halved = claim_over(multiplier / 2, rounds, delta, neighbours="add-or-remove")
    assert replaced.epsilon == pytest.approx(halved.epsilon)


@given(st.floats(0.5, 20), st.integers(1, 60), st.floats(0.05, 30))
@settings(max_examples=50)
def test_the_budget_lasts_until_the_round_that_is_named(
    multiplier: float, rounds: int, budget: float
) -> None:
    last = rounds_within(budget, multiplier, rounds, 1e-5)
    if last:
        assert (claim_over(multiplier, last, 1e-5).epsilon or 0) <= budget
    if last < rounds:
        assert (claim_over(multiplier, last + 1, 1e-5).epsilon or 0) > budget


def test_clients_that_a_useful_epsilon_needs() -> None:
    """METHODS: d = 27,556, T = 10, δ = 1e-2 needs K = 184 at ε = 10, 434 at 3, 986 at 1."""
    found = [clients_needed(27_556, 10, epsilon, 1e-2) for epsilon in (10.0, 3.0, 1.0)]
    assert found == pytest.approx([184, 434, 986], rel=0.02)
    # By its definition: noise of that many clients is as long as the mean delta, and keeps ε.
    clients = clients_needed(1000, 5, 2.0, 1e-3)
    multiplier = clients / math.sqrt(1000)
    assert mu_over(multiplier, 5, "add-or-remove") <= mu_of(2.0, 1e-3)
    assert clients_needed(1000, 5, 2.0, 1e-3, ratio=2.0) == pytest.approx(clients / 2, abs=1)


@pytest.mark.parametrize(("multiplier", "paired"), [(2.0, False), (4.0, True)])
def test_ceilings_hold_in_500_audits_of_what_was_claimed(multiplier: float, paired: bool) -> None:
    """The best attack there is, on scores of a true Gaussian mechanism: it reaches the ceiling.

    ``paired``: rounds of one run share the noise of what is common to all; else each has its own.
    An interval lies wholly above the ceiling as rarely as its 97.5 % say.
    """
    ceiling = ceiling_over(multiplier, 1)
    mu = mu_over(multiplier, 1, "replace-one")
    above, values = 0, []
    present = np.arange(40) % 2 == 0
    for audit in range(500):
        rng = Seed(audit).generator("audit", int(paired))
        common = [float(rng.normal()) if paired else 0.0 for _ in range(4)]
        runs = [RunScores(rng.normal(size=40) + mu * present + shift, present) for shift in common]
        interval = auc_interval(runs)
        values.append(interval.value)
        above += interval.low > ceiling.auc
    assert above <= binom.ppf(0.999, 500, 0.025)
    assert np.mean(values) == pytest.approx(ceiling.auc, abs=0.01), "the ceiling can be reached"


def test_less_noise_than_claimed_goes_through_the_ceiling() -> None:
    """A quarter of the noise: what is claimed is not what runs, and the interval says so."""
    rng = Seed(1).generator("audit")
    present = np.arange(60) % 2 == 0
    mu = mu_over(4.0 / 4, 1, "replace-one")
    runs = [RunScores(rng.normal(size=60) + mu * present, present) for _ in range(6)]
    assert auc_interval(runs).low > ceiling_over(4.0, 1).auc
