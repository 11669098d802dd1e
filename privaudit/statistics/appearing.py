"""Did a property appear on the way, and when? A change in the scores of one federation.

Everything here sees scores alone. As the model moves, so does the level of the scores, and a drift
is no change: a straight line over the rounds is taken out of them, and of every candidate.

- *Afterwards*: the stretch of rounds that stands out most, by the standardised sum of the ranks of
  what is left (circular binary segmentation, A. B. Olshen et al., Biostatistics 5, 2004). Its
  p-value is that of the largest such sum over all stretches, ranks permuted over the rounds.
- *On the way*: after each round the same for stretches up to that round, from the rounds so far. An
  alarm is raised where that gets higher than it ever does, up to the last round, in 95 % of orders.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import rankdata

from privaudit.statistics.runs import FloatArray
from privaudit.statistics.told import SIGNIFICANT

LEAST = 4
"""Rounds of a stretch, and rounds before it."""

FEWEST, MOST = 4 * LEAST, 500
"""Rounds that a change is looked for in: fewer say nothing, the work grows with their square."""

ROUNDING = 1e-5

PERMUTATIONS = 1_999


@dataclass(frozen=True)
class Appearance:
    """What the scores of a federation say.

    Attributes:
        p_value: of "nothing changed", one-sided: some stretch has higher scores.
        start: first round of the stretch that stands out most, 0-based.
        end: the round after it; the number of rounds where it lasts to the end.
        alarm: round after which whoever listens along raises the alarm; None = never.
    """

    p_value: float
    start: int
    end: int
    alarm: int | None

    @property
    def found(self) -> bool:
        """Whether the property is said to have appeared."""
        return self.p_value <= SIGNIFICANT


def appearance(scores: FloatArray, seed: int, *, n_permutations: int = PERMUTATIONS) -> Appearance:
    """Look for a stretch of rounds with higher scores.

    Args:
        scores: [T] finite; higher = property more likely present.
        seed: of the permutations, which all federations of T rounds without equal scores share.
        n_permutations: at least 1.

    Raises:
        ValueError: T outside :data:`FEWEST` to :data:`MOST`, or no permutations.
    """
    rounds = len(scores)
    if not FEWEST <= rounds <= MOST or n_permutations < 1:
        raise ValueError(
            f"{FEWEST} to {MOST} rounds and at least 1 permutation are needed, got {rounds} and "
            f"{n_permutations}"
        )
    numbers = np.arange(rounds)
    left = scores - np.polyval(np.polyfit(numbers, scores, 1), numbers)
    if np.ptp(left) <= ROUNDING * (1 + np.ptp(scores)):  # nothing but the line
        left = np.zeros(rounds)
    p_value, start, end = _afterwards(rankdata(left), seed, n_permutations)
    return Appearance(p_value, start, end, _on_the_way(rankdata(scores), seed, n_permutations))


def _afterwards(ranks: FloatArray, seed: int, count: int) -> tuple[float, int, int]:
    """p-value, first round and the one after the last of the stretch that stands out most."""
    own = ranks[None].astype(np.float32)
    found = [(float(sums.max()), start, int(sums.argmax())) for start, sums in _sums(own)]
    height, start, place = max(found, key=lambda one: one[0])
    null = _heights_by_chance(np.sort(ranks).tobytes(), seed, count)
    return float(_p_values(null, np.array(height))), start, start + LEAST + place


def _on_the_way(ranks: FloatArray, seed: int, count: int) -> int | None:
    """The round after which the alarm is raised."""
    null = _highest_by_chance(np.sort(ranks).tobytes(), seed, count)
    (seen,) = _so_far(ranks[None].astype(np.float32))
    alarms = np.flatnonzero(_p_values(null, seen) <= SIGNIFICANT)
    return int(alarms[0]) if len(alarms) else None


def _p_values(null: FloatArray, seen: FloatArray) -> FloatArray:
    """Share of ascending values that are as high, what was seen counted among them."""
    higher = len(null) - np.searchsorted(null, seen - ROUNDING)
    return np.asarray((1 + higher) / (1 + len(null)))


@lru_cache(maxsize=8)
def _heights_by_chance(ranks: bytes, seed: int, count: int) -> FloatArray:
    """Ascending: of orders of the ranks the sum of the stretch that stands out most."""
    heights = np.full(count, -np.inf)
    for _, sums in _sums(_orders(ranks, seed, count)):
        np.maximum(heights, sums.max(axis=1), out=heights)
    return np.sort(heights)


@lru_cache(maxsize=8)
def _highest_by_chance(ranks: bytes, seed: int, count: int) -> FloatArray:
    """Ascending: the highest that orders of the ranks get on the way."""
    return np.sort(_so_far(_orders(ranks, seed, count)).max(axis=1))


def _orders(ranks: bytes, seed: int, count: int) -> np.ndarray:
    values = np.frombuffer(ranks, dtype=np.float64).astype(np.float32)
    rng = np.random.Generator(np.random.PCG64(seed))
    return rng.permuted(np.tile(values, (count, 1)), axis=1)


def _sums(ranks: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Every start, and the standardised sums of [B, T] ranks without their line, by length."""
    rounds = ranks.shape[1]
    sums = np.pad(_without_line(ranks).cumsum(axis=1), ((0, 0), (1, 0)))
    for start in range(LEAST, rounds - LEAST + 1):
        ends = np.arange(start + LEAST, rounds + 1)
        yield (
            start,
            (sums[:, start + LEAST :] - sums[:, start : start + 1]) / _scale(start, ends, rounds),
        )


def _so_far(ranks: np.ndarray) -> np.ndarray:
    """Of [B, T] ranks, after each round, the highest sum of a stretch up to it."""
    found = np.full_like(ranks, -np.inf)
    for rounds in range(2 * LEAST, ranks.shape[1] + 1):
        left = _without_line(ranks[:, :rounds])
        deviation = left.std(axis=1, keepdims=True) + ROUNDING
        starts = np.arange(LEAST, rounds - 1)
        sums = -left.cumsum(axis=1)[:, starts - 1]  # all of them add up to 0
        scale = _scale(starts, np.full(len(starts), rounds), rounds)
        found[:, rounds - 1] = (sums / (scale * deviation)).max(axis=1)
    return found


def _without_line(ranks: np.ndarray) -> np.ndarray:
    """[B, T] without the straight line that fits each row best."""
    numbers = np.arange(ranks.shape[1], dtype=np.float32)
    numbers -= numbers.mean()
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    return centred - (centred @ numbers / (numbers @ numbers))[:, None] * numbers


def _scale(start: int | np.ndarray, end: np.ndarray, rounds: int) -> np.ndarray:
    """The norm of a stretch, as a vector over the rounds, without its line."""
    length = end - start
    off = length * ((start + end - 1) / 2 - (rounds - 1) / 2)
    left = length * (rounds - length) / rounds - 12 * off**2 / (rounds * (rounds**2 - 1))
    return np.asarray(np.sqrt(left), dtype=np.float32)
