"""Did a property appear on the way, and when? A change in the scores of one federation.

Everything here sees scores alone. Where nothing changed, every order of the rounds is as likely
(scores that drift break that: docs/statistics.md), so ranks are permuted, and all is exact:

- *afterwards*: the stretch of rounds whose scores stand out most, by the standardised sum of their
  ranks (circular binary segmentation, A. B. Olshen et al., Biostatistics 5, 2004); its p-value is
  that of the largest such sum over all stretches;
- *on the way*: after each round the largest standardised Mann-Whitney statistic over all ways to
  cut the rounds so far in two (D. M. Hawkins and Q. Deng, Journal of Quality Technology 42, 2010);
  an alarm is raised where it gets higher than it ever does, up to the last round, in 95 % of
  orders.
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
    ranks = (rankdata(scores) - (rounds + 1) / 2).astype(np.float32)
    by_chance = _by_chance(np.sort(ranks).tobytes(), seed, n_permutations)
    found = [(float(sums.max()), start, int(sums.argmax())) for start, sums in _sums(ranks[None])]
    height, start, place = max(found, key=lambda one: one[0])
    heights = np.array([height]), _cuts(ranks[None])[0]
    p_value, p_values = (
        (1 + len(null) - np.searchsorted(null, seen - ROUNDING)) / (1 + len(null))
        for null, seen in zip(by_chance, heights, strict=True)
    )
    alarms = np.flatnonzero(p_values <= SIGNIFICANT)
    alarm = int(alarms[0]) if len(alarms) else None
    return Appearance(float(p_value[0]), start, start + LEAST + place, alarm)


@lru_cache(maxsize=8)
def _by_chance(ranks: bytes, seed: int, count: int) -> tuple[FloatArray, FloatArray]:
    """Of orders of the ranks, ascending: the highest stretch, and the highest cut on the way."""
    values = np.frombuffer(ranks, dtype=np.float32)
    rng = np.random.Generator(np.random.PCG64(seed))
    orders = rng.permuted(np.tile(values, (count, 1)), axis=1)
    heights = np.full(count, -np.inf)
    for _, sums in _sums(orders):
        np.maximum(heights, sums.max(axis=1), out=heights)
    return np.sort(heights), np.sort(_cuts(orders).max(axis=1))


def _sums(ranks: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Every start, and the standardised sums of [B, T] centred ranks from it on, by length."""
    rounds = ranks.shape[1]
    sums = np.pad(ranks.cumsum(axis=1), ((0, 0), (1, 0)))
    for start in range(LEAST, rounds - LEAST + 1):
        lengths = np.arange(LEAST, rounds - start + 1)
        scale = np.sqrt(lengths * (rounds - lengths)).astype(np.float32)
        yield start, (sums[:, start + LEAST :] - sums[:, start : start + 1]) / scale


def _cuts(ranks: np.ndarray) -> np.ndarray:
    """Of [B, T] ranks, after each round, the largest Mann-Whitney statistic over all cuts."""
    wins = np.zeros_like(ranks)  # by number of rounds before the cut, from 1
    found = np.full_like(ranks, -np.inf)
    for last in range(1, ranks.shape[1]):
        wins[:, :last] += np.sign(ranks[:, last : last + 1] - ranks[:, :last]).cumsum(axis=1)
        before = np.arange(1, last + 1)
        deviation = np.sqrt(before * (last + 1 - before) * (last + 2) / 3).astype(np.float32)
        found[:, last] = (wins[:, :last] / deviation).max(axis=1)
    return found
