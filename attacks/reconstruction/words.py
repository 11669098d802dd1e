"""The words of a batch, from the rows of the embedding that moved."""

from __future__ import annotations

import numpy as np

from privaudit.attack.reconstruction import Rebuilding, ReconstructionAttack
from privaudit.observation.views import Observation

from ..membership.embedding import Table


class MovedWords(ReconstructionAttack):
    """Only the rows of words that occur in a batch have a gradient: the batch's bag of words.

    L. Melis et al., IEEE S&P 2019, section IV-C. Without order, without counts, and of all honest
    clients together. Padding has a row that never moves.
    """

    name = "moved-words"
    source = "L. Melis et al., IEEE S&P 2019, section IV-C"

    def check(self, given: Rebuilding) -> None:
        """The model begins with an embedding of the words."""
        Table.of(given, self.name)

    def rebuild(self, observation: Observation, given: Rebuilding) -> np.ndarray:
        """[n] token ids, each once, in their order."""
        return np.flatnonzero(Table.of(given, self.name).moved(observation))
