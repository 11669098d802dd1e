"""Labelled stand-ins for what the adversary sees.

A stand-in is a sum of shadows: one target, with or without the property, and bystanders. The
bystanders come from a window of rounds around the observed one, as the parameters move little
between rounds and the sums must differ in more than their target. A sum only ever mixes shadows of
one half of the adversary's records, so that the halves can test each other.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from privaudit.attack.adversary import ShadowRound
from privaudit.observation.views import Observation

BANK_BYTES = 1 << 29
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


class Simulator:
    """Makes stand-ins round by round, half a window late; :meth:`flush` yields the last rounds.

    Args:
        per_round: stand-ins of each kind per round, at least 2.
        window: rounds whose bystanders are mixed, at least 1.
    """

    def __init__(self, per_round: int, window: int) -> None:
        self.per_round = per_round
        self.window = window
        self._bank: deque[tuple[int, Tensor, np.ndarray]] = deque()
        self._pending: deque[tuple[Observation, ShadowRound, np.ndarray]] = deque()

    def add(self, observation: Observation, shadow: ShadowRound) -> None:
        """Take in a round."""
        halves = _halves(observation, shadow)
        self._pending.append((observation, shadow, halves))
        if shadow.contributors > 1:
            self._bank.append((observation.round, shadow.bystanders, halves))
            size = shadow.bystanders.nbytes
            while len(self._bank) > max(1, min(self.window, BANK_BYTES // size)):
                self._bank.popleft()

    def ready(self) -> bool:
        """Whether the oldest round not yet simulated has its window around it."""
        return len(self._pending) > self.window // 2 or (
            bool(self._pending) and self._pending[0][1].contributors == 1
        )

    def __bool__(self) -> bool:
        return bool(self._pending)

    def next(self, rng: np.random.Generator) -> Simulated:
        """Simulate the oldest round; half of its stand-ins have the property."""
        observation, shadow, halves = self._pending.popleft()
        own = shadow.bystanders is shadow.absent
        sums, labels = [], []
        for present, pool in ((True, shadow.present), (False, shadow.absent)):
            for half in np.unique(halves):
                targets = np.flatnonzero(halves == half)
                count = max(1, self.per_round // len(np.unique(halves)))
                chosen = np.resize(rng.permutation(targets), count)
                taken = [(observation.round, c) if own and not present else None for c in chosen]
                others = self._bystanders(taken, int(half), shadow.contributors - 1, rng)
                sums.append(pool[torch.from_numpy(chosen)] + others)
                labels += [(present, half)] * count
        return Simulated(
            resolved(observation, observation.signal),
            _as_seen(observation, torch.cat(sums)),
            np.array([present for present, _ in labels]),
            np.array([half for _, half in labels]),
        )

    def _bystanders(
        self, taken: list[tuple[int, int] | None], half: int, count: int, rng: np.random.Generator
    ) -> Tensor | float:
        """[n, P] sums of ``count`` bystanders of one half; never the one that is ``taken``."""
        if count < 1:
            return 0.0
        members = [
            (number, row)
            for number, _, halves in self._bank
            for row in np.flatnonzero(halves == half)
        ]
        members = members or [(n, row) for n, _, h in self._bank for row in range(len(h))]
        weights = {
            number: np.zeros((len(taken), len(h)), np.float32) for number, _, h in self._bank
        }
        for line, target in enumerate(taken):
            free = [member for member in members if member != target] or members
            for pick in rng.choice(len(free), count, replace=count > len(free)):
                number, row = free[pick]
                weights[number][line, row] += 1
        total = torch.zeros(len(taken), self._bank[-1][1].shape[1])
        for number, deltas, _ in self._bank:
            total += torch.from_numpy(weights[number]) @ deltas
        return total


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


def _halves(observation: Observation, shadow: ShadowRound) -> np.ndarray:
    """[n] half of each shadow; whole rounds alternate where the records were not split."""
    if shadow.halves is not None:
        return shadow.halves
    return np.full(len(shadow.present), observation.round % 2)
