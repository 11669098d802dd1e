from __future__ import annotations

from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from privaudit.statistics.dilution import DilutionPoint, fit_dilution
from privaudit.statistics.harmless import (
    EQUIVALENCE,
    Finding,
    finding,
    harmless_from,
    runs_needed,
    spread_between_runs,
)
from privaudit.statistics.hierarchy import mean_rate_limits
from privaudit.statistics.intervals import auc_evidence
from privaudit.statistics.laws import MOMENT_LAW, POWER_LAW, auc_of_d_prime, d_prime
from privaudit.statistics.runs import RunScores

HONEST = (1, 2, 4, 8, 16, 32)


def measured(rng, curve, *, n_runs=3, n_rounds=150, between=0.0, honest=HONEST):
    """Audits in which d' at n honest clients is curve(n), varying between runs in proportion."""
    present = np.arange(n_rounds) % 2 == 0

    def run(n):
        d = curve(n) * (1 + between * rng.standard_normal())
        return RunScores(rng.standard_normal(n_rounds) + d * present, present)

    return [DilutionPoint(n, tuple(run(n) for _ in range(n_runs))) for n in honest]


# The laws


def auc_law(d1: float, honest: float, p_over_n: float) -> float:
    """The AUC of the moment law at a number of honest clients."""
    return auc_of_d_prime(float(MOMENT_LAW.d_prime(np.array(d1), np.array(p_over_n), honest)))


@given(st.floats(-6, 6))
def test_d_prime_and_auc_are_inverse(d):
    assert d_prime(auc_of_d_prime(d)) == pytest.approx(d, abs=1e-3)


def test_d_prime_at_the_ends():
    assert (d_prime(0.0), d_prime(0.5), d_prime(1.0)) == (-inf, 0.0, inf)
    with pytest.raises(ValueError, match=r"auc must be in \[0, 1\], got 1.5"):
        d_prime(1.5)


def test_law_with_a_known_detector_falls_with_the_root_of_the_clients():
    assert auc_law(3.0, 9, 0.0) == pytest.approx(ndtr(1.0 / np.sqrt(2)))


def test_law_with_few_samples_falls_with_the_clients():
    ratio = d_prime(auc_law(3.0, 40, 1e4)) / d_prime(auc_law(3.0, 20, 1e4))
    assert ratio == pytest.approx(0.5, abs=1e-3)


def test_law_without_signal_is_chance():
    assert auc_law(0.0, 5, 0.0) == 0.5


def test_law_is_what_a_learned_mean_difference_reaches():
    """Train on n aggregates of K - 1 clients in p dimensions, half of them shifted; many times."""
    rng, p, n, honest, d1 = np.random.default_rng(0), 60, 80, 4, 2.4
    shift = np.zeros(p)
    shift[0] = d1 / np.sqrt(honest)  # in units of the aggregate's standard deviation
    noise = 2 / np.sqrt(n) * rng.standard_normal((4000, p))
    learned = shift + noise
    reached = learned @ shift / np.linalg.norm(learned, axis=1)
    assert np.mean(ndtr(reached / np.sqrt(2))) == pytest.approx(
        auc_law(d1, honest, p / n), abs=0.005
    )


# The fit


@pytest.mark.parametrize(("exponent", "between"), [(-0.7, 0.2), (-0.5, 0.0)])
def test_exponent_covers_and_the_true_law_is_not_called_a_misfit(exponent, between):
    rng, n, d1 = np.random.default_rng(1), 60, 3.0
    covered, misfits = 0, 0
    for _ in range(n):
        fit = fit_dilution(measured(rng, lambda k: d1 * k**exponent, between=between), POWER_LAW)
        found = fit.parameter("exponent")
        covered += found.low <= exponent <= found.high
        misfits += fit.misfit_p <= 0.05
    least = n * 0.93 - 3 * np.sqrt(n * 0.93 * 0.07)
    assert covered >= least
    assert misfits <= n * 0.05 + 3 * np.sqrt(n * 0.05 * 0.95)


def test_another_exponent_is_excluded():
    rng = np.random.default_rng(2)
    fit = fit_dilution(measured(rng, lambda k: 3 / k, n_runs=10), POWER_LAW)
    found = fit.parameter("exponent")
    assert found.high < -0.75
    assert found.low > -1.25


def test_a_curve_that_is_no_power_law_is_called_a_misfit():
    rng = np.random.default_rng(3)
    fit = fit_dilution(measured(rng, lambda k: 3.0 if k < 8 else 0.2, n_runs=10), POWER_LAW)
    assert fit.misfit_p < 1e-3
    two = fit_dilution(measured(rng, lambda k: 3 / k, honest=(1, 4)), POWER_LAW)
    assert two.misfit_p is None


def test_misfit_is_spread_evenly_when_the_law_is_true():
    rng, n = np.random.default_rng(14), 40
    fits = [
        fit_dilution(measured(rng, lambda k: 3 / k, n_runs=15, honest=(1, 3, 9)), POWER_LAW)
        for _ in range(n)
    ]
    # Uniform p-values have mean 1/2; allowing for a spread between runs makes them a little larger.
    assert 0.5 - 3 / np.sqrt(12 * n) < np.mean([fit.misfit_p for fit in fits]) < 0.75


def test_points_at_chance_count():
    rng = np.random.default_rng(4)
    points = measured(rng, lambda k: 3 / k if k <= 4 else 0.0, n_runs=5)
    with_them = fit_dilution(points, POWER_LAW).parameter("exponent")
    without = fit_dilution(points[:3], POWER_LAW).parameter("exponent")
    assert with_them.high < without.high
    assert with_them.high < -0.8


def test_nothing_but_chance_bounds_no_exponent():
    fit = fit_dilution(measured(np.random.default_rng(5), lambda _: 0.0), POWER_LAW)
    found = fit.parameter("exponent")
    assert found.high == inf
    assert fit.auc(8).low < 0.5 < fit.auc(8).high


def test_perfect_attacks_are_fitted_too():
    fit = fit_dilution(measured(np.random.default_rng(6), lambda k: 9 / k), POWER_LAW)
    assert fit.parameter("exponent").low < -1 < fit.parameter("exponent").high


def test_moment_law_is_recovered():
    rng, d1, p_over_n = np.random.default_rng(7), 4.0, 0.3
    points = measured(rng, lambda k: d_prime(auc_law(d1, k, p_over_n)), n_runs=20)
    fit = fit_dilution(points, MOMENT_LAW)
    for name, truth in (("d1", d1), ("p_over_n", p_over_n)):
        found = fit.parameter(name)
        assert found.low < truth < found.high
        assert found.high < 10 * found.low
    assert fit.auc(16).value == pytest.approx(auc_law(d1, 16, p_over_n), abs=0.02)


def test_whole_run_labels_are_fitted_over_runs():
    rng = np.random.default_rng(8)

    def runs(n):
        return tuple(
            RunScores(rng.standard_normal(1) + 4 / n * (i % 2), np.array([i % 2 == 1]))
            for i in range(40)
        )

    fit = fit_dilution([DilutionPoint(n, runs(n)) for n in (1, 4, 16)], POWER_LAW)
    assert fit.parameter("exponent").low < -1 < fit.parameter("exponent").high


# The answer


def at(d, *, n_runs=20, n_rounds=100, seed=0):
    """One number of clients whose attack has this d' in every run."""
    rng = np.random.default_rng(seed)
    present = np.arange(n_rounds) % 2 == 0
    return tuple(
        RunScores(rng.standard_normal(n_rounds) + d * present, present) for _ in range(n_runs)
    )


def harmless(runs):
    return finding(DilutionPoint(1, runs), 0.6) is Finding.HARMLESS


def test_harmless_steps_down_from_the_largest_to_the_first_that_is_not():
    blind, leaky = at(0.0), at(1.0)
    cases = {
        (leaky, blind, blind): 4,
        (leaky, blind, leaky): None,
        (blind, leaky, blind): 16,
        (blind, blind, blind): 1,
    }
    for runs, expected in cases.items():
        points = [DilutionPoint(n, of) for n, of in zip((1, 4, 16), runs, strict=True)]
        answer = harmless_from(points)
        assert (answer.measured, answer.measured_up_to) == (expected, 16)


@pytest.mark.parametrize(
    ("d", "n_runs", "expected"),
    [
        (0.0, 20, Finding.HARMLESS),
        (0.0, 2, Finding.OPEN),
        (1.0, 20, Finding.LEAKS),
        (-1.0, 20, Finding.WRONG_WAY),
        (-0.2, 60, Finding.WRONG_WAY),  # within 0.4 to 0.6, and still not a blind guess
        (0.15, 60, Finding.HARMLESS),  # told from 0.5, but below 0.6 for sure
    ],
)
def test_what_one_number_of_clients_says(d, n_runs, expected):
    assert finding(DilutionPoint(1, at(d, n_runs=n_runs, seed=1)), 0.6) is expected


@pytest.mark.parametrize(("n_runs", "expected"), [(6, Finding.OPEN), (8, Finding.WRONG_WAY)])
def test_few_runs_with_one_label_can_lie_in_any_order(n_runs, expected):
    """Of three and three runs one order in ten has an AUC of 0 or 1."""
    runs = [RunScores(np.array([float(i)]), np.array([i < n_runs / 2])) for i in range(n_runs)]
    assert finding(DilutionPoint(1, tuple(runs)), 0.6) is expected


@pytest.mark.parametrize("auc", [0.6, 0.4])
def test_harmless_is_wrongly_claimed_in_five_of_a_hundred_at_most(auc):
    """Of an AUC of 0.4 the rule "upper limit below 0.6" claimed it always."""
    n = 200
    wrong = sum(harmless(at(d_prime(auc), n_runs=10, n_rounds=40, seed=seed)) for seed in range(n))
    assert wrong <= n * 0.05 + 3 * np.sqrt(n * 0.05 * 0.95)


def test_as_many_runs_as_are_said_to_be_needed_show_it():
    needed = runs_needed(at(0.0, n_runs=3, n_rounds=40), 0.6)
    assert needed is not None
    n = 100
    shown = sum(harmless(at(0.0, n_runs=needed, n_rounds=40, seed=seed)) for seed in range(n))
    assert 0.8 - 3 * np.sqrt(0.16 / n) <= shown / n <= 0.95
    spread = runs_needed(at(0.0, n_runs=3, n_rounds=40), 0.6, spread=0.3)
    assert spread is not None
    assert spread > needed
    by_run = tuple(RunScores(np.array([float(i)]), np.array([i % 2 == 0])) for i in range(8))
    assert 250 <= runs_needed(by_run, 0.6) <= 320
    assert runs_needed(by_run, 0.501) is None


def test_spread_between_runs_is_found():
    rng = np.random.default_rng(3)
    points = [
        DilutionPoint(n, tuple(at(rng.normal(1, 0.5), n_runs=1, seed=i)[0] for i in range(40)))
        for n in (1, 2)
    ]
    assert spread_between_runs(points) == pytest.approx(0.5 / np.sqrt(2), abs=0.1)
    assert spread_between_runs([DilutionPoint(n, at(1.0, seed=n)) for n in (1, 2)]) < 0.15


def test_threshold_and_points_are_checked():
    rng = np.random.default_rng(13)
    points = measured(rng, lambda k: 1 / k, honest=(1, 2))
    fit = fit_dilution(points, POWER_LAW)
    with pytest.raises(ValueError, match="threshold must be in"):
        harmless_from(points, threshold=0.5)
    with pytest.raises(ValueError, match="parameter must be one of"):
        fit.parameter("slope")
    for wrong in ([points[0]], points[::-1], [points[0], points[0]]):
        with pytest.raises(ValueError, match="increasing numbers of honest clients"):
            fit_dilution(wrong, POWER_LAW)
    with pytest.raises(ValueError, match="level must be in"):
        fit_dilution(points, POWER_LAW, level=0.0)


def test_harmless_is_of_the_leak_apart_from_what_pools_add() -> None:
    """Pools that shift a run either way draw the mean of AUCs to 0.5: that makes nothing safer."""
    rng, present = np.random.default_rng(0), np.arange(200) % 2 == 0
    runs = tuple(RunScores(rng.normal(size=200) + 0.2 * present, present) for _ in range(40))
    evidence = auc_evidence(runs, 0.9, 0.0)
    over_deals = mean_rate_limits(evidence, EQUIVALENCE)
    apart = mean_rate_limits(evidence, EQUIVALENCE, apart=True)
    assert apart[1] > over_deals[1] > 0.5
    between = (apart[1] + over_deals[1]) / 2
    point = DilutionPoint(4, runs, tau=0.9, overlap=0.0, told=False, wrong_way=False)
    assert finding(point, between) is Finding.OPEN
    assert finding(point, apart[1] + 0.001) is Finding.HARMLESS
    without = auc_evidence(runs)
    assert mean_rate_limits(without, EQUIVALENCE) == mean_rate_limits(
        without, EQUIVALENCE, apart=True
    )
