"""Second moments: the ratio is that of two Gaussians, and finds what no mean shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from privaudit.attack.adversary import ShadowRound
from privaudit.statistics.roc import auc
from privaudit_attacks.moments import (
    RIDGE,
    SecondMoments,
    _Moments,
    by_mean,
    by_spread,
    densities_of,
    principal,
    windowed,
)
from privaudit_attacks.simulation import StandIns
from privaudit_attacks.stacking import separations

SIZE = 6


def test_the_ratio_is_that_of_the_two_densities() -> None:
    rng = np.random.default_rng(1)
    present = rng.standard_normal((400, 3)) * [2.0, 1.0, 0.5] + [0.5, 0.0, 0.0]
    absent = rng.standard_normal((400, 3))
    sums = rng.standard_normal((7, 3)) * 2
    contributors = np.array([1, 1, 4, 4, 4, 4, 2])
    moments = _Moments.of(present, absent, None)
    one, zero = np.cov(present.T), np.cov(absent.T)
    ridge = RIDGE * np.trace(one + zero) / 6 * np.eye(3)
    shift = (present.mean(0) - absent.mean(0)) / 2
    for row, k in zip(sums, contributors, strict=True):
        of = densities_of(moments, int(k), count=3, belief=1.0)
        ratio = float(by_mean(row[None], of)[0] + by_spread(row[None], of)[0])
        others = (k - 1) * (zero + ridge)
        with_it = multivariate_normal(shift, one + ridge + others).logpdf(row)
        without = multivariate_normal(-shift, zero + ridge + others).logpdf(row)
        assert ratio == pytest.approx(with_it - without, abs=1e-8)


def moved(
    shadow: ShadowRound, tested: StandIns, seen: torch.Tensor, by: float
) -> tuple[ShadowRound, StandIns, torch.Tensor]:
    """The same at parameters where all deltas are larger, as they move from round to round."""
    k = shadow.contributors
    sums = replace(tested, rows=tested.rows + k * by)
    return shadow.seen_through(lambda rows: rows + by), sums, seen + k * by


def areas(
    spread: float, *, rounds: int = 120, k: int = 2, mean: float = 0.0
) -> tuple[tuple[float, float], float]:
    """AUC of either part, of sums whose first two coordinates vary together with the property.

    And of who knows that; or where there is none, that the third one's mean moves.
    """
    rng = torch.Generator().manual_seed(5)
    moments = SecondMoments(window=8)
    truth, ideal = np.arange(rounds) % 2 == 0, []

    def drawn(n: int, present: bool) -> torch.Tensor:
        rows = torch.randn(n, SIZE, generator=rng)
        if present:
            common = torch.randn(n, 1, generator=rng)
            rows[:, :2] += spread * common
            rows[:, 2] += mean
        return rows

    for number in range(rounds):
        shadow = ShadowRound(drawn(8, True), (a := drawn(8, False)), a, k, np.arange(8) % 2)
        others = sum(drawn(8, False) for _ in range(k - 1))
        sums = torch.cat([drawn(4, True), drawn(4, False)]) + others
        tested = StandIns(sums, np.arange(8) < 4, np.arange(8) % 2)
        seen = drawn(1, bool(truth[number])) + sum(drawn(1, False) for _ in range(k - 1))
        ideal.append(float((seen[0, 0] + seen[0, 1]) ** 2 if spread else seen[0, 2]))
        moments.add(*moved(shadow, tested, seen, 0.1 * number), range(rounds))
    by_part = moments.members()
    assert [member.signed for member in by_part] == [True, False]
    for member in by_part:
        assert np.isfinite(member.observed).all()
        assert np.isfinite(member.held_out).all()
    shift, other = (auc(member.observed, truth) for member in by_part)
    return (shift, other), auc(np.array(ideal), truth)


def test_each_part_finds_what_it_is_for_and_the_other_nothing() -> None:
    chance = 4.5 * np.sqrt(121 / (3 * 120**2))
    for spread, k, mean in ((3.0, 2, 0.0), (3.0, 1, 0.0), (0.0, 2, 2.0), (0.0, 10, 4.0)):
        found, ideal = areas(spread, k=k, mean=mean)
        assert 0.65 < ideal < found[int(spread > 0)] + 0.08
        assert abs(found[int(spread == 0)] - 0.5) < chance
    for nothing in areas(0.0)[0]:
        assert abs(nothing - 0.5) < chance


def of_pools(seed: int, *, rounds: int = 24, held: int = 40, batch: int = 8) -> tuple[float, float]:
    """Held-out areas where the property says nothing, and batches are of few records in 300."""
    rng = np.random.default_rng(seed)
    pools = rng.standard_normal((2, 2, held, 300)).astype(np.float32)
    moments, half = SecondMoments(window=8), np.arange(8) % 2

    def drawn(kind: int) -> torch.Tensor:
        rows = [pools[kind, h][rng.choice(held, batch, replace=False)].mean(0) for h in half]
        return torch.from_numpy(np.stack(rows))

    for number in range(rounds):
        shadow = ShadowRound(drawn(1), (a := drawn(0)), a, 1, half)
        tested = StandIns(torch.cat([shadow.present, a]), np.arange(16) < 8, np.tile(half, 2))
        moments.add(shadow, tested, drawn(number % 2)[:1], range(number + 1))
    present, halves = np.tile(np.arange(16) < 8, rounds), np.tile(half, 2 * rounds)
    found = [separations(m.held_out, present, halves).mean() for m in moments.members()]
    return found[0], found[1]


def test_what_a_half_has_by_chance_is_not_seen_by_what_is_learned_on_the_other() -> None:
    for areas in np.array([of_pools(seed) for seed in range(72)]).T:
        error = np.std(areas) / np.sqrt(len(areas))
        assert abs(np.mean(areas) - 0.5) < 4 * error < 0.11


@given(
    rows=st.integers(2, 30), size=st.integers(1, 40), most=st.integers(1, 20), still=st.booleans()
)
@settings(max_examples=30, deadline=None)
def test_principal_components_are_orthonormal(rows: int, size: int, most: int, still: bool) -> None:
    values = np.random.default_rng(rows).standard_normal((rows, size)).astype(np.float32)
    if still:
        values[:, 1:] = 0.0
    axes = principal(values, most)
    assert axes.shape[0] == size
    assert 1 <= axes.shape[1] <= min(most, rows, size)
    assert axes.T @ axes == pytest.approx(np.eye(axes.shape[1]), abs=1e-3)


def test_layers_that_never_move_have_no_member() -> None:
    moments = SecondMoments(window=4)
    still = torch.zeros(4, SIZE)
    for _ in range(6):
        shadow = ShadowRound(still, still, still, 2, np.arange(4) % 2)
        tested = StandIns(still, np.arange(4) < 2, np.arange(4) % 2)
        moments.add(shadow, tested, still[:1], range(6))
    assert not moments.members()


def test_one_shadow_of_a_half_makes_no_member() -> None:
    moments, rng = SecondMoments(window=4), torch.Generator().manual_seed(1)
    one, zero = torch.randn(2, 2, SIZE, generator=rng)
    tested = StandIns(torch.cat([one, zero]), np.arange(4) < 2, np.arange(4) % 2)
    moments.add(ShadowRound(one, zero, zero, 1, np.arange(2)), tested, one[:1], range(1))
    assert not moments.members()


def test_a_window_is_a_running_mean_that_stops_at_the_ends() -> None:
    means = windowed(torch.arange(10.0)[:, None], 4)[:, 0].tolist()
    assert means == [1.5, 1.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 7.5]
    assert windowed(torch.arange(3.0)[:, None], 16)[:, 0].tolist() == [1.0, 1.0, 1.0]
