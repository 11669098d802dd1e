"""Labelled stand-ins for what the adversary sees.

A stand-in is a sum of shadows: one target, with or without the property, and bystanders. The
bystanders come from a window of rounds around the observed one, as the parameters move little
between rounds and the sums must differ in more than their target. The targets of two stand-ins of
different halves share no record.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from privaudit.attack.adversary import ShadowRound
from privaudit.observation.views import Observation

BANK_BYTES = 1 << 28
"""Bystanders of a window are kept up to this size; with large models the window is shorter."""

ROUNDING = 8 * torch.finfo(torch.float32).eps
"""What is left of a coordinate after subtraction, relative to its terms, that may be rounding."""


@dataclass(frozen=True, eq=False)
class Simulated:
    """One round: what was seen [P], and stand-ins [n, P] with their labels and halves [n]."""

    observed: Tensor
    stand_ins: Tensor
    present: np.ndarray
    halves: np.ndarray


@dataclass(frozen=True, eq=False)
class _Round:
    """What a window keeps of a round: its number, what was seen [P] and bystanders [n, P]."""

    number: int
    observed: Tensor
    bystanders: Tensor


class Simulator:
    """Makes stand-ins round by round, half a window late, so that a window lies around its round.

    Args:
        per_round: stand-ins of each kind per round, at least 2.
        window: rounds whose bystanders are mixed, at least 1.
    """

    def __init__(self, per_round: int, window: int) -> None:
        self.per_round = per_round
        self.window = window
        self._bank: deque[_Round] = deque()
        self._pending: deque[tuple[Observation, ShadowRound]] = deque()

    def add(self, observation: Observation, shadow: ShadowRound) -> None:
        """Take in a round."""
        self._pending.append((observation, shadow))
        if shadow.contributors > 1:
            self._bank.append(_Round(observation.round, observation.signal, shadow.bystanders))
            self.window = max(1, min(self.window, BANK_BYTES // shadow.bystanders.nbytes))
            while len(self._bank) > self.window:
                self._bank.popleft()

    def ready(self) -> bool:
        """Whether the oldest round not yet simulated has its window around it."""
        if not self._pending:
            return False
        return len(self._pending) > self.window // 2 or self._pending[0][1].contributors == 1

    def __bool__(self) -> bool:
        """Whether a round is not yet simulated."""
        return bool(self._pending)

    def next(self, rng: np.random.Generator) -> Simulated:
        """Simulate the oldest round; half of its stand-ins have the property."""
        observation, shadow = self._pending.popleft()
        halves = _halves(shadow)
        same_pool = shadow.bystanders is shadow.absent
        sums, labels = [], []
        for present, pool in ((True, shadow.present), (False, shadow.absent)):
            for half in np.unique(halves):
                count = max(1, self.per_round // len(np.unique(halves)))
                chosen = np.resize(rng.permutation(np.flatnonzero(halves == half)), count)
                taken = chosen if same_pool and not present else np.full(count, -1)
                others = self._bystanders(observation.round, taken, shadow.contributors - 1, rng)
                sums.append(pool[torch.from_numpy(chosen)] + others)
                labels += [(present, half)] * count
        return Simulated(
            resolved(observation, observation.signal),
            _as_seen(observation, self._aligned(torch.cat(sums), shadow.contributors)),
            np.array([present for present, _ in labels]),
            np.array([half for _, half in labels]),
        )

    def _bystanders(
        self, number: int, taken: np.ndarray, count: int, rng: np.random.Generator
    ) -> Tensor | float:
        """[n, P] sums of ``count`` bystanders; never the one of this round that is ``taken``."""
        if count < 1:
            return 0.0
        rounds = np.concatenate([np.full(len(r.bystanders), r.number) for r in self._bank])
        rows = np.concatenate([np.arange(len(r.bystanders)) for r in self._bank])
        weights = np.zeros((len(taken), len(rows)), np.float32)
        for weight, own in zip(weights, taken, strict=True):
            free = np.flatnonzero((rounds != number) | (rows != own))
            np.add.at(weight, rng.choice(free, count, replace=count > len(free)), 1.0)
        total = torch.zeros(len(taken), self._bank[-1].bystanders.shape[1])
        for kept in self._bank:
            mine = torch.from_numpy(weights[:, rounds == kept.number])
            total += mine @ kept.bystanders
        return total

    def _aligned(self, sums: Tensor, contributors: int) -> Tensor:
        """``sums`` [n, P] with the mean of what was seen instead of that of the own records.

        The mean gradient of a few thousand records of one's own is not that of everybody's: over
        K - 1 contributors the difference adds up, while noise only grows with the root. Zeros stay
        zeros, so where sums are often zero the others take the whole shift, up to fourfold.
        """
        if contributors == 1:
            return sums
        own = torch.stack([r.bystanders.mean(0) for r in self._bank]).mean(0)
        seen = torch.stack([r.observed for r in self._bank]).mean(0)
        moved = sums != 0
        shift = (seen - contributors * own) / moved.float().mean(0).clamp_min_(0.25)
        return torch.where(moved, sums + shift, sums)


def resolved(observation: Observation, signal: Tensor) -> Tensor:
    """``signal`` [..., P] with zeros where nothing but rounding is left of it.

    The adversary subtracts its own delta from an average in single precision: where no other client
    moved a coordinate, what remains depends on how the server adds up. The same rule for what was
    seen and for stand-ins makes the two comparable.
    """
    if observation.target is not None or observation.own_weight == 0.0:
        return signal
    noise = ROUNDING * (signal.abs() + observation.own_delta.abs())
    return torch.where(signal.abs() > noise, signal, torch.zeros(()))


def _as_seen(observation: Observation, sums: Tensor) -> Tensor:
    """[n, P] sums of honest deltas, averaged with the own delta, which is then subtracted again."""
    if observation.target is not None or observation.own_weight == 0.0:
        return sums
    averaged = (sums + observation.own_delta) * observation.own_weight
    return resolved(observation, replace(observation, global_delta=averaged).signal)


def _halves(shadow: ShadowRound) -> np.ndarray:
    """[n] half of each shadow; in turn where the records were not split."""
    if shadow.halves is not None:
        return shadow.halves
    return np.arange(len(shadow.present)) % 2
