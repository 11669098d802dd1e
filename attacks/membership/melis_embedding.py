"""Membership by the bag of words, as published."""

from __future__ import annotations

import numpy as np

from privaudit.attack.membership import Candidates, MembershipAttack
from privaudit.observation.views import Observation
from privaudit.randomness import Seed

from .embedding import Table


class MelisEmbedding(MembershipAttack):
    """A record can only have been trained on if the rows of all its words moved.

    L. Melis et al., IEEE S&P 2019, section IV-C: "in" if and only if its bag of words lies within
    the words that moved in a round. As a score: minus the share of its words that did not, in the
    round where that is smallest; above zero only where that is none, so that the attack's own
    threshold is the published rule. Where not all rows are shared that rule says "in" of nobody.
    """

    name = "melis-embedding"
    source = "L. Melis et al., IEEE S&P 2019, section IV-C"

    def __init__(self, *, seed: Seed) -> None:
        super().__init__(seed=seed)
        self._table: Table | None = None
        self._words: list[np.ndarray] = []
        self._best = np.zeros(0)

    def listen(self, observation: Observation, given: Candidates) -> None:
        """Count the words of each candidate that did not move."""
        if self._table is None:
            self._table = Table.of(given, self.name)
            self._words = self._table.words_of(given.samples.inputs)
            self._best = np.full(len(given), -1.0)
        moved = self._table.moved(observation)
        share = np.array(
            [moved[words].mean() - 1.0 if len(words) else -1.0 for words in self._words]
        )
        self._best = np.maximum(self._best, share)

    def answer(self) -> np.ndarray:
        """[N] half the least share that can be missing, minus the smallest that was."""
        most = max((len(words) for words in self._words), default=1)
        return self._best + 0.5 / max(1, most)
