"""Labelled stand-ins for what the adversary sees.

A stand-in is a sum of shadows: one target, with or without the property, and bystanders. The
bystanders come from a window of rounds around the observed one, as the parameters move little
between rounds and the sums must differ in more than their target. The targets of two stand-ins of
different halves share no record.

Their bystanders do: those that are learned from have bystanders of either half, which are as many
different ones as there are. What is learned on one half and scored on the other has then met the
other's bystanders, and looks better than it is. So there is a second, smaller set to weigh members
by, in which target and bystanders are of one half.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from privaudit.attack.adversary import ShadowRound
from privaudit.observation.views import Observation

ROUNDINGS = 8
"""What is left of a coordinate after subtraction may be so many roundings of its terms."""

CACHE = 1 << 16
"""Coordinates of which rounding is taken off together."""

BANK_BYTES = 1 << 26
"""Bystanders of a window are kept up to this size; with large models the window is shorter."""


@dataclass(frozen=True, eq=False)
class StandIns:
    """Stand-ins [n, P] of one round, their labels and halves [n]."""

    rows: Tensor
    present: np.ndarray
    halves: np.ndarray


@dataclass(frozen=True, eq=False)
class Simulated:
    """One round.

    Attributes:
        observed: [1, P] what was seen.
        learned: stand-ins to learn from.
        tested: those all of whose records are of one half; None where they are the same (one
            contributor), or the records were not split.
        shadow: what they are made of.
    """

    observed: Tensor
    learned: StandIns
    tested: StandIns | None
    shadow: ShadowRound


class Simulator:
    """Makes stand-ins round by round, half a window late, so that a window lies around its round.

    Stand-ins come in pairs, one with and one without the property, with the same bystanders: what
    the members of a pair differ in is the property, however many bystanders are in the sum.

    Args:
        per_round: pairs of stand-ins per round, at least 2.
        window: rounds whose bystanders are mixed, at least 1.
        tested: pairs per round of which all records are of one half, at least 2.
    """

    def __init__(self, per_round: int, window: int, tested: int = 4) -> None:
        self.per_round, self.tested = per_round, tested
        self._bank = _Bank(window)
        self._pending: deque[tuple[Observation, ShadowRound]] = deque()

    def add(self, observation: Observation, shadow: ShadowRound) -> None:
        """Take in a round."""
        self._pending.append((observation, shadow))
        if shadow.contributors > 1:
            self._bank.add(observation, shadow)

    def ready(self) -> bool:
        """Whether the oldest round not yet simulated has its window around it."""
        if not self._pending:
            return False
        return len(self._pending) > self._bank.window // 2 or self._pending[0][1].contributors == 1

    def __bool__(self) -> bool:
        """Whether a round is not yet simulated."""
        return bool(self._pending)

    def next(self, rng: np.random.Generator) -> Simulated:
        """Simulate the oldest round; half of its stand-ins have the property."""
        observation, shadow = self._pending.popleft()
        # Where the property stays, the mean of what was seen is what gives it away.
        aligned = shadow.contributors > 1 and not shadow.persistent
        offset = self._bank.offset(shadow.contributors) if aligned else None
        learned = self._made(observation, shadow, self.per_round, offset, rng, apart=False)
        tested = None
        if shadow.contributors > 1 and shadow.halves is not None:
            tested = self._made(observation, shadow, self.tested, offset, rng, apart=True)
        observed = resolved(observation, observation.signal.unsqueeze(0))
        return Simulated(observed, learned, tested, shadow)

    def _made(
        self,
        observation: Observation,
        shadow: ShadowRound,
        pairs: int,
        offset: Tensor | None,
        rng: np.random.Generator,
        *,
        apart: bool,
    ) -> StandIns:
        """Pairs of stand-ins; ``apart``: their bystanders are of their target's half."""
        halves = halves_of(shadow)
        chosen = [_choose(halves, pairs, rng) for _ in ("present", "absent")]
        count = len(chosen[0])
        sums = torch.empty(2 * count, shadow.present.shape[1])
        for half, deltas, rows in zip(
            (sums[:count], sums[count:]), (shadow.present, shadow.absent), chosen, strict=True
        ):
            torch.index_select(deltas, 0, torch.from_numpy(rows), out=half)
        if shadow.contributors > 1:
            taken = chosen[1] if shadow.bystanders is shadow.absent else None
            others = self._bank.sums(
                shadow.contributors - 1,
                observation.round,
                [None] * count if taken is None else list(taken),
                (halves, halves[chosen[0]]) if apart else None,
                rng,
            )
            sums[:count] += others
            sums[count:] += others
            if offset is not None:
                align(sums, offset)
        return StandIns(
            resolved(observation, sums),
            np.arange(len(sums)) < count,
            halves[np.concatenate(chosen)],
        )


def _choose(halves: np.ndarray, pairs: int, rng: np.random.Generator) -> np.ndarray:
    """[n] numbers of the targets of one kind, as many of either half, halves in order."""
    names = np.unique(halves)
    count = max(1, pairs // len(names))
    pools = [rng.permutation(np.flatnonzero(halves == half)) for half in names]
    return np.concatenate([np.resize(pool, count) for pool in pools])


class _Bank:
    """The bystanders of the last ``window`` rounds, and what was seen in them."""

    def __init__(self, window: int) -> None:
        self.window = window
        self._numbers: deque[int] = deque()
        self._seen: deque[Tensor] = deque()
        self._pool = torch.zeros(0)
        self._at = 0

    def add(self, observation: Observation, shadow: ShadowRound) -> None:
        """Take in a round; the oldest goes where the window is full."""
        new = shadow.bystanders
        if not self._pool.numel():
            self.window = max(1, min(self.window, BANK_BYTES // new.nbytes))
            self._numbers, self._seen = (deque(maxlen=self.window) for _ in range(2))
            self._pool = torch.zeros(self.window, *new.shape)
        self._pool[self._at] = new
        self._at = (self._at + 1) % self.window
        self._numbers.append(observation.round)
        self._seen.append(observation.signal)

    def sums(
        self,
        count: int,
        number: int,
        taken: list[int | None],
        halves: tuple[np.ndarray, np.ndarray] | None,
        rng: np.random.Generator,
    ) -> Tensor:
        """[rows, P] sums of ``count`` bystanders each.

        Args:
            count: how many are added up.
            number: the round that the sums are of.
            taken: for each row, the bystander of that round that is not in it.
            halves: of a round's bystanders, and the one that each row takes its own of; None: any.
            rng: which ones.
        """
        pool, size = self._rows(), self._pool.shape[1]
        of_round = np.zeros(len(pool), bool)
        if number in self._numbers:
            places = [(self._at - len(self._numbers) + i) % self.window for i in range(self.window)]
            place = places[self._numbers.index(number)] * size
            of_round[place : place + size] = True
        weights = np.zeros((len(taken), len(pool)), np.float32)
        within = np.arange(len(pool)) % size
        for row, (weight, without) in enumerate(zip(weights, taken, strict=True)):
            free = np.ones(len(pool), bool)
            if halves is not None:
                free = halves[0][within] == halves[1][row]
            others = free if without is None else free & ~(of_round & (within == without))
            names = np.flatnonzero(others if others.any() else free)
            np.add.at(weight, rng.choice(names, count, replace=count > len(names)), 1.0)
        return torch.from_numpy(weights) @ pool

    def offset(self, contributors: int) -> Tensor:
        """[P] mean of what was seen, less that of as many own records' sums."""
        seen = torch.stack(list(self._seen)).mean(0)
        return seen.sub_(self._rows().mean(0), alpha=contributors)

    def _rows(self) -> Tensor:
        """[m, P] the bystanders of all rounds."""
        return self._pool[: len(self._numbers)].flatten(0, 1)


def align(sums: Tensor, offset: Tensor) -> None:
    """Turn the mean of the own records in ``sums`` [n, P] into that of what was seen; in place.

    The mean gradient of a few thousand records of one's own is not that of everybody's: over
    K - 1 contributors the difference adds up, while noise only grows with the root. Zeros stay
    zeros, so where sums are often zero the others take the whole shift, up to fourfold.
    """
    moved = (sums != 0).float()
    sums += moved.mul_(offset / moved.mean(0).clamp_min_(0.25))


def resolved(observation: Observation, signals: Tensor) -> Tensor:
    """``signals`` [n, P], in place, with zeros where nothing but rounding is left of them.

    The adversary subtracts its own delta from an average in single precision: where no other client
    moved a coordinate, what remains depends on how the server adds up. The same rule for what was
    seen and for stand-ins makes the two comparable.
    """
    if observation.target is None and observation.own_weight > 0.0:
        # |signal| <= rounding (|signal| + |known|), solved for the signal
        rounding = ROUNDINGS * observation.precision
        lost = observation.known * (rounding / (1 - rounding))
        for start in range(0, signals.shape[1], CACHE):  # so many at a time stay in the cache
            least = lost[start : start + CACHE]
            for signal in signals[:, start : start + CACHE]:
                signal.mul_(signal.abs().gt_(least))
    return signals


def halves_of(shadow: ShadowRound) -> np.ndarray:
    """[n] half of each shadow; in turn where the records were not split."""
    if shadow.halves is not None:
        return shadow.halves
    return np.arange(len(shadow.present)) % 2
