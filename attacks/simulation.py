"""Labelled stand-ins for what the adversary sees, with the arithmetic of the observation.

Three things make them close to the real thing. Bystanders come from the shadows of the last few
rounds, as the parameters move little between rounds and more shadows mean more different sums. A
sum only ever mixes shadows of one half of the adversary's records, so that the halves can test each
other. And every sum is averaged with the adversary's own delta and has it subtracted again in
single precision, because what is rounded away in the observation must be rounded away here.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from privaudit.attack.adversary import ShadowRound
from privaudit.observation.views import Observation


@dataclass(frozen=True)
class Simulated:
    """Stand-ins of one round: ``signals`` [n, P], ``present`` [n] bool, ``halves`` [n] 0 or 1."""

    signals: Tensor
    present: np.ndarray
    halves: np.ndarray


class Simulator:
    """Makes stand-ins round by round.

    Args:
        per_round: stand-ins of each kind per round, at least 2 (one per half).
        memory: rounds whose bystanders are kept, this one included, at least 1.
    """

    def __init__(self, per_round: int, memory: int) -> None:
        self.per_round = per_round
        self._bank: deque[tuple[Tensor, np.ndarray]] = deque(maxlen=memory)

    def simulate(
        self, observation: Observation, shadow: ShadowRound, rng: np.random.Generator
    ) -> Simulated:
        """Stand-ins for one observation; half of them with the property."""
        halves = _halves(observation, shadow)
        if shadow.contributors > 1:
            self._bank.append((shadow.bystanders, halves))
        signals, kept = [], []
        for pool in (shadow.present, shadow.absent):
            for half in (0, 1):
                targets = np.flatnonzero(halves == half)
                if not len(targets):
                    continue
                count = max(1, self.per_round // len(np.unique(halves)))
                chosen = np.resize(rng.permutation(targets), count)
                taken = chosen if pool is shadow.bystanders else np.full(count, -1)
                signals.append(pool[torch.from_numpy(chosen)])
                signals[-1] += self._bystanders(taken, half, shadow.contributors - 1, rng)
                kept.append((pool is shadow.present, half, count))
        labels, halves_, counts = (np.array(column) for column in zip(*kept, strict=True))
        return Simulated(
            as_seen(observation, torch.cat(signals)),
            np.repeat(labels, counts),
            np.repeat(halves_, counts),
        )

    def _bystanders(
        self, taken: np.ndarray, half: int, count: int, rng: np.random.Generator
    ) -> Tensor | float:
        """[n, P] sums of ``count`` bystanders of one half; never the one that is ``taken``."""
        if count < 1:
            return 0.0
        newest = len(self._bank) - 1
        members = [
            (age, row)
            for age, (_, halves) in enumerate(self._bank)
            for row in np.flatnonzero(halves == half)
        ]
        total = torch.zeros(len(taken), self._bank[-1][0].shape[1])
        weights = [np.zeros((len(taken), len(halves)), np.float32) for _, halves in self._bank]
        for number, own in enumerate(taken):
            free = [m for m in members if m != (newest, own)] or members
            for pick in rng.choice(len(free), count, replace=count > len(free)):
                age, row = free[pick]
                weights[age][number, row] += 1
        for weight, (deltas, _) in zip(weights, self._bank, strict=True):
            total += torch.from_numpy(weight) @ deltas
        return total


def as_seen(observation: Observation, sums: Tensor) -> Tensor:
    """[n, P] sums of honest deltas, after averaging with the own delta and subtracting it."""
    if observation.target is not None or observation.own_weight == 0.0:
        return sums
    averaged = (sums + observation.own_delta) * observation.own_weight
    return replace(observation, global_delta=averaged).signal


def _halves(observation: Observation, shadow: ShadowRound) -> np.ndarray:
    """[n] half of each shadow; whole rounds alternate where the records were not split."""
    if shadow.halves is not None:
        return shadow.halves
    return np.full(len(shadow.present), observation.round % 2)
