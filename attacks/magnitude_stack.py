"""The project's own attack: orders of magnitude, signs and structure, weighed by cross-validation.

The method, what was tried and what it reached: docs/attacks.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from scipy.special import expit
from sklearn.ensemble import ExtraTreesClassifier
from torch import Tensor

from attacks.magnitudes import coarse_magnitude, magnitude, signed_root, structure
from attacks.simulation import Simulator
from attacks.stacking import MemberScores, combine, cross_fitted, kernel_ridge, with_share
from privaudit.attack.adversary import ShadowRound
from privaudit.attack.protocol import Attack, check_whole_number
from privaudit.engine.layout import Layout
from privaudit.observation.views import Observation
from privaudit.randomness import Seed

VIEWS = (magnitude, coarse_magnitude, signed_root)
"""Views of single coordinates, each with a ridge regression of its own."""

BLOCK = 2048
"""Coordinates that are viewed at a time."""

View = Callable[[Tensor, Tensor], Tensor]
"""A view of some coordinates [n, B] of vectors, given the vectors' RMS [n, 1]."""


class MagnitudeStack(Attack):
    """Ridge regressions on magnitudes and signs, a forest on rows and columns, stacked.

    Args:
        seed: stream of the stand-ins, the coordinates and the forest.
        per_round: stand-ins of each kind per round, at least 2.
        window: rounds whose bystanders are mixed, at least 1.
        coordinates: at most so many coordinates, drawn once, enter the ridge regressions.
        rows: about so many stand-ins are kept over all rounds, at least 64.
        trees: number of trees.
        share: share of the rounds that the adversary knows to hold the property, in (0, 1): one in
            two of ``single-batch`` inference. None where it does not know; then odds are as good
            as the stand-ins. Not used where the property is there in all rounds or in none.
    """

    name = "magnitude-stack"
    source = (
        "own: stacked ridge regressions on |delta|^0.05, log |delta|, signed roots; forest on rows"
    )

    def __init__(
        self,
        *,
        seed: Seed,
        per_round: int = 8,
        window: int = 16,
        coordinates: int = 32768,
        rows: int = 1536,
        trees: int = 100,
        share: float | None = 0.5,
    ) -> None:
        super().__init__(seed=seed)
        check_whole_number("per_round", per_round, at_least=2)
        check_whole_number("window", window, at_least=1)
        check_whole_number("coordinates", coordinates, at_least=1)
        check_whole_number("rows", rows, at_least=64)
        check_whole_number("trees", trees, at_least=1)
        if share is not None and not (isinstance(share, float) and 0.0 < share < 1.0):
            raise ValueError(f"share must be in (0, 1) or null, got {share!r}")
        self.coordinates, self.rows, self.trees = coordinates, rows, trees
        self.share = share
        self._simulator = Simulator(per_round, window)
        self._chosen: Tensor | None = None
        self._layout = Layout(())
        self._persistent = False
        self._stand_ins: list[_StandIns] = []
        self._observed: list[Tensor] = []

    def partial_fit(self, observation: Observation, shadow: ShadowRound, layout: Layout) -> Self:
        """Keep the chosen coordinates and the structure of the observation and its stand-ins."""
        if self._chosen is None:
            self._chosen = self._choose(layout)
            self._layout = layout
        self._persistent = shadow.persistent
        self._simulator.add(observation, shadow)
        while self._simulator.ready():
            self._keep_next()
        return self

    def score(self) -> np.ndarray:
        """[T] log odds that the property is present."""
        while self._simulator:
            self._keep_next()
        present = np.concatenate([s.present for s in self._stand_ins])
        halves = np.concatenate([s.halves for s in self._stand_ins])
        stand_ins, observed = [s.rows for s in self._stand_ins], self._observed
        assert self._chosen is not None
        count, width = len(self._chosen), observed[0].shape[1]
        members = []
        for view in VIEWS:
            kernels = _kernels(stand_ins, observed, (0, count), view)
            members.append(kernel_ridge(*kernels, present, halves))
        shape, seen_shape = (_columns(rows, count, width).numpy() for rows in (stand_ins, observed))
        members.append(self._forest(shape, seen_shape, present, halves))
        kernels = _kernels(stand_ins, observed, (count, width), _as_it_is)
        members.append(kernel_ridge(*kernels, present, halves))
        odds = combine(members, present)
        if self.share is None or self._persistent:
            return odds
        return with_share(odds, self.share)

    def probability(self) -> np.ndarray:
        """[T] probability that the property is present."""
        probability: np.ndarray = expit(self.score())
        return probability

    def _keep_next(self) -> None:
        assert self._chosen is not None
        number = len(self._observed)
        rng = self.seed.generator("stand-ins", number)
        simulated = self._simulator.next(rng, self._view)
        self._stand_ins.append(
            _StandIns(number, simulated.stand_ins, simulated.present, simulated.halves)
        )
        self._observed.append(simulated.observed)
        self._thin()

    def _view(self, vectors: Tensor) -> Tensor:
        """[n, D + F] the chosen coordinates, then the structure."""
        assert self._chosen is not None
        return torch.cat([vectors[:, self._chosen], structure(vectors, self._layout)], dim=1)

    def _choose(self, layout: Layout) -> Tensor:
        """Sorted indices of the coordinates that are looked at."""
        if layout.size <= self.coordinates:
            return torch.arange(layout.size)
        rng = self.seed.generator("coordinates")
        chosen = rng.choice(layout.size, self.coordinates, replace=False)
        return torch.from_numpy(np.sort(chosen))

    def _thin(self) -> None:
        """Drop every second pair of rounds of stand-ins once there are more than asked for."""
        if sum(len(s.present) for s in self._stand_ins) > self.rows:
            pairs = sorted({s.round // 2 for s in self._stand_ins})
            kept = set(pairs[::2]) | {pairs[-1]}
            self._stand_ins = [s for s in self._stand_ins if s.round // 2 in kept]

    def _forest(
        self, train: np.ndarray, observed: np.ndarray, present: np.ndarray, halves: np.ndarray
    ) -> MemberScores:
        """Extremely randomised trees (P. Geurts, D. Ernst and L. Wehenkel, Mach. Learn. 2006)."""

        def fit(rows: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            forest = ExtraTreesClassifier(
                n_estimators=self.trees,
                min_samples_leaf=2,
                random_state=self.seed.child("forest", int(rows[0])).integer() % 2**32,
            )
            forest.fit(train[rows], present[rows])
            both = forest.predict_proba(np.concatenate([train[test], observed]))[:, 1]
            return both[: len(test)], both[len(test) :]

        return cross_fitted(fit, present, halves)


@dataclass(frozen=True)
class _StandIns:
    """Stand-ins of the ``round``-th observation: rows [n, D + F], and the truth about them [n]."""

    round: int
    rows: Tensor
    present: np.ndarray
    halves: np.ndarray


def _kernels(
    train: list[Tensor], observed: list[Tensor], columns: tuple[int, int], view: View
) -> tuple[np.ndarray, np.ndarray]:
    """[n, n] and [T, n] inner products of a view of some columns, scaled to a common spread.

    A feature that hardly varies is not blown up: a tenth of the RMS spread is added to its own.
    Columns are taken in blocks; nothing of the size of all stand-ins is made.
    """
    start, stop = columns
    blocks = [(at, min(at + BLOCK, stop)) for at in range(start, stop, BLOCK)]
    sizes = [_row_rms(rows, start, stop) for rows in (train, observed)]
    square = 0.0
    for block in blocks:
        square += float(_centred(view(_columns(train, *block), sizes[0]))[1].square().sum())
    floor = 0.1 * (square / (stop - start)) ** 0.5 + torch.finfo(torch.float32).tiny
    inner = torch.zeros(len(sizes[0]), len(sizes[0]))
    cross = torch.zeros(len(sizes[1]), len(sizes[0]))
    for block in blocks:
        known, seen = (
            view(_columns(rows, *block), size)
            for rows, size in zip((train, observed), sizes, strict=True)
        )
        mean, spread = _centred(known)
        spread += floor
        known.div_(spread)
        seen.sub_(mean).div_(spread)
        inner.addmm_(known, known.T)
        cross.addmm_(seen, known.T)
    size = stop - start
    return (inner / size).double().numpy(), (cross / size).double().numpy()


def _centred(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation [B] of columns, which are centred in place."""
    mean = rows.mean(0)
    rows.sub_(mean)
    return mean, rows.square().sum(0).div_(len(rows) - 1).sqrt_()


def _columns(rows: list[Tensor], start: int, stop: int) -> Tensor:
    """[n, stop - start] a copy of some columns of all rows."""
    return torch.cat([r[:, start:stop] for r in rows])


def _row_rms(rows: list[Tensor], start: int, stop: int) -> Tensor:
    """[n, 1] root mean square of each row."""
    return torch.cat([r[:, start:stop].square().mean(1, keepdim=True) for r in rows]).sqrt_()


def _as_it_is(vectors: Tensor, _rms: Tensor) -> Tensor:
    return vectors
