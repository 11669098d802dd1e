"""Federations audited in both states: the AUC, its limits and its test."""

from __future__ import annotations

from itertools import product
from math import pi, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri

from privaudit.statistics.between import blind_variance, correlation_of_states, moved_to
from privaudit.statistics.dilution import DilutionPoint
from privaudit.statistics.harmless import Finding, finding, runs_needed
from privaudit.statistics.intervals import auc_interval
from privaudit.statistics.paired import auc_difference
from privaudit.statistics.permutation import permutation_p_value
from privaudit.statistics.pools import Holdings
from privaudit.statistics.roc import mean_auc
from privaudit.statistics.runs import RunScores, complete_pairs, pairs_of
from privaudit.statistics.told import SIGNIFICANT, against_chance, design_of


def states(with_: np.ndarray, without: np.ndarray) -> list[RunScores]:
    """Runs 2 i and 2 i + 1 are federation i, whichever state comes first."""
    made = []
    for i, pair in enumerate(zip(with_, without, strict=True)):
        both = [
            RunScores(np.array([s]), np.array([p]), i)
            for s, p in zip(pair, (True, False), strict=True)
        ]
        made += both[:: 1 if i % 3 else -1]
    return made


def drawn(rng: np.random.Generator, count: int, rho: float, d: float = 0.0) -> list[RunScores]:
    common = sqrt(rho) * rng.standard_normal(count)
    noise = sqrt(1 - rho) * rng.standard_normal((2, count))
    return states(common + noise[0] + d, common + noise[1])


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=6))
def test_states_of_one_federation_are_not_compared_with_each_other(
    scores: list[tuple[int, int]],
) -> None:
    a, b = np.array(scores, dtype=float).T
    runs, count = states(a, b), len(scores)

    def auc(swaps: tuple[int, ...]) -> float:
        up, down = np.where(swaps, b, a), np.where(swaps, a, b)
        wins = (up[:, None] > down) + 0.5 * (up[:, None] == down)
        return float((wins.sum() - np.trace(wins)) / (count * (count - 1)))

    assert mean_auc(runs) == pytest.approx(auc((0,) * count))
    every = [auc(swaps) for swaps in product((0, 1), repeat=count)]
    p = np.mean(np.array(every) >= every[0] - 1e-9)
    assert permutation_p_value(runs, np.random.default_rng(0)) == pytest.approx(p)
    found = auc_interval(runs)
    assert 0 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize("auc", [0.5, 0.75])
def test_limits_hold_the_truth_and_correlation_makes_them_narrower(auc: float) -> None:
    rng, n = np.random.default_rng(1), 150
    widths = []
    for rho in (0.0, 0.9):
        found = [auc_interval(drawn(rng, 12, rho, sqrt(2) * ndtri(auc))) for _ in range(n)]
        assert np.mean([i.low <= auc <= i.high for i in found]) > 0.95 - 3 * sqrt(0.05 * 0.95 / n)
        widths.append(np.mean([i.high - i.low for i in found]))
    assert widths[1] < 0.75 * widths[0]


def test_a_blind_guess_varies_as_it_is_said_to() -> None:
    rng, rho = np.random.default_rng(2), 0.8
    found = [mean_auc(drawn(rng, 8, rho)) for _ in range(2000)]
    said = blind_variance(8, 6 / pi * np.arcsin(rho / 2))  # rank correlation of normal scores
    assert np.var(found) == pytest.approx(said, rel=0.15)
    runs = drawn(rng, 400, rho)
    pairs = pairs_of(runs)
    assert pairs is not None
    assert correlation_of_states(runs, pairs) == pytest.approx(0.786, abs=0.06)


def test_as_many_as_are_said_to_be_needed_show_that_it_is_harmless() -> None:
    rng, n = np.random.default_rng(3), 60
    needed = {rho: runs_needed(drawn(rng, 6, rho), 0.6, correlation=rho) for rho in (0.0, 0.9)}
    assert needed[0.0] is not None
    assert needed[0.9] is not None
    assert needed[0.9] < needed[0.0] / 4
    runs = [drawn(rng, needed[0.9] // 2, 0.907) for _ in range(n)]  # rank correlation 0.9
    shown = np.mean([finding(DilutionPoint(1, tuple(r)), 0.6) is Finding.HARMLESS for r in runs])
    assert shown > 0.8 - 3 * sqrt(0.16 / n)


def test_pools_that_federations_share_are_allowed_for() -> None:
    """Dealt anew, one number a record, no leak, federations that differ much: told too often by
    swaps alone."""
    rng, count, clients, held, audits = np.random.default_rng(4), 10, 2, 60, 200
    told = {"permutation": 0, "pools": 0}
    for _ in range(audits):
        values = rng.standard_normal((2, clients * held))
        own = rng.standard_normal(count) * 0.1
        mine = [[rng.permutation(clients * held)[:held] for _ in range(2)] for _ in range(count)]
        a, b = (np.array([values[kind][m[kind]].mean() for m in mine]) + own for kind in (0, 1))
        runs = states(a, b)
        holdings = [[Holdings(held, held, 16, overlap=0.5)]] * (2 * count)
        test = against_chance(runs, design_of(runs, holdings, rounds=10_000), rng)
        told["permutation"] += test.permutation < SIGNIFICANT
        told["pools"] += test.p_value < SIGNIFICANT
    assert told["permutation"] / audits > 0.15
    assert told["pools"] / audits < 0.05 + 3 * sqrt(0.05 * 0.95 / audits)


def test_attacks_are_ordered_over_federations() -> None:
    rng = np.random.default_rng(5)

    def compared(gap: float) -> list[tuple[RunScores, RunScores]]:
        common = rng.standard_normal((2, 20))
        a, b = (
            states(*(common + 0.5 * rng.standard_normal((2, 20)) + [[d], [0.0]]))
            for d in (gap, 0.0)
        )
        return list(zip(a, b, strict=True))

    apart = auc_difference([compared(2.0), compared(2.0)])
    assert apart is not None
    assert apart.low > 0
    equal = [auc_difference([compared(0.0)]) for _ in range(100)]
    assert sum(d is not None and d.ordered for d in equal) <= 5 + 3 * sqrt(5)


def test_a_state_without_its_other_is_left_out() -> None:
    runs = states(np.arange(3.0), np.arange(3.0))
    assert len(complete_pairs(runs[:-1])) == 4
    assert complete_pairs(runs[:2]) == []
    with pytest.raises(ValueError, match="two federations in both states"):
        pairs_of(runs[:-1])
    alone = [RunScores(np.zeros(2), np.array([True, False]))]
    assert complete_pairs(alone) == alone


@pytest.mark.parametrize(("count", "found"), [(6, Finding.OPEN), (24, Finding.HARMLESS)])
def test_few_federations_whose_states_score_alike_show_nothing(count: int, found: Finding) -> None:
    """No comparison of six is decided by the property: fewer than if 0.6 were true, by chance."""
    scores = np.arange(count, dtype=float)
    runs = tuple(states(scores + 0.1, scores))
    assert mean_auc(list(runs)) == 0.5
    assert finding(DilutionPoint(1, runs), 0.6) is found


@given(st.integers(4, 8), st.integers(1, 3), st.sampled_from([0.4, 0.6]), st.integers(0, 99))
def test_federations_are_moved_to_the_edge(count: int, rounds: int, edge: float, seed: int) -> None:
    """By no more than it takes: of scores that are all different few gaps are alike."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(2 * count * rounds) // (1 + seed % 3 * count)
    runs = [
        RunScores(scores.astype(float), np.full(rounds, i % 2 == 0), i // 2)
        for i, scores in enumerate(np.split(order, 2 * count))
    ]
    pairs = pairs_of(runs)
    assert pairs is not None
    found = moved_to(edge, runs, pairs)
    assert found.value >= edge - 1e-9
    if seed % 3 == 0:
        assert found.value <= edge + 4 / (count * (count - 1) * rounds)


@pytest.mark.parametrize(("count", "rho"), [(12, 0.9), (24, 0.9), (24, 0.5)])
def test_a_leak_at_the_edge_is_seldom_called_harmless(count: int, rho: float) -> None:
    rng, n, d = np.random.default_rng(count), 200, sqrt(2) * ndtri(0.6)
    runs = (tuple(drawn(rng, count, rho, d)) for _ in range(n))
    wrong = sum(finding(DilutionPoint(1, r), 0.6) is Finding.HARMLESS for r in runs)
    assert wrong <= 0.05 * n + 3 * sqrt(0.05 * 0.95 * n)
