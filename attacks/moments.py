"""A Gaussian likelihood ratio between sums with and without the property.

Where a model is trained, or a property changes a spread, the mean delta with the property is that
without it, and only second moments are left: variances, and how coordinates vary together, which no
view of single coordinates sees. Means and covariances of single shadows give those of every sum,

    without: k A,  with: B + (k - 1) A,  their means d = mean B - mean A apart,

for k contributors, A and B the covariances of a delta without and with the property. The likelihood
ratio of two Gaussians has a part that is linear in the sum, and one that is quadratic: the first
reads the direction of the sum, which the others' records may turn round, so each is a member of its
own. They are looked at in the first principal components, as a covariance of p of them needs many
more shadows than p; how many, and how much of the difference of the covariances is believed, is
chosen on stand-ins of records that the moments are not of.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from scipy.linalg import cho_solve, cholesky, eigh, solve_triangular
from torch import Tensor

from privaudit.attack.adversary import ShadowRound

from .simulation import StandIns
from .stacking import Fit, MemberScores, best_of, cross_fitted

COMPONENTS = (4, 8, 16, 32, 64, 128)
"""Numbers of principal components that are tried."""

BELIEVED = (0.5, 1.0)
"""Shares of the difference of the covariances that are tried."""

SHADOWS, ROWS = 2048, 512
"""About so many shadows of a kind are kept; principal components are those of so many of both."""

FLOOR, RIDGE = 0.1, 1e-3
"""Added to the spread of a coordinate, relative to the RMS spread; to a variance, to the mean."""


@dataclass(frozen=True, eq=False)
class _Round:
    """What is kept of a round: shadows of single clients, or stand-ins."""

    number: int
    shadow: ShadowRound
    stand_ins: StandIns


@dataclass(frozen=True, eq=False)
class Sums:
    """Centred and projected sums [n, p], and how many contributors each is of [n]."""

    rows: np.ndarray
    contributors: np.ndarray


class SecondMoments:
    """Gathers rounds, cut to some coordinates, and makes two members of them.

    All is centred on the mean over a window of rounds: single shadows on that of those without the
    property; what is seen, and stand-ins of a half, on their own, which lies half way between with
    and without. What scores the stand-ins of a half - moments, and the components they are taken in
    - is of the other half alone: directions in which either half's records with the property are
    apart from its others, by chance, are among the first components of both.

    Args:
        window: rounds over which parameters hardly move.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._shadows: list[_Round] = []
        self._sums: list[_Round] = []
        self._absent: list[Tensor] = []
        self._mixed: list[Tensor] = []
        self._seen: list[Tensor] = []
        self._contributors: list[int] = []

    def add(
        self, shadow: ShadowRound, stand_ins: StandIns, seen: Tensor, kept: Collection[int]
    ) -> None:
        """Take in a round: [n, D] each.

        Args:
            shadow: of single clients.
            stand_ins: target and bystanders of one half of the records.
            seen: [1, D].
            kept: rounds whose stand-ins are held on to.
        """
        one = _Round(len(self._seen), shadow, stand_ins)
        assert shadow.halves is not None
        self._absent.append(_means(shadow.absent, shadow.halves))
        self._mixed.append(_means(stand_ins.rows, stand_ins.halves))
        self._seen.append(seen[0])
        self._contributors.append(shadow.contributors)
        self._shadows.append(one)
        if len(self._shadows) > 2 and len(self._shadows) * len(shadow.present) > SHADOWS:
            self._shadows = self._shadows[::2]
        self._sums = [r for r in (*self._sums, one) if r.number in kept]

    def members(self) -> list[MemberScores]:
        """Scores of stand-ins in the order of rounds; none: shadows are too few, or never move."""
        counts = torch.tensor(self._contributors)
        absent = [windowed(rows, self._window) for rows in torch.stack(self._absent, 1)]
        mixed = [
            self._centres(rows, there, counts)
            for rows, there in zip(torch.stack(self._mixed, 1), absent, strict=True)
        ]
        both = (absent[0] + absent[1]) / 2
        learned = [self._learned((half,), centre) for half, centre in enumerate(absent)]
        learned.append(self._learned((0, 1), both))
        if any(one is None for one in learned):
            return []
        known = [one for one in learned if one is not None]
        of_half = np.concatenate([r.stand_ins.halves for r in self._sums])
        number = np.array([self._contributors[r.number] for r in self._sums])
        contributors = np.repeat(number, [len(r.stand_ins.present) for r in self._sums])
        centred = torch.cat(
            [
                r.stand_ins.rows - torch.stack([mixed[h][r.number] for h in r.stand_ins.halves])
                for r in self._sums
            ]
        )
        by_other = [
            Sums(
                (centred[of_half != half] @ known[half].axes).double().numpy(),
                contributors[of_half != half],
            )
            for half in (0, 1)
        ]
        seen = torch.stack(self._seen)
        seen = seen - self._centres(seen, both, counts)
        observed = Sums((seen @ known[2].axes).double().numpy(), counts.numpy())
        truth = np.concatenate([r.stand_ins.present for r in self._sums])
        return _members([one.moments for one in known], by_other, truth, of_half, observed)

    def _learned(self, halves: tuple[int, ...], absent: Tensor) -> _Learned | None:
        """From single shadows of these halves, centred on ``absent`` [T, D].

        None: none moves, or one shadow of a kind is all there is.
        """
        of_half = self._shadows[0].shadow.halves
        assert of_half is not None
        of = torch.from_numpy(np.flatnonzero(np.isin(of_half, halves)))
        present, none, others = (
            torch.cat([getattr(r.shadow, kind)[of] - absent[r.number] for r in self._shadows])
            for kind in ("present", "absent", "bystanders")
        )
        spread = none.square().mean(0).sqrt()
        spread += FLOOR * spread.square().mean().sqrt()
        if len(present) < 2 or not spread.any():
            return None
        spread += torch.finfo(torch.float32).tiny
        shown = torch.cat([present, none]) / spread
        axes = torch.from_numpy(principal(shown.numpy(), COMPONENTS[-1])).float()
        axes /= spread[:, None]
        same = self._shadows[0].shadow.bystanders is self._shadows[0].shadow.absent
        one, zero, rest = ((rows @ axes).double().numpy() for rows in (present, none, others))
        return _Learned(axes, _Moments.of(one, zero, None if same else rest))

    def _centres(self, sums: Tensor, absent: Tensor, contributors: Tensor) -> Tensor:
        """[T, D] what sums [T, D] vary around: a mean over rounds that are like each.

        What is seen of a few clients varies so much that the mean of a window hides it. As single
        shadows follow the parameters, all rounds can be taken, less what ``absent`` [T, D] says has
        changed; with more contributors than a round has shadows, that says less than a window.
        """
        if int(contributors.max()) > len(self._shadows[0].shadow.absent):
            return windowed(sums, self._window)
        expected = contributors[:, None] * absent
        return expected + (sums - expected).mean(0)


@dataclass(frozen=True, eq=False)
class _Moments:
    """Difference of the means [p], and covariances [p, p] of single deltas.

    ``bystanders`` is None where they are like those without the property.
    """

    shift: np.ndarray
    present: np.ndarray
    absent: np.ndarray
    bystanders: np.ndarray | None

    @classmethod
    def of(cls, present: np.ndarray, absent: np.ndarray, bystanders: np.ndarray | None) -> _Moments:
        return cls(
            present.mean(0) - absent.mean(0),
            np.atleast_2d(np.cov(present.T)),
            np.atleast_2d(np.cov(absent.T)),
            None if bystanders is None else np.atleast_2d(np.cov(bystanders.T)),
        )


@dataclass(frozen=True, eq=False)
class _Learned:
    """Principal axes [D, p], and moments along them."""

    axes: Tensor
    moments: _Moments


def _means(rows: Tensor, halves: np.ndarray) -> Tensor:
    """[2, D] mean of the rows [n, D] of either half."""
    return torch.stack([rows[torch.from_numpy(halves == half)].mean(0) for half in (0, 1)])


def windowed(means: Tensor, window: int) -> Tensor:
    """[T, D] running means over ``window`` rounds around each; at the ends the first, the last."""
    total = torch.cat([torch.zeros(1, means.shape[1]), means]).double().cumsum(0)
    stop = (torch.arange(len(means)) + window // 2).clamp(window, None).clamp(None, len(means))
    start = (stop - window).clamp(0)
    return ((total[stop] - total[start]) / (stop - start)[:, None]).float()


def principal(rows: np.ndarray, most: int) -> np.ndarray:
    """[D, p] directions in which the rows [n, D] vary most, p at most ``most``."""
    chosen = rows[:: max(1, len(rows) // ROWS)]
    small = chosen.shape[1] <= len(chosen)
    gram = ((chosen.T @ chosen if small else chosen @ chosen.T) / len(chosen)).astype(np.float64)
    values, vectors = eigh(gram, subset_by_index=(max(0, len(gram) - most), len(gram) - 1))
    kept = values > values[-1] * 1e-7
    values, vectors = values[kept][::-1].copy(), vectors[:, kept][:, ::-1].copy()
    vectors = vectors.astype(np.float32)
    found: np.ndarray = vectors if small else chosen.T @ vectors / np.sqrt(len(chosen) * values)
    return found


def _members(
    moments: list[_Moments],
    by_other: list[Sums],
    present: np.ndarray,
    halves: np.ndarray,
    seen: Sums,
) -> list[MemberScores]:
    """Either part, by the best of all numbers of components and beliefs.

    Args:
        moments: of half 0, of half 1, of both.
        by_other: stand-ins of half 1 along the axes of half 0, and the other way round.
        present: [n] bool, the truth about all stand-ins.
        halves: [n] 0 or 1.
        seen: along the axes of both.
    """
    densities = cache(lambda number, *way: densities_of(moments[number], *way))

    def ratios(part: Part, number: int, sums: Sums, count: int, belief: float) -> np.ndarray:
        """[n] by the moments of that number."""
        found = np.zeros(len(sums.rows))
        for contributors in np.unique(sums.contributors):
            of = sums.contributors == contributors
            known = densities(number, int(contributors), count, belief)
            found[of] = part(sums.rows[of, :count], known)
        return found

    found = []
    width = min(m.shift.size for m in moments)
    counts = sorted({min(p, width) for p in COMPONENTS}, reverse=True)
    ways = [(count, belief) for count in counts for belief in BELIEVED]
    for part in (by_mean, by_spread):

        def fit(way: tuple[int, float]) -> Fit:
            def one(train: np.ndarray, _test: np.ndarray) -> np.ndarray:
                half = int(halves[train[0]])
                return ratios(part, half, by_other[half], *way)  # noqa: B023

            return one

        best, held_out = best_of([cross_fitted(fit(w), halves) for w in ways], present, halves)
        observed = ratios(part, -1, seen, *ways[best])
        found.append(held_out.with_observed(observed, signed=part is by_mean))
    return found


@dataclass(frozen=True, eq=False)
class _Densities:
    """Half the difference of the means [p], and Cholesky factors [p, p] with and without."""

    shift: np.ndarray
    present: np.ndarray
    absent: np.ndarray


Part = Callable[[np.ndarray, _Densities], np.ndarray]
"""Of the log likelihood ratios of rows [n, p], what is linear in them, or the rest: [n]."""


def densities_of(moments: _Moments, contributors: int, count: int, belief: float) -> _Densities:
    """Of a sum of so many deltas; the ridge keeps covariances from being singular."""
    one, zero = moments.present[:count, :count], moments.absent[:count, :count]
    mean = (one + zero) / 2
    ridge = RIDGE * np.trace(mean) / count * np.eye(count)
    gap = belief / 2 * (one - zero)
    with_it, without = mean + gap + ridge, mean - gap + ridge
    others = without if moments.bystanders is None else moments.bystanders[:count, :count] + ridge
    rest = (contributors - 1) * others
    return _Densities(
        moments.shift[:count] / 2,
        cholesky(with_it + rest, lower=True),
        cholesky(without + rest, lower=True),
    )


def by_mean(rows: np.ndarray, of: _Densities) -> np.ndarray:
    """[n] what is linear in the rows [n, p] of the log likelihood ratio."""
    weights = cho_solve((of.present, True), of.shift) + cho_solve((of.absent, True), of.shift)
    found: np.ndarray = rows @ weights
    return found


def by_spread(rows: np.ndarray, of: _Densities) -> np.ndarray:
    """[n] the rest of it."""
    return _cost(rows, of.absent, of.shift) - _cost(rows, of.present, of.shift)


def _cost(rows: np.ndarray, factor: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """[n] minus the log density at each row, but for a constant, less what is linear in it."""
    squares = np.square(solve_triangular(factor, rows.T, lower=True)).sum(0)
    off = np.square(solve_triangular(factor, shift, lower=True)).sum()
    found: np.ndarray = 0.5 * (squares + off) + np.log(np.diag(factor)).sum()
    return found
