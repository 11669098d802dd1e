"""Membership by words, each with the weight of the evidence that it is."""

from __future__ import annotations

import numpy as np

from privaudit.attack.membership import Candidates, MembershipAttack, centred
from privaudit.observation.views import Observation
from privaudit.randomness import Seed

from .embedding import Table

RARITIES = (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89)
"""Words are in classes by how many own records have them, from these counts on."""

RARE = 0.01
"""Prior count of words of members that do not move: most often there are none at all."""

ROUNDS = 5
"""Of learning in turn how surely words of members move, and who they are."""


class EmbeddingRows(MembershipAttack):
    """Log likelihood ratio of the candidate's words having moved, or not.

    A word of a record that was trained on has moved (but for what is not shared). A word of any
    other record has moved if somebody else used it, the more likely the more frequent it is: as
    often as the words that are as frequent in the adversary's own records did in that very round.
    So nobody needs to know how many records others hold. Rounds are alternatives: a record counts
    as trained on if it was in one of them.

    Own; the idea of looking at rows is that of L. Melis et al., IEEE S&P 2019, section IV-C.
    """

    name = "embedding-rows"
    source = "own: likelihood ratio of the words whose rows moved, by their frequency"

    def __init__(self, *, seed: Seed) -> None:
        super().__init__(seed=seed)
        self._table: Table | None = None
        self._words: list[np.ndarray] = []
        self._rarity = np.zeros(0, np.int64)
        self._odds = np.zeros(0)

    def listen(self, observation: Observation, given: Candidates) -> None:
        """Weigh the words of each candidate by what moved in this round."""
        if self._table is None:
            self._table = Table.of(given, self.name)
            self._words = self._table.words_of(given.samples.inputs)
            self._rarity = _rarity(self._table, given)
            self._odds = np.full(len(given), -np.inf)
        moved = self._table.moved(observation)
        if moved.any():
            odds = record_odds(self._words, moved, self._rarity)
            self._odds = np.logaddexp(self._odds, odds)

    def answer(self) -> np.ndarray:
        """[N] log likelihood ratio; the same for all where no round told words apart."""
        return centred(np.where(np.isfinite(self._odds), self._odds, 0.0))


def record_odds(records: list[np.ndarray], moved: np.ndarray, rarity: np.ndarray) -> np.ndarray:
    """[N] log likelihood ratio of each record from the words that moved in one round.

    How surely a word of a member moves (not where parts of a delta are not shared, or where a
    network looks at some of the words only) is learned from the quarter of the candidates that
    look most like members, in turn with who they are.

    Args:
        records: N arrays of words.
        moved: [V] bool.
        rarity: [V] class of each word.
    """
    size = np.bincount(rarity)
    by_chance = ((np.bincount(rarity, weights=moved) + 0.5) / (size + 1.0))[rarity]
    hits = np.array([moved[words].sum() for words in records], float)
    misses = np.array([len(words) for words in records]) - hits
    rest = np.array(
        [
            np.log(np.where(moved[words], by_chance[words], 1 - by_chance[words])).sum()
            for words in records
        ]
    )
    odds = hits / np.maximum(hits + misses, 1)
    for _ in range(ROUNDS):
        likely = np.argsort(-odds, kind="stable")[: max(1, len(records) // 4)]
        seen = (hits + misses)[likely].sum()
        sure = (hits[likely].sum() + 1.0) / (seen + 1.0 + RARE)
        odds = hits * np.log(sure) + misses * np.log1p(-sure) - rest
    return odds


def _rarity(table: Table, given: Candidates) -> np.ndarray:
    held = np.zeros(table.words, np.int64)
    for words in table.words_of(given.own.inputs):
        held[words] += 1
    found: np.ndarray = np.searchsorted(RARITIES, held, side="right") - 1
    return found
