"""What an attack on a public ledger is given, and what it answers.

The adversary never took part, holds no records and sees no deltas: it reads the chain. It knows
what is public of the federation: how many clients there are, which account is the target's, and by
which rule the ledger pays.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from privaudit.attack.answers import scores_of
from privaudit.attack.protocol import GameAttack
from privaudit.observation.public import PublicRound
from privaudit.observation.views import OutsiderView

Question = Literal["rounds", "sizes", "cohorts", "holders", "labels"]
MOST_RECORDS = 200_000
"""In all, that :func:`sizes_of_shares` looks through."""


@dataclass(frozen=True)
class Outsider:
    """Everything an attack on a ledger is given besides what stands there.

    Attributes:
        question: what is asked: ``rounds`` (in which of them did the target's records have the
            property?), ``sizes`` (which clients train on all their records, not on a part?),
            ``cohorts`` (which clients took part in which round?), ``holders`` (which clients train
            on records with the property alone?) or ``labels`` (on half of the classes alone?).
        clients: K, of whom every one has an account.
        rounds: T, federated ones.
        target: the client that ``rounds`` are about.
    """

    question: Question
    clients: int
    rounds: int
    target: int

    @property
    def units(self) -> int:
        """How many answers there are to give."""
        of = {"rounds": self.rounds, "cohorts": self.rounds * self.clients}
        return of.get(self.question, self.clients)

    def checked(self, answer: object, rounds: int) -> list[float]:
        """An attack's scores, one per round, client, or round and client (:func:`scores_of`)."""
        return scores_of(answer, self.units)

    def prepare(self, observation: object) -> None:
        """No model is asked."""


class LedgerAttack(GameAttack):
    """Reads one channel of the ledger: a number for each client in each ledger round.

    What is asked decides what becomes of the numbers: in ``rounds`` the target's, beside its mean,
    in ``cohorts`` all of them, round by round; in questions about clients each one's mean over the
    rounds that it took part in. Who holds the property, or half of the classes, is taken for the
    unusual one. The sign is the same whatever is seen: an AUC below .5 is for who knows better.
    """

    game: ClassVar[str] = "public-ledger"
    view = OutsiderView
    unusual: ClassVar[int] = 1
    """Whether unusual records make the number larger (1) or smaller (-1)."""

    @abstractmethod
    def read(self, seen: PublicRound, given: Outsider) -> dict[int, float]:
        """Client -> number, of those who took part."""

    def listen(self, observation: PublicRound, given: Outsider) -> None:
        """Take in one round of the ledger, which may stand for several of the federation."""
        if not hasattr(self, "_rows"):
            self._rows: list[np.ndarray] = []
        row = np.full(given.clients, np.nan)
        for client, number in self.read(seen=observation, given=given).items():
            row[client] = number
        self._rows += [row] * observation.rounds
        self._given = given

    def answer(self) -> np.ndarray:
        """[T], [K] or [T K] float64: higher = yes, or took part."""
        numbers, given = np.array(self._rows), self._given
        if given.question == "rounds":
            return self.unusual * _centred(np.nan_to_num(numbers[:, given.target]))
        if given.question == "cohorts":
            return (np.nan_to_num(numbers, nan=-1.0) + 0.5).ravel()
        there = ~np.isnan(numbers)
        means = np.nan_to_num(numbers).sum(0) / np.maximum(there.sum(0), 1)
        sign = 1 if given.question == "sizes" else self.unusual
        return sign * (means - np.median(means))


def _centred(scores: np.ndarray) -> np.ndarray:
    return np.asarray(scores - scores.mean())


def sizes_of_shares(
    amounts: np.ndarray, budget: int, most: int = MOST_RECORDS
) -> np.ndarray | None:
    """How many records each client trained on, for whoever knows none of it.

    Shares of pay are whole numbers over their sum, up to a wei: the smallest sum that makes all of
    them whole.

    Args:
        amounts: [K] wei.
        budget: that they are shares of, above 0.
        most: sum up to which is looked.

    Returns:
        [K] whole numbers, or None: no such sum makes them whole.
    """
    shares = amounts / budget
    for start in range(len(amounts), most + 1, 4096):
        sums = np.arange(start, min(start + 4096, most + 1))[:, None]
        sizes = sums * shares
        whole = np.abs(sizes - np.round(sizes)) <= sums / budget + 1e-9
        found = np.flatnonzero((whole & (np.round(sizes) >= 1)).all(1))
        if len(found):
            return np.asarray(np.round(sizes[found[0]]))
    return None
