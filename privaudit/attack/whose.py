"""What an attack on the game ``whose`` is given, and what it answers: which clients hold it?

The adversary is a participant. It sees sums of what others sent, owns records of which it knows the
property, and so can play a client that holds it and one that does not; of who took part it knows
what the public ledger says.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from privaudit.attack.adversary import Adversary
from privaudit.attack.answers import scores_of
from privaudit.attack.protocol import GameAttack
from privaudit.engine.layout import Layout
from privaudit.observation.public import SummedRound
from privaudit.observation.rules import Rules
from privaudit.observation.views import SumView

MOST_ROWS, DIMENSIONS = 800, 4096
"""Shadows that a reading is learned from, of all rounds; a longer delta is hashed to so many sums
(K. Weinberger et al., ICML 2009)."""
STRENGTHS = np.logspace(-3, 1, 5)
"""Of ridges, in mean squares of a shadow's length."""


@dataclass(frozen=True, eq=False)
class Reading:
    """What the sum of each round says, read by one direction.

    Attributes:
        sums: [T] higher, the more holders were in the sum; one of the adversary's own shadows with
            the property is read 1 higher than one without. What others add is less, and shifted:
            their records are not the adversary's.
        contributors: [T] deltas summed.
    """

    sums: np.ndarray
    contributors: np.ndarray


@dataclass(frozen=True, eq=False)
class Suspects:
    """Everything an attack on this game is given besides sums and list.

    Attributes:
        adversary: its records, the model and the rules; it can play any client.
        clients: K, the adversary among them as client 0.
    """

    adversary: Adversary
    clients: int
    _rounds: list[_Round] = field(default_factory=list, repr=False)
    _read: list[Reading] = field(default_factory=list, repr=False)

    @property
    def rules(self) -> Rules:
        """Of the federation."""
        return self.adversary.rules

    @property
    def layout(self) -> Layout:
        """How the parameters lie in the vectors."""
        return self.adversary.layout

    def checked(self, answer: object, rounds: int) -> list[float]:
        """An attack's scores, one per client but the adversary (:func:`.answers.scores_of`)."""
        return scores_of(answer, self.clients - 1)

    def prepare(self, observation: SummedRound) -> None:
        """Keep the round's sum and shadows, once for all attacks and all ledgers."""
        seen = observation.seen
        if self._rounds and self._rounds[-1].number == seen.round:
            return
        self._read.clear()
        shadow = self.adversary.shadow(seen)
        shown = shadow.seen_through(self._sketch)
        rows = torch.cat([shown.present, shown.absent])
        middle = rows.mean(0)
        scale = (rows - middle).square().mean().sqrt().clamp_min(torch.finfo(torch.float32).tiny)
        count = seen.contributors
        beyond = self._sketch(seen.signal.unsqueeze(0))[0] - count * middle
        self._rounds.append(
            _Round(
                seen.round,
                (beyond / scale).numpy(),
                count,
                ((rows - middle) / scale).numpy(),
            )
        )

    def reading(self) -> Reading:
        """Of all rounds listened to.

        Ridge regression tells the shadows with the property from those without, its strength chosen
        by leave-one-out error.
        """
        if not self._read:
            self._read.append(_reading(self._rounds))
        return self._read[0]

    def _sketch(self, vectors: Tensor) -> Tensor:
        size = vectors.shape[1]
        if size <= DIMENSIONS:
            return vectors
        generator = self.adversary.seed.torch_generator("sketch")
        signs = torch.randint(2, (size,), generator=generator).float() * 2 - 1
        sums = torch.zeros(len(vectors), DIMENSIONS)
        for start in range(0, size, DIMENSIONS):
            block = vectors[:, start : start + DIMENSIONS]
            sums[:, : block.shape[1]].addcmul_(block, signs[start : start + block.shape[1]])
        return sums


@dataclass(frozen=True, eq=False)
class _Round:
    """In the scale of the round's shadows, from their middle.

    Attributes:
        number: of the round.
        sum: [D].
        contributors: to the sum.
        shadows: [2n, D], those with the property first.
    """

    number: int
    sum: np.ndarray
    contributors: int
    shadows: np.ndarray


def _reading(rounds: list[_Round]) -> Reading:
    every = max(1, -(-len(rounds) * len(rounds[0].shadows) // MOST_ROWS))
    used = rounds[::every]
    rows = np.concatenate([one.shadows for one in used]).astype(np.float64)
    number = len(rounds[0].shadows) // 2
    present = np.tile(np.arange(2 * number) < number, len(used))
    direction = rows.T @ _ridge(rows @ rows.T, np.where(present, 1.0, -1.0))
    read = rows @ direction
    gap = max(float(read[present].mean() - read[~present].mean()), np.finfo(np.float64).tiny)
    seen = np.array([one.sum @ direction for one in rounds])
    return Reading(seen / gap, np.array([one.contributors for one in rounds]))


def _ridge(gram: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """[n] weights of rows; of several strengths the one with the least leave-one-out error."""
    values, vectors = np.linalg.eigh(gram)
    turned, squares = vectors.T @ labels, vectors**2
    found = []
    for strength in np.trace(gram) / len(gram) * STRENGTHS:
        inverse = 1 / (np.maximum(values, 0) + strength)
        weights = vectors @ (turned * inverse)
        found.append((float(np.mean((weights / (squares @ inverse)) ** 2)), weights))
    return min(found, key=lambda one: one[0])[1]


class WhoseAttack(GameAttack):
    """Tells from sums, and what a ledger says of who is in them, which clients hold the property.

    A subclass weighs the readings of sums against the list. Where the ledger says nothing of who
    took part, there is nothing to weigh: every client has the same score.
    """

    game: ClassVar[str] = "whose"
    view = SumView

    @abstractmethod
    def weigh(self, sums: np.ndarray, took_part: np.ndarray, deltas: np.ndarray) -> np.ndarray:
        """[N] one score per client.

        Args:
            sums: [B] readings of the sums of each block of rounds, added up, without what is slow
                (:func:`_slow`).
            took_part: [B, N] times that each client took part in the block, without it, too.
            deltas: [B] how many were summed.
        """

    def listen(self, observation: SummedRound, given: Suspects) -> None:
        """Take in what the ledger says; the sum is kept already."""
        if not hasattr(self, "_said"):
            self._said: list[dict[int, int]] = []
        self._said.append(dict(observation.took_part))
        self._given = given

    def answer(self) -> np.ndarray:
        """[N] higher = holds it; the median is 0: half of the clients hold it."""
        reading, clients = self._given.reading(), self._given.clients
        blocks, lists, first = [], [], 0
        for number, said in enumerate(self._said, 1):
            if said:
                blocks.append(slice(first, number))
                lists.append([said.get(client, 0) for client in range(1, clients)])
                first = number
        if len(blocks) < 2:
            return np.zeros(clients - 1)
        sums = np.array([reading.sums[block].sum() for block in blocks])
        deltas = np.array([reading.contributors[block].sum() for block in blocks])
        took_part, slow = np.array(lists, dtype=np.float64), _slow(deltas)
        scores = self.weigh(
            sums - slow @ (slow.T @ sums), took_part - slow @ (slow.T @ took_part), deltas
        )
        return np.asarray(scores - np.median(scores))


FEW = 20
"""Blocks for each slow wave that is taken out."""


def _slow(deltas: np.ndarray) -> np.ndarray:
    """[B, m] orthonormal: a shift, one for each delta, and slow waves over the rounds.

    The adversary's records are not quite like the others', and how much that adds to a sum drifts
    with the model: over rounds it is slow, while who takes part is drawn anew in each.
    """
    blocks = len(deltas)
    at = (np.arange(blocks) + 0.5) / blocks
    waves = [np.cos(np.pi * k * at) for k in range(1, blocks // FEW + 1)]
    columns = np.stack([np.ones(blocks), deltas.astype(float), *waves], axis=1)
    basis, sizes, _ = np.linalg.svd(columns / np.linalg.norm(columns, axis=0), full_matrices=False)
    return np.asarray(basis[:, sizes > 1e-6])
