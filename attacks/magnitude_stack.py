"""The project's own attack: magnitudes, signs, structure and moments, weighed by cross-validation.

The method, what was tried and what it reached: docs/attacks.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from privaudit.attack.adversary import ShadowRound
from privaudit.attack.protocol import Attack
from privaudit.engine.layout import Layout
from privaudit.observation.views import Observation
from privaudit.options import Options
from privaudit.randomness import Seed

from .coordinates import moving, thinned
from .direction import Direction, of_one_size
from .magnitudes import coarse_magnitude, magnitude, signed_root, structure
from .moments import SecondMoments
from .peaks import BLIND, Forest, Peaks
from .simulation import Simulator, StandIns
from .stacking import (
    MemberScores,
    combine,
    cross_fitted_ridge,
    ridge,
    with_share,
)

VIEWS = (magnitude, coarse_magnitude, signed_root)
"""Views of single coordinates, each with a ridge regression of its own."""

LARGE, HUGE = 1 << 18, 1 << 23
"""Of a larger model a part of about this size is looked at: where bystanders have to be kept, and
where the target is alone."""

BLOCK = 2048
"""Coordinates that are viewed at a time."""

SAMPLE = 8
"""The common spread of coordinates is that of every eighth of them."""

FEW = 2048
"""Coordinates of which second moments are taken."""

View = Callable[[Tensor, Tensor], Tensor]
"""A view of some coordinates [n, B] of vectors, given the vectors' RMS [n, 1]."""


class StackOptions(Options):
    """Options of ``magnitude-stack``."""

    per_round: int = Field(8, ge=2, description="pairs of stand-ins per round, at least 2")
    window: int = Field(16, ge=1, description="rounds whose bystanders are mixed, at least 1")
    coordinates: int = Field(
        12288,
        ge=1,
        description="at most so many coordinates, drawn once, enter the ridge regressions, at "
        "least 1",
    )
    rows: int = Field(
        1024, ge=64, description="about so many stand-ins are kept over all rounds, at least 64"
    )
    tested: int = Field(
        1024,
        ge=64,
        description="about so many more, target and bystanders of one half of the records, weigh "
        "the members, at least 64",
    )
    trees: int = Field(50, ge=1, description="number of trees, at least 1")
    share: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="share of the rounds known to hold the property, in (0, 1); 0 = not known",
    )


class MagnitudeStack(Attack):
    """Ridge regressions on magnitudes and signs, a forest on rows and columns, stacked.

    ``share`` is one in two of ``single-batch`` inference. Where the adversary does not know it,
    odds are as good as the stand-ins. It is not used where the property is there in all rounds or
    in none.
    """

    name = "magnitude-stack"
    source = (
        "own: stacked ridge regressions on |delta|^0.05, log |delta|, signed roots; forest on rows"
    )
    Options = StackOptions
    options: StackOptions

    def __init__(self, *, seed: Seed, **options: Any) -> None:
        super().__init__(seed=seed, **options)
        self._simulator = Simulator(self.options.per_round, self.options.window)
        self._part: Tensor | None = None
        self._chosen: Tensor | None = None
        self._few: Tensor | None = None
        self._layout = Layout(())
        self._persistent = False
        self._split, self._draws = True, math.inf
        self._learned: list[_Kept] = []
        self._tested: list[_Kept] = []
        self._observed: list[_Seen] = []
        self._moments: SecondMoments | None = None
        self._peaks: Peaks | None = None
        self._direction: Direction | None = None

    def partial_fit(self, observation: Observation, shadow: ShadowRound, layout: Layout) -> Self:
        """Keep the chosen coordinates and the structure of the observation and its stand-ins."""
        if self._chosen is None:
            rng = self.seed.generator("coordinates")
            limit = LARGE if shadow.contributors > 1 else HUGE
            self._part, self._layout = thinned(layout, limit, rng)
        if self._part is not None:
            observation, shadow = _part_of(observation, shadow, self._part)
        if self._chosen is None:
            shown = torch.cat([shadow.present, shadow.absent])
            self._chosen = moving(shown, self.options.coordinates, rng)
            self._peaks = Peaks(
                self._layout, shown, self.options.rows, self.seed.generator("peaks")
            )
            if shadow.halves is not None and not shadow.persistent:
                self._few = moving(shown, FEW, rng)
                self._moments = SecondMoments(self.options.window)
            if of_one_size(shown):
                self._direction = Direction(self.options.rows, self.seed.child("direction"))
        self._persistent, self._split = shadow.persistent, shadow.halves is not None
        self._draws = shadow.draws
        self._simulator.add(observation, shadow)
        while self._simulator.ready():
            self._keep_next()
        return self

    def score(self) -> np.ndarray:
        """[T] log odds that the property is present.

        Where it is there in all rounds or in none, a score whose sum over a run can be set beside
        those of other runs: its zero and its scale say nothing of how sure one may be.
        """
        while self._simulator:
            self._keep_next()
        tested = self._tested or self._learned
        present = np.concatenate([s.present for s in tested])
        halves = np.concatenate([s.halves for s in tested])
        members = self._members(present, halves)
        if self._moments is not None:
            members += self._moments.members()
        if self._direction is not None:
            members.append(self._direction.member(present, halves))
        odds = combine(
            members,
            present,
            comparable=self._persistent,
            tested=self._split,
            draws=self._draws,
        )
        if not self.options.share or self._persistent:
            return odds
        return with_share(odds, self.options.share)

    def _members(self, present: np.ndarray, halves: np.ndarray) -> list[MemberScores]:
        """One for each way to look: learned from all stand-ins, and scores of those held out.

        Args:
            present: [n] bool, the truth about the stand-ins that are held out in turn.
            halves: [n] 0 or 1.
        """
        truth = np.concatenate([s.present for s in self._learned])
        members = []
        for key, views in (("values", VIEWS), ("shape", (_as_it_is,))):
            learned, tested = (
                torch.cat([getattr(s.seen, key) for s in kept])
                for kept in (self._learned, self._tested or self._learned)
            )
            seen = torch.cat([getattr(s, key) for s in self._observed])
            for view in views:
                kernel, cross = _kernels(learned, seen, view)
                held = _kernels(tested, seen[:0], view)[0] if self._tested else kernel
                strength, scores = cross_fitted_ridge(held, present, halves)
                observed = ridge(kernel, cross, truth, strength)
                members.append(scores.with_observed(observed, signed=view is signed_root))

        forest = Forest(self.options.trees, self.seed)
        rows = tested.numpy()
        held_out = (rows, present, halves)
        members.append(forest.member((learned.numpy(), truth), held_out, seen.numpy(), blind=BLIND))
        assert self._peaks is not None
        return [*members, self._peaks.member(forest, present, halves)]

    def _keep_next(self) -> None:
        number = len(self._observed)
        simulated = self._simulator.next(self.seed.generator("stand-ins", number))
        self._observed.append(self._seen(simulated.observed))
        self._learned = self._with(self._learned, number, simulated.learned, self.options.rows)
        if simulated.tested is not None:
            self._tested = self._with(self._tested, number, simulated.tested, self.options.tested)
        assert self._peaks is not None
        tested = simulated.tested or simulated.learned
        kept = {s.round for s in self._tested or self._learned}
        self._peaks.add(
            simulated.shadow, tested, simulated.observed, kept, self.seed.generator("sums", number)
        )
        if self._direction is not None:
            self._direction.add(
                simulated.shadow,
                (tested, simulated.learned),
                simulated.observed,
                kept,
                self.seed.generator("direction", number),
            )
        if self._moments is not None and self._few is not None:
            few = self._few
            self._moments.add(
                simulated.shadow.seen_through(lambda rows: rows[:, few]),
                replace(tested, rows=tested.rows[:, few]),
                simulated.observed[:, few],
                kept,
            )

    def _with(self, kept: list[_Kept], number: int, more: StandIns, limit: int) -> list[_Kept]:
        """With a round's stand-ins; without every second pair of rounds once there are many."""
        kept = [*kept, _Kept(number, self._seen(more.rows), more.present, more.halves)]
        if sum(len(s.present) for s in kept) > limit:
            pairs = sorted({s.round // 2 for s in kept})
            left = set(pairs[::2]) | {pairs[-1]}
            kept = [s for s in kept if s.round // 2 in left]
        return kept

    def _seen(self, vectors: Tensor) -> _Seen:
        assert self._chosen is not None
        # Half the bytes: orders of magnitude need the exponent, hardly the digits.
        return _Seen(vectors[:, self._chosen].bfloat16(), structure(vectors, self._layout).half())


@dataclass(frozen=True, eq=False)
class _Seen:
    """What is kept of n vectors: chosen coordinates [n, D] and structure [n, F]."""

    values: Tensor
    shape: Tensor


KEPT = ("values", "shape")


@dataclass(frozen=True, eq=False)
class _Kept:
    """Stand-ins of the ``round``-th observation, and the truth about them [n]."""

    round: int
    seen: _Seen
    present: np.ndarray
    halves: np.ndarray


def _part_of(
    observation: Observation, shadow: ShadowRound, part: Tensor
) -> tuple[Observation, ShadowRound]:
    """Both with the coordinates ``part`` only; the round's parameters afterwards are left out."""
    clients = {client: delta[part] for client, delta in observation.client_deltas.items()}
    return (
        replace(
            observation,
            before=observation.before[part],
            global_delta=observation.global_delta[part],
            own_delta=observation.own_delta[part],
            client_deltas=clients,
            step=None,
            arrived=None,
        ),
        shadow.seen_through(lambda deltas: deltas[:, part]),
    )


def _kernels(train: Tensor, observed: Tensor, view: View) -> tuple[np.ndarray, np.ndarray]:
    """[n, n] and [T, n] inner products of a view of the columns, scaled to a common spread.

    A feature that hardly varies is not blown up: a tenth of the RMS spread is added to its own.
    Columns are taken in blocks; nothing of the size of all stand-ins is made.
    """
    sizes = [_row_rms(rows) for rows in (train, observed)]
    sample = view(train[:, ::SAMPLE].float(), sizes[0])
    floor = 0.1 * float(sample.var(0).mean().sqrt()) + torch.finfo(torch.float32).tiny
    inner = np.zeros((len(train), len(train)), np.float32)
    cross = np.zeros((len(observed), len(train)), np.float32)
    for start in range(0, train.shape[1], BLOCK):
        known, seen = (
            view(rows[:, start : start + BLOCK].float(), size)
            for rows, size in zip((train, observed), sizes, strict=True)
        )
        mean = known.mean(0)
        known -= mean
        spread = known.square().mean(0).sqrt_().add_(floor)
        known /= spread
        block = known.numpy()
        inner += block @ block.T  # numpy sees that this is symmetric: half the work
        cross += seen.sub_(mean).div_(spread).numpy() @ block.T
    size = train.shape[1]
    return inner.astype(np.float64) / size, cross.astype(np.float64) / size


def _row_rms(rows: Tensor) -> Tensor:
    """[n, 1] root mean square of each row."""
    means = [part.float().square().mean(1, keepdim=True) for part in rows.split(64)]
    return torch.cat(means).sqrt_()


def _as_it_is(vectors: Tensor, _rms: Tensor) -> Tensor:
    return vectors
