"""Labelled stand-ins for what the adversary sees.

A stand-in is a sum of shadows: one target, with or without the property, and bystanders. The
bystanders come from a window of rounds around the observed one, as the parameters move little
between rounds and the sums must differ in more than their target. The targets of two stand-ins of
different halves share no record.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
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


CHUNK_BYTES = 1 << 26
"""Stand-ins of large models are made a few at a time."""

BLOCK = 8192
"""Coordinates that are turned into what would be seen at a time."""

View = Callable[[Tensor], Tensor]
"""What is kept of vectors: [n, P] to [n, V]."""


@dataclass(frozen=True, eq=False)
class Simulated:
    """A view of one round: what was seen [1, V], stand-ins [n, V], their labels and halves [n]."""

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

    def next(self, rng: np.random.Generator, view: View = torch.clone) -> Simulated:
        """Simulate the oldest round; half of its stand-ins have the property."""
        observation, shadow = self._pending.popleft()
        halves = _halves(shadow)
        chosen = [self._choose(halves, rng) for _ in (shadow.present, shadow.absent)]
        targets = np.concatenate([chosen[0], len(shadow.present) + chosen[1]])
        present = np.arange(len(targets)) < len(chosen[0])
        same_pool = shadow.bystanders is shadow.absent
        taken = np.where(present | (not same_pool), -1, targets - len(shadow.present))
        weights = self._weights(observation.round, taken, shadow.contributors - 1, rng)
        pool = (shadow.present, shadow.absent)
        size = max(1, CHUNK_BYTES // pool[0][0].nbytes)
        parts = [slice(start, start + size) for start in range(0, len(targets), size)]

        def sums(part: slice) -> Tensor:
            rows = [pool[t // len(pool[0])][t % len(pool[0])] for t in targets[part]]
            total = torch.stack(rows)
            for kept, weight in zip(self._bank, weights, strict=True):
                total += torch.from_numpy(weight[part]) @ kept.bystanders
            return total

        # Where the property stays, the mean of what was seen is what gives it away.
        shift = (
            None
            if shadow.persistent
            else self._shift(map(sums, parts), len(targets), shadow.contributors)
        )
        seen = [view(_as_seen(observation, _shifted(sums(part), shift))) for part in parts]
        return Simulated(
            view(resolved(observation, observation.signal).unsqueeze(0)),
            torch.cat(seen),
            present,
            halves[np.concatenate(chosen)],
        )

    def _choose(self, halves: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """[n] numbers of the targets of one kind, as many of either half."""
        names = np.unique(halves)
        count = max(1, self.per_round // len(names))
        pools = [rng.permutation(np.flatnonzero(halves == half)) for half in names]
        return np.concatenate([np.resize(pool, count) for pool in pools])

    def _weights(
        self, number: int, taken: np.ndarray, count: int, rng: np.random.Generator
    ) -> list[np.ndarray]:
        """For each round of the bank [n, rows]: how often each bystander is in each stand-in.

        ``count`` bystanders each; never the one of round ``number`` that is ``taken``.
        """
        if count < 1:
            return []
        rounds = np.concatenate([np.full(len(r.bystanders), r.number) for r in self._bank])
        rows = np.concatenate([np.arange(len(r.bystanders)) for r in self._bank])
        weights = np.zeros((len(taken), len(rows)), np.float32)
        for weight, own in zip(weights, taken, strict=True):
            free = np.flatnonzero((rounds != number) | (rows != own))
            np.add.at(weight, rng.choice(free, count, replace=count > len(free)), 1.0)
        return [weights[:, rounds == kept.number] for kept in self._bank]

    def _shift(self, sums: Iterable[Tensor], count: int, contributors: int) -> Tensor | None:
        """[P] what turns the mean of the own records into that of what was seen.

        The mean gradient of a few thousand records of one's own is not that of everybody's: over
        K - 1 contributors the difference adds up, while noise only grows with the root. Zeros stay
        zeros, so where sums are often zero the others take the whole shift, up to fourfold.
        """
        if contributors == 1:
            return None
        own = torch.stack([r.bystanders.mean(0) for r in self._bank]).mean(0)
        seen = torch.stack([r.observed for r in self._bank]).mean(0)
        moved = torch.stack([(part != 0).sum(0) for part in sums]).sum(0) / count
        return (seen - contributors * own) / moved.clamp_min_(0.25)


def _shifted(sums: Tensor, shift: Tensor | None) -> Tensor:
    """``sums`` [n, P] with ``shift`` [P] added where they are not zero."""
    if shift is None:
        return sums
    return torch.where(sums != 0, sums + shift, sums)


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
    """``sums`` [n, P] of honest deltas, averaged with the own delta, which is subtracted again.

    In place, and block by block: temporaries of large models stay in the cache.
    """
    if observation.target is not None or observation.own_weight == 0.0:
        return sums
    for start in range(0, sums.shape[1], BLOCK):
        block = sums[:, start : start + BLOCK]
        own = observation.own_delta[start : start + BLOCK]
        averaged = (block + own) * observation.own_weight
        seen = replace(observation, own_delta=own, global_delta=averaged)
        block.copy_(resolved(seen, seen.signal))
    return sums


def _halves(shadow: ShadowRound) -> np.ndarray:
    """[n] half of each shadow; in turn where the records were not split."""
    if shadow.halves is not None:
        return shadow.halves
    return np.arange(len(shadow.present)) % 2
