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

    Of several clients' words one client has those first that are frequent (ours): a word that a
    share p of batches hold stands in the batch of one of C clients with probability
    p / (1 - (1 - p)^C), if it stands in any. The answer is as many words, the most probable first,
    as have the largest expected F1 (number right twice, by number answered and number there).
    """

    name = "moved-words"
    source = "L. Melis et al., IEEE S&P 2019, section IV-C"

    def check(self, given: Rebuilding) -> None:
        """The model begins with an embedding of the words."""
        Table.of(given, self.name)

    def rebuild(self, observation: Observation, given: Rebuilding) -> np.ndarray:
        """[n] token ids, each once, the most probable first."""
        moved = np.flatnonzero(Table.of(given, self.name).moved(observation))
        clients = max(1, observation.contributors)
        if clients == 1 or not len(moved):
            return moved
        batch = given.rules.batch_size * given.rules.local_steps
        held = _share_of_batches(given.own.inputs.numpy(), moved, batch)
        probable = held / (1 - (1 - held) ** clients)
        order = np.argsort(-probable, kind="stable")
        count = np.arange(1, len(moved) + 1)
        expected = 2 * np.cumsum(probable[order]) / (count + probable.sum())
        return moved[order[: int(np.argmax(expected)) + 1]]


def _share_of_batches(texts: np.ndarray, words: np.ndarray, batch: int) -> np.ndarray:
    """[len(words)] of batches of so many texts, how many hold each word; never none and not all."""
    which = np.repeat(np.arange(len(texts)), texts.shape[1])
    once = np.unique(np.stack([which, texts.ravel()]), axis=1)[1]
    counts = np.bincount(once, minlength=int(words.max()) + 1)[words]
    share: np.ndarray = 1 - (1 - (counts + 0.5) / (len(texts) + 1)) ** batch
    return share
