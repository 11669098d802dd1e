"""Labelled stand-ins for what the adversary sees.

A stand-in is a sum of shadows: one target, with or without the property, and bystanders. The
bystanders come from a window of rounds around the observed one, as the parameters move little
between rounds and the sums must differ in more than their target. The targets of two stand-ins of
different halves share no record.
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

BANK_BYTES = 1 << 26
"""Bystanders of a window are kept up to this size; with large models the window is shorter."""


@dataclass(frozen=True, eq=False)
class Simulated:
    """One round: what was seen [1, P], stand-ins [n, P], their labels and halves [n]."""

    observed: Tensor
    stand_ins: Tensor
    present: np.ndarray
    halves: np.ndarray


class Simulator:
    """Makes stand-ins round by round, half a window late, so that a window lies around its round.

    Stand-ins come in pairs, one with and one without the property, with the same bystanders: what
    the members of a pair differ in is the property, however many bystanders are in the sum.

    Args:
        per_round: pairs of stand-ins per round, at least 2.
        window: rounds whose bystanders are mixed, at least 1.
    """

    def __init__(self, per_round: int, window: int) -> None:
        self.per_round = per_round
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
        halves = _halves(shadow)
        chosen = [self._choose(halves, rng) for _ in ("present", "absent")]
        count = len(chosen[0])
        sums = torch.empty(2 * count, shadow.present.shape[1])
        for half, deltas, rows in zip(
            (sums[:count], sums[count:]), (shadow.present, shadow.absent), chosen, strict=True
        ):
            torch.index_select(deltas, 0, torch.from_numpy(rows), out=half)
        if shadow.contributors > 1:
            taken = chosen[1] if shadow.bystanders is shadow.absent else None
            others = self._bank.sums(count, shadow.contributors - 1, observation.round, taken, rng)
            sums[:count] += others
            sums[count:] += others
            # Where the property stays, the mean of what was seen is what gives it away.
            if not shadow.persistent:
                self._bank.align(sums, shadow.contributors)
        return Simulated(
            resolved(observation, observation.signal.unsqueeze(0)),
            resolved(observation, sums),
            np.arange(len(sums)) < count,
            halves[np.concatenate(chosen)],
        )

    def _choose(self, halves: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """[n] numbers of the targets of one kind, as many of either half, halves in order."""
        names = np.unique(halves)
        count = max(1, self.per_round // len(names))
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
        rows: int,
        count: int,
        number: int,
        taken: np.ndarray | None,
        rng: np.random.Generator,
    ) -> Tensor:
        """[rows, P] sums of ``count`` bystanders each; row i without ``taken[i]`` of its round."""
        pool, size = self._rows(), self._pool.shape[1]
        places = [(self._at - len(self._numbers) + i) % self.window for i in range(self.window)]
        weights = np.zeros((rows, len(pool)), np.float32)
        for row, weight in enumerate(weights):
            free = np.arange(len(pool))
            if taken is not None and number in self._numbers:
                place = places[self._numbers.index(number)] * size
                free = free[free != place + taken[row]]
            np.add.at(weight, rng.choice(free, count, replace=count > len(free)), 1.0)
        return torch.from_numpy(weights) @ pool

    def align(self, sums: Tensor, contributors: int) -> None:
        """Turn the mean of the own records in ``sums`` [n, P] into that of what was seen; in place.

        The mean gradient of a few thousand records of one's own is not that of everybody's: over
        K - 1 contributors the difference adds up, while noise only grows with the root. Zeros stay
        zeros, so where sums are often zero the others take the whole shift, up to fourfold.
        """
        seen = torch.stack(list(self._seen)).mean(0)
        moved = (sums != 0).float()
        shift = seen.sub_(self._rows().mean(0), alpha=contributors)
        shift /= moved.mean(0).clamp_min_(0.25)
        sums += moved.mul_(shift)

    def _rows(self) -> Tensor:
        """[m, P] the bystanders of all rounds."""
        return self._pool[: len(self._numbers)].flatten(0, 1)


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
        for signal in signals:  # one at a time stays in the cache
            signal.mul_(signal.abs().gt_(lost))
    return signals


def _halves(shadow: ShadowRound) -> np.ndarray:
    """[n] half of each shadow; in turn where the records were not split."""
    if shadow.halves is not None:
        return shadow.halves
    return np.arange(len(shadow.present)) % 2
