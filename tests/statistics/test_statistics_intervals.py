from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, log_ndtr, logit, ndtri
from scipy.stats import beta, binom, bootstrap, norm
from scipy.stats import t as student_t

from privaudit.statistics import intervals, roc
from privaudit.statistics.hierarchy import Evidence, mean_rate_limits, mean_rate_log_likelihood
from privaudit.statistics.intervals import Interval, auc_interval
from privaudit.statistics.runs import RunScores
from privaudit.statistics.variance import auc_variance

LEVEL = 0.95


def simulated_runs(rng, n_runs, n_rounds, auc, between=0.0):
    """Normal scores, d' normal between runs, mean over runs of the true AUC = ``auc``."""
    present = np.arange(n_rounds) % 2 == 0
    centre = ndtri(auc) * np.sqrt(2 + between**2)
    d = centre + between * rng.standard_normal((n_runs, 1))
    scores = rng.standard_normal((n_runs, n_rounds)) + d * present
    return [RunScores(row, present) for row in scores]


def coverage(method, truth, draw, n):
    limits = [method(draw()) for _ in range(n)]
    return np.mean([i.low <= truth <= i.high for i in limits]), np.mean(
        [i.high - i.low for i in limits]
    )


def bootstrap_of_runs(runs, rng, draws):
    aucs = [roc.auc(run.scores, run.present) for run in runs]
    found = bootstrap((aucs,), np.mean, n_resamples=draws, method="percentile", rng=rng)
    return found.confidence_interval


def least_covered(n):
    """What a method that covers 93 % would reach in n simulations but for bad luck (3 s.e.)."""
    return 0.93 - 3 * np.sqrt(0.93 * 0.07 / n)


# The model against closed forms and naive integrals


@pytest.mark.parametrize(("rate", "size"), [(0.5, 10.0), (0.9, 40.0), (1.0, 25.0), (0.0, 8.0)])
def test_one_run_gives_the_beta_posterior(rate, size):
    low, high = mean_rate_limits(Evidence(np.array([rate]), np.array([size]), 0.0), LEVEL)
    exact = beta(rate * size + 0.5, (1 - rate) * size + 0.5)
    assert (low, high) == pytest.approx(tuple(exact.ppf([0.025, 0.975])), abs=2e-3)


def test_runs_that_do_not_differ_are_one_long_run():
    rates, sizes = np.array([0.6, 0.7, 0.8]), np.array([20.0, 30.0, 10.0])
    several = mean_rate_limits(Evidence(rates, sizes, 0.0), LEVEL)
    total = sizes.sum()
    one = mean_rate_limits(
        Evidence(np.array([rates @ sizes / total]), np.array([total]), 0.0), LEVEL
    )
    assert several == pytest.approx(one, abs=1e-3)


def test_likelihood_is_the_integral_over_each_runs_location():
    evidence = Evidence(np.array([0.6, 1.0]), np.array([30.0, 12.0]), 0.35)
    spreads, locations = evidence.spreads, evidence.locations
    found = evidence.log_likelihood

    z = np.linspace(-14, 14, 100_001)

    def one_run(rate, size, sigma, mu):
        integrand = np.exp(size * (rate * log_ndtr(z) + (1 - rate) * log_ndtr(-z)))
        return np.sum(integrand * norm.pdf(z, mu, sigma)) * (z[1] - z[0])

    for s in (5, 15, 25):
        # Far from its peak the likelihood is only kept from being zero.
        for i in np.flatnonzero(found[s] > found.max() - 12)[::40]:
            exact = sum(
                np.log(one_run(rate, size, spreads[s], locations[i]))
                for rate, size in zip(evidence.rates, evidence.sizes, strict=True)
            )
            assert found[s, i] == pytest.approx(exact, abs=1e-4)


def test_mean_rate_likelihood_without_spread_is_the_coin_flips():
    scores = np.linspace(-0.5, 1.5, 9)
    found = mean_rate_log_likelihood(Evidence(np.array([0.7]), np.array([30.0]), 0.0), scores)
    exact = 30 * (0.7 * log_ndtr(scores) + 0.3 * log_ndtr(-scores))
    assert found == pytest.approx(exact, abs=0.01)


def test_one_long_run_gives_the_normal_interval():
    runs = simulated_runs(np.random.default_rng(0), 1, 4000, 0.7)
    found = auc_interval(runs)
    error = np.sqrt(auc_variance(found.value, 2000, 2000))
    assert (found.low, found.high) == pytest.approx(
        (found.value - 1.96 * error, found.value + 1.96 * error), abs=0.1 * error
    )


def test_many_equal_runs_give_the_normal_interval():
    rng = np.random.default_rng(1)
    widths = [
        i.high - i.low for i in (auc_interval(simulated_runs(rng, 20, 150, 0.8)) for _ in range(20))
    ]
    expected = 2 * 1.96 * np.sqrt(auc_variance(0.8, 75, 75) / 20)
    # Allowing for a spread between runs that is not there costs little with 20 runs.
    assert expected * 0.95 < np.mean(widths) < expected * 1.2


# Coverage


def test_every_metric_covers_where_the_targets_pools_move_all_runs_partly_alike():
    """Pools of 110 records at K = 2; an interval that knows nothing of them covers 70 %."""
    rng, d, tau, overlap, present = np.random.default_rng(3), 1.0, 0.9, 0.5, np.arange(60) % 2 == 0
    truths = [
        (auc_interval, norm.cdf(d / np.sqrt(2))),
        (lambda runs, **of: intervals.accuracy_interval(runs, 0.0, **of), norm.cdf(d / 2)),
        (lambda runs, **of: intervals.advantage_interval(runs, 0.0, **of), 2 * norm.cdf(d / 2) - 1),
        (lambda runs, **of: intervals.tpr_at_fpr_interval(runs, 0.1, **of), norm.cdf(d - 1.2816)),
    ]
    n, covered = 80, np.zeros((len(truths), 2))
    for _ in range(n):
        moved = np.sqrt(overlap) * rng.standard_normal(2)
        own = moved + np.sqrt(1 - overlap) * rng.standard_normal((3, 2))
        means = np.where(present, d / 2, -d / 2) + tau / np.sqrt(2) * np.where(
            present, own[:, :1], own[:, 1:]
        )
        runs = [RunScores(row, present) for row in means + rng.standard_normal((3, 60))]
        for place, (method, truth) in enumerate(truths):
            for knows, of in enumerate(({}, {"tau": tau, "overlap": overlap})):
                found = method(runs, **of)
                covered[place, knows] += found.low <= truth <= found.high
    assert (covered[:, 1] / n >= least_covered(n)).all(), covered / n
    assert (covered[:, 0] / n < 0.85).all(), covered / n


@pytest.mark.parametrize(
    ("n_runs", "n_rounds", "auc", "between"),
    [(2, 60, 0.5, 0.0), (2, 60, 0.8, 0.5), (3, 20, 0.995, 0.5), (5, 150, 0.95, 0.5)],
)
def test_interval_covers(n_runs, n_rounds, auc, between):
    rng, n = np.random.default_rng(2), 250
    share, _ = coverage(
        auc_interval, auc, lambda: simulated_runs(rng, n_runs, n_rounds, auc, between), n
    )
    assert share >= least_covered(n)


def test_three_runs_ours_covers_bootstrap_does_not_and_t_is_too_wide():
    rng, n, auc = np.random.default_rng(3), 300, 0.8

    def draw():
        return simulated_runs(rng, 3, 60, auc, between=0.5)

    def logit_t(runs):
        values = logit([roc.auc(run.scores, run.present) for run in runs])
        reach = student_t.ppf(0.975, 2) * values.std(ddof=1) / np.sqrt(3)
        low, high = expit(values.mean() - reach), expit(values.mean() + reach)
        return Interval(0, low, high, 3, 180, "t")

    share, width = coverage(auc_interval, auc, draw, n)
    assert share >= least_covered(n)
    assert coverage(lambda r: bootstrap_of_runs(r, rng, 300), auc, draw, n)[0] < least_covered(n)
    assert width < 0.9 * coverage(logit_t, auc, draw, n)[1]


def test_labels_on_runs_cover_though_rounds_depend_on_their_run():
    rng, n, n_runs, n_rounds, d, effect = np.random.default_rng(4), 250, 10, 20, 1.2, 0.7
    truth = norm.cdf(d / np.sqrt(2 + 2 * effect**2))

    def draw():
        level = effect * rng.standard_normal((n_runs, 1)) + d * (np.arange(n_runs) % 2)[:, None]
        scores = level + rng.standard_normal((n_runs, n_rounds))
        return [RunScores(s, np.full(n_rounds, i % 2 == 1)) for i, s in enumerate(scores)]

    assert coverage(auc_interval, truth, draw, n)[0] >= least_covered(n)

    def rounds_as_units(runs):
        pooled = RunScores(
            np.concatenate([r.scores for r in runs]), np.concatenate([r.present for r in runs])
        )
        return auc_interval([pooled])

    assert coverage(rounds_as_units, truth, draw, n)[0] < least_covered(n)


@pytest.mark.parametrize("auc", [0.5, 0.8])
def test_other_metrics_cover(auc):
    rng, n, d = np.random.default_rng(5), 200, np.sqrt(2) * ndtri(auc)
    cut = d / 2

    def draw():
        return simulated_runs(rng, 3, 60, auc)

    right = norm.cdf(d / 2)
    tpr = norm.cdf(d + ndtri(0.1))
    for method, truth in [
        (lambda runs: intervals.accuracy_interval(runs, cut), right),
        (lambda runs: intervals.precision_interval(runs, cut), right),
        (lambda runs: intervals.balanced_accuracy_interval(runs, cut), right),
        (lambda runs: intervals.advantage_interval(runs, cut), 2 * right - 1),
        (lambda runs: intervals.tpr_at_fpr_interval(runs, 0.1), tpr),
    ]:
        assert coverage(method, truth, draw, n)[0] >= least_covered(n)


def test_tpr_of_one_run_pays_for_the_threshold_too():
    rng, n, d = np.random.default_rng(13), 300, 1.2
    present = np.arange(240) < 200
    truth = norm.cdf(d + ndtri(0.1))

    def draw():
        return [RunScores(rng.standard_normal(240) + d * present, present)]

    def ours(runs):
        return intervals.tpr_at_fpr_interval(runs, 0.1)

    def threshold_as_given(runs):
        value = ours(runs).value
        low, high = beta(200 * value + 0.5, 200 * (1 - value) + 0.5).ppf([0.025, 0.975])
        return Interval(value, low, high, 1, 240, "binomial")

    assert coverage(ours, truth, draw, n)[0] >= least_covered(n)
    assert coverage(threshold_as_given, truth, draw, n)[0] < least_covered(n)


# Properties


@settings(max_examples=25, deadline=None)
@given(
    n_runs=st.integers(1, 5),
    n_rounds=st.integers(2, 40),
    d=st.floats(-6, 6),
    seed=st.integers(0, 1000),
)
def test_value_lies_inside_and_scores_mirror(n_runs, n_rounds, d, seed):
    rng = np.random.default_rng(seed)
    present = np.arange(n_rounds) % 2 == 0
    runs = [RunScores(rng.standard_normal(n_rounds) + d * present, present) for _ in range(n_runs)]
    found = auc_interval(runs)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.high - found.low > 0
    mirrored = auc_interval([RunScores(-run.scores, run.present) for run in runs])
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - found.high, 1 - found.low), abs=1e-3)


def test_perfect_in_all_runs_still_leaves_room_and_less_with_more_runs():
    present = np.arange(40) % 2 == 0
    perfect = RunScores(present.astype(float), present)
    lows = [auc_interval([perfect] * n).low for n in (2, 3, 10)]
    assert auc_interval([perfect] * 3).high == 1.0
    assert 0.7 < lows[0] < lows[1] < lows[2] < 1.0


def test_runs_that_disagree_widen_the_interval():
    rng = np.random.default_rng(6)
    alike = simulated_runs(rng, 5, 100, 0.75)
    apart = [*simulated_runs(rng, 3, 100, 0.95), *simulated_runs(rng, 2, 100, 0.5)]
    a, b = auc_interval(alike), auc_interval(apart)
    assert b.high - b.low > 1.5 * (a.high - a.low)


def test_higher_level_is_wider():
    runs = simulated_runs(np.random.default_rng(7), 3, 60, 0.8)
    narrow, wide = auc_interval(runs, level=0.8), auc_interval(runs, level=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high
    with pytest.raises(ValueError, match="level must be in"):
        auc_interval(runs, level=1.0)


def test_method_and_counts_are_said():
    rng = np.random.default_rng(8)
    one, three = simulated_runs(rng, 1, 20, 0.7), simulated_runs(rng, 3, 20, 0.7)
    by_run = [RunScores(np.array([float(i)]), np.array([i > 1])) for i in range(4)]
    assert auc_interval(one).method == intervals.WITHIN_ONE_RUN
    assert auc_interval(three).method == intervals.OVER_RUNS
    assert auc_interval(by_run).method == intervals.RUNS_AS_UNITS
    assert (auc_interval(three).n_runs, auc_interval(three).n_rounds) == (3, 60)


def test_scores_with_more_variance_than_the_formula_widen_one_run():
    rng = np.random.default_rng(9)
    present = np.arange(200) % 2 == 0
    # Scores of present rounds lie far above or far below: the AUC hangs on how many of each.
    scores = np.where(present, 10 * np.sign(rng.standard_normal(200)), rng.standard_normal(200))
    found = auc_interval([RunScores(scores, present)])
    assert found.high - found.low > 1.15 * 2 * 1.96 * np.sqrt(auc_variance(0.5, 100, 100))


def test_accuracy_of_one_run_is_the_beta_interval():
    run = RunScores(np.array([1.0] * 6 + [-1.0] * 4), np.array([True] * 9 + [False]))
    found = intervals.accuracy_interval([run], 0.0)
    assert found.value == pytest.approx(0.7)
    assert (found.low, found.high) == pytest.approx(
        tuple(beta(7.5, 3.5).ppf([0.025, 0.975])), abs=2e-3
    )


def test_precision_is_of_what_was_called_present():
    present = np.arange(20) < 10
    says = np.isin(np.arange(20), [0, 1, 2, 15])  # 3 right of 4
    runs = [RunScores(np.where(says, 1.0, -1.0), present)] * 2
    found = intervals.precision_interval(runs[:1], 0.0)
    assert (found.value, found.n_rounds) == (0.75, 20)
    assert (found.low, found.high) == pytest.approx(
        tuple(beta(3.5, 1.5).ppf([0.025, 0.975])), abs=2e-3
    )
    silent = RunScores(np.full(20, -1.0), present)
    assert intervals.precision_interval([*runs, silent], 0.0) is None
    whole = [RunScores(says * 1.0, np.full(20, label)) for label in (True, False)]
    assert intervals.precision_interval(whole, 0.0).value == 0.5  # labels on runs: pooled


def test_small_false_positive_rates_are_not_estimable_from_few_rounds():
    runs = simulated_runs(np.random.default_rng(10), 3, 150, 0.8)
    few = intervals.tpr_at_fpr_interval(runs, 0.1)
    assert few.rough
    assert intervals.ROUGH in few.method
    enough = intervals.tpr_at_fpr_interval(runs, 0.2)
    assert not enough.rough
    assert intervals.ROUGH not in enough.method
    assert intervals.tpr_at_fpr_interval(runs, 0.01) is None
    by_run = [RunScores(np.full(100, float(i)), np.full(100, i > 4)) for i in range(10)]
    # 500 absent rounds, but only five absent runs.
    assert intervals.tpr_at_fpr_interval(by_run, 0.1) is None
    assert intervals.tpr_at_fpr_interval(by_run, 0.2).value == 1.0


def test_bootstrap_agrees_with_ours_when_runs_are_many():
    rng = np.random.default_rng(11)
    runs = simulated_runs(rng, 25, 60, 0.75, between=0.4)
    ours, theirs = auc_interval(runs), bootstrap_of_runs(runs, rng, 2000)
    assert (theirs.low, theirs.high) == pytest.approx((ours.low, ours.high), abs=0.02)


def test_what_runs_have_in_common_is_not_averaged_away() -> None:
    """Ten runs of five writers a side: all of them to the same side, and nothing has leaked."""
    rng, tau, overlap = np.random.default_rng(3), 1.37, 0.5
    missed = {"common": 0, "own": 0}
    audits = 60
    for _ in range(audits):
        shift = tau * (
            np.sqrt(overlap) * rng.standard_normal()
            + np.sqrt(1 - overlap) * rng.standard_normal(10)
        )
        present = np.arange(40) % 2 == 0
        runs = [RunScores(rng.standard_normal(40) + d * present, present) for d in shift]
        for name, common in (("common", overlap), ("own", 0.0)):
            found = auc_interval(runs, tau=tau, overlap=common)
            missed[name] += not found.low <= 0.5 <= found.high
    assert missed["common"] <= binom.ppf(0.999, audits, 0.05)
    assert missed["own"] > binom.ppf(0.999, audits, 0.05)  # this is what it takes


def test_of_one_run_it_does_not_matter_how_much_pools_share() -> None:
    """So records, each of one run, need no overlap for their intervals."""
    present = np.arange(60) % 2 == 0
    run = RunScores(np.random.default_rng(0).normal(size=60) + present, present)
    alone, shared = (auc_interval([run], tau=0.7, overlap=f) for f in (0.0, 0.6))
    assert (shared.low, shared.high) == pytest.approx((alone.low, alone.high), abs=1e-3)
