"""Told from chance: valid under finite pools, adjusted over a table, with the power it states."""

from __future__ import annotations

from math import inf, nan, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata

from privaudit.statistics.intervals import auc_interval
from privaudit.statistics.permutation import permutation_p_value
from privaudit.statistics.pools import Holdings, chance_auc, pool_variance
from privaudit.statistics.runs import RunScores, Unit
from privaudit.statistics.told import (
    SIGNIFICANT,
    Design,
    adjusted,
    against_chance,
    design_of,
    is_told,
    smallest_told,
)

AUDITS = 2000


def rounds_design(runs: int, rounds: int, tau: float | None = None, overlap: float = 0.0) -> Design:
    half = (rounds // 2,) * runs
    return Design(Unit.ROUND, half, half, tau, overlap)


def simulated_aucs(
    rng: np.random.Generator, design: Design, auc: float, spread: float
) -> np.ndarray:
    """[AUDITS] mean AUCs of normal scores; pools of the runs differ by chance, correlated."""
    runs, n = len(design.n_present), design.n_present[0]
    tau = design.tau or 0.0
    common = rng.standard_normal((AUDITS, 1)) * sqrt(design.overlap)
    own = rng.standard_normal((AUDITS, runs)) * sqrt(1 - design.overlap)
    d = ndtri(auc) * sqrt(2 + tau**2 + spread**2) + tau * (common + own)
    d = d + spread * rng.standard_normal((AUDITS, runs))
    scores = rng.standard_normal((AUDITS, runs, 2 * n))
    scores[:, :, :n] += d[:, :, None]
    sums = rankdata(scores, axis=2)[:, :, :n].sum(axis=2)
    return np.asarray(((sums - n * (n + 1) / 2) / n**2).mean(axis=1))


def share_told(design: Design, auc: float, *, cells: int = 1, spread: float = 0.0) -> float:
    """Of simulated audits the share below the critical p-value; the pool test alone."""
    found = simulated_aucs(np.random.default_rng(1), design, auc, spread)
    return float(np.mean(ndtr((0.5 - found) / design.null_error) < SIGNIFICANT / cells))


DESIGNS = [
    rounds_design(3, 40, 0.0),
    rounds_design(3, 60, 0.38, 0.2),
    rounds_design(10, 40, 0.57, 0.2),
    rounds_design(3, 40, 0.91, 0.5),
]


@pytest.mark.parametrize("design", DESIGNS)
def test_without_a_leak_stars_are_as_rare_as_they_say(design: Design) -> None:
    """5 % within three standard errors, and a point for the normal tail."""
    error = sqrt(0.05 * 0.95 / AUDITS)
    assert share_told(design, 0.5) == pytest.approx(0.05, abs=3 * error + 0.01)
    blind = rounds_design(len(design.n_present), 2 * design.n_present[0])
    if design.tau:  # as if rounds were exchangeable
        found = simulated_aucs(np.random.default_rng(1), design, 0.5, 0.0)
        assert np.mean(found > 0.5 - ndtri(SIGNIFICANT) * blind.null_error) > 0.1


@pytest.mark.parametrize("cells", [1, 18])
@pytest.mark.parametrize("design", DESIGNS[:3])
def test_the_stated_auc_is_starred_four_times_in_five(design: Design, cells: int) -> None:
    """Three standard errors, and 3 points for the normal approximation."""
    auc = smallest_told(design, cells=cells)
    assert auc is not None
    share = share_told(design, auc, cells=cells, spread=0.2)
    assert share == pytest.approx(0.8, abs=3 * sqrt(0.8 * 0.2 / AUDITS) + 0.03)
    assert share_told(design, (0.5 + auc) / 2, cells=cells, spread=0.2) < 0.6


@given(
    st.integers(1, 20), st.integers(20, 200), st.floats(0, 2), st.floats(0, 1), st.integers(1, 99)
)
def test_more_noise_and_more_cells_never_help(
    runs: int, rounds: int, tau: float, overlap: float, cells: int
) -> None:
    def found(*, more: float = 0.0, times: int = 1, **counts: int) -> float:
        size = counts.get("runs", runs), counts.get("rounds", rounds)
        design = rounds_design(*size, tau + more, overlap)
        return smallest_told(design, cells=cells * times) or inf

    assert 0.5 < found() <= found(more=0.1)
    assert found() <= found(times=2)
    assert found(runs=2 * runs) <= found()
    assert found(rounds=2 * rounds) <= found()


def test_too_few_rounds_cannot_see_even_a_perfect_attack() -> None:
    # 1 / C(n + m, n) is the smallest p-value there is; of a drawn one it is 1 / 10,000.
    assert smallest_told(Design(Unit.ROUND, (2,), (3,))) is None
    assert smallest_told(rounds_design(3, 60), cells=501) is None
    assert smallest_told(rounds_design(3, 60), cells=499) is not None
    assert smallest_told(rounds_design(3, 60, inf, 1.0)) is None


def runs_of(rng: np.random.Generator, count: int, shift: float = 0.0) -> list[RunScores]:
    label = np.arange(40) % 2 == 0
    return [RunScores(rng.standard_normal(40) + shift * label, label) for _ in range(count)]


HELD = Holdings(110, 110, 32, others=3, other_records=110, overlap=0.2)


def test_the_larger_p_value_counts() -> None:
    runs = runs_of(np.random.default_rng(0), 3, 0.6)
    blind, allowed = design_of(runs), design_of(runs, [[HELD]] * 3)
    alone = permutation_p_value(runs, np.random.default_rng(2))
    test = against_chance(runs, blind, np.random.default_rng(2))
    assert (test.p_value, test.permutation) == (alone, alone)
    more = against_chance(runs, allowed, np.random.default_rng(2))
    assert more.permutation == alone < more.p_value < 1
    none_left = design_of(runs, [[Holdings(10**6, 10**6, 32)]] * 3)
    assert against_chance(runs, none_left, np.random.default_rng(2)).p_value == pytest.approx(
        alone, rel=0.3
    )


def test_without_the_holdings_of_every_run_nothing_is_allowed_for() -> None:
    runs = runs_of(np.random.default_rng(0), 2)
    assert design_of(runs, [[HELD], []]).tau is None
    assert design_of(runs, [[HELD], [HELD]]).tau == pytest.approx(HELD.tau)
    assert design_of(runs, [[HELD], [HELD]]).overlap == pytest.approx(0.2)


def test_scores_that_are_all_the_same_tell_nothing() -> None:
    label = np.arange(20) % 2 == 0
    runs = [RunScores(np.zeros(20), label)] * 2
    assert (
        against_chance(runs, design_of(runs, [[HELD]] * 2), np.random.default_rng(0)).p_value == 1
    )


def dealt(rng: np.random.Generator, *, clients: int, held: int, batch: int) -> float:
    """d' of a run's scores in the limit of many rounds, records having one number each."""
    records = rng.standard_normal((clients, held))
    with_, without, others = records[0], rng.standard_normal(held), records[1:]
    shift = with_.mean() - without.mean()
    round_variance = sum(
        part.var(ddof=1) * (1 / batch - 1 / held) for part in (with_, without)
    ) / 2 + sum(other.var(ddof=1) * (1 / batch - 1 / held) for other in others)
    return float(shift / sqrt(round_variance))


@pytest.mark.parametrize("clients", [1, 4])
def test_tau_is_what_dealing_records_gives(clients: int) -> None:
    rng, n = np.random.default_rng(0), 1000
    found = [dealt(rng, clients=clients, held=110, batch=32) for _ in range(n)]
    held = Holdings(110, 110, 32, others=clients - 1, other_records=110 if clients > 1 else 0)
    # The standard error of a deviation is 1 / sqrt(2 n) of it.
    assert np.std(found) == pytest.approx(held.tau, rel=3 / sqrt(2 * n))


def test_tau_follows_what_the_target_holds_and_draws() -> None:
    base = HELD.tau
    assert Holdings(55, 55, 32, others=3, other_records=110).tau > base
    assert Holdings(110, 110, 32, others=9, other_records=110).tau < base
    half = Holdings(110, 110, 32, share=0.5, others=3, other_records=110)
    assert half.tau == pytest.approx(base / 2, rel=0.05)
    writers = Holdings(110, 110, 32, groups=(5, 5), group_weight=2 / 5, icc=0.2)
    assert writers.tau > Holdings(110, 110, 32).tau
    assert Holdings(32, 32, 32).tau == inf  # every round is the same batch
    assert Holdings(10, 10, 32).tau < inf  # drawn with replacement


def test_with_labels_on_runs_runs_share_what_the_data_set_has() -> None:
    """Dealt anew, one number a record: the share called told without a leak."""
    rng, n, clients, held, audits = np.random.default_rng(3), 12, 2, 60, 300
    told = {"permutation": 0, "pools": 0}
    for _ in range(audits):
        values = rng.standard_normal((2, clients * held))
        present = rng.permutation(np.arange(n) < n // 2)
        means = [
            values[int(with_it)][rng.permutation(clients * held)[:held]].mean()
            for with_it in present
        ]
        runs = [
            RunScores(np.array([m]), np.array([p])) for m, p in zip(means, present, strict=True)
        ]
        # So many rounds that batches add nothing.
        design = design_of(runs, [[Holdings(held, held, 16, overlap=0.5)]] * n, rounds=10_000)
        test = against_chance(runs, design, rng)
        told["permutation"] += test.permutation < SIGNIFICANT
        told["pools"] += test.p_value < SIGNIFICANT
    assert told["permutation"] / audits > 0.15
    assert told["pools"] / audits < 0.05 + 3 * sqrt(0.05 * 0.95 / audits)


def test_labels_on_runs_count_runs() -> None:
    runs = [RunScores(np.arange(50.0), np.full(50, i % 2 == 0)) for i in range(12)]
    design = design_of(runs)
    assert (design.unit, design.n_present, design.n_absent) == (Unit.RUN, (6,), (6,))


def test_the_variance_that_pools_add() -> None:
    d = np.random.default_rng(0).standard_normal(200_000) * 0.9
    assert pool_variance(0.9) == pytest.approx(np.var(ndtr(d / sqrt(2))), rel=0.02)
    assert (pool_variance(0.0), pool_variance(inf)) == (0.0, 0.25)
    assert chance_auc(0.9) == pytest.approx(np.quantile(ndtr(d / sqrt(2)), 0.95), abs=0.005)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_the_adjustment_is_the_definition(p: list[float]) -> None:
    """min over k >= rank(i) of m p_(k) / k."""
    ordered, m = sorted(p), len(p)
    scaled = [m * value / (k + 1) for k, value in enumerate(ordered)]
    naive = [min(1.0, *scaled[ordered.index(value) :]) for value in p]
    assert adjusted(p) == pytest.approx(naive)


def test_cells_without_a_test_are_outside_the_family() -> None:
    assert adjusted([0.01, None, 0.04, nan]) == [0.02, None, 0.04, None]
    assert adjusted([None]) == [None]
    assert (is_told(None), is_told(0.05), is_told(0.049)) == (False, False, True)


@pytest.mark.parametrize("p", [-0.1, 1.5])
def test_refuses_what_is_no_probability(p: float) -> None:
    with pytest.raises(ValueError, match=r"p-values must be in \[0, 1\]"):
        adjusted([0.5, p])


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: Design(Unit.ROUND, (), ()), "rounds of both kinds"),
        (lambda: Design(Unit.ROUND, (3, 4), (3,)), "rounds of both kinds"),
        (lambda: Design(Unit.ROUND, (3,), (0,)), "rounds of both kinds"),
        (lambda: rounds_design(1, 60, -1.0), "tau must not"),
        (lambda: rounds_design(1, 60, 1.0, 1.5), "overlap must be"),
        (lambda: smallest_told(rounds_design(1, 60), cells=0), "cells must be"),
        (lambda: smallest_told(rounds_design(1, 60), power=1.0), "power in"),
    ],
)
def test_refuses_numbers_out_of_range(made, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        made()


def test_with_several_targets_a_run_has_several_pools() -> None:
    """A score that follows the target alone says nothing; what is within its rounds does."""
    rng, targets = np.random.default_rng(0), np.arange(40) % 4
    label = np.arange(40) // 4 % 2 == 0
    runs = [
        RunScores(9.0 * targets + rng.standard_normal(40) + 2.0 * label, label, targets=targets)
        for _ in range(3)
    ]
    design = design_of(runs, [[HELD] * 4] * 3)
    assert (design.n_present, design.targets) == ((5,) * 12, 4)
    assert design.tau == pytest.approx(HELD.tau)
    assert design.run_tau == pytest.approx(HELD.tau / 2)
    by_hand = [
        np.subtract.outer(r.scores[label & own], r.scores[~label & own]) > 0
        for r in runs
        for own in (targets == t for t in range(4))
    ]
    found = auc_interval(runs, **design.pools)
    assert found.value == pytest.approx(np.mean(by_hand))
    assert against_chance(runs, design, rng).p_value < 0.001
    one = design_of(runs_of(rng, 3), [[HELD]] * 3)
    assert design.null_error < one.null_error
    better, fixed = smallest_told(design), smallest_told(one)
    assert better is not None
    assert fixed is not None
    assert better < fixed - 0.03
