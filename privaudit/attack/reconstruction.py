"""What an attack that rebuilds records is given, and what it answers: which records were these?

It looks at one round at a time. It holds what every participant holds: the model, records of its
own, the rules; and what it saw of the round.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from privaudit.attack.answers import labels_of, records_of, words_of
from privaudit.attack.protocol import GameAttack
from privaudit.engine.engine import Engine, Samples
from privaudit.engine.layout import Layout
from privaudit.observation.rules import Rules
from privaudit.observation.views import Observation
from privaudit.randomness import Seed


@dataclass(frozen=True, eq=False)
class Rebuilding:
    """What an adversary has besides the observations.

    Attributes:
        engine: the model of the federation.
        own: the adversary's own records.
        rules: of the federation.
        seed: the adversary's stream.
        honest: clients whose deltas are summed in what is seen; None: all but the adversary.
        classes: of the task, where labels are asked about; None: records are.
    """

    engine: Engine
    own: Samples
    rules: Rules
    seed: Seed
    honest: int | None = None
    classes: int | None = None

    @property
    def layout(self) -> Layout:
        """How the parameters lie in the vectors."""
        return self.engine.layout

    @property
    def are_texts(self) -> bool:
        """Whether records are token ids, of which an answer holds the words."""
        return self.own.inputs.dtype in (torch.int32, torch.int64)

    @property
    def are_images(self) -> bool:
        """Whether records are images, which models take as [C, H, W] in [0, 1]."""
        return self.own.inputs.dtype == torch.uint8

    def records(self, observation: Observation) -> int:
        """How many records stand behind the signal of a round, by the rules."""
        return self.rules.batch_size * self.rules.local_steps * observation.contributors

    def prepare(self, observation: Observation) -> None:
        """Nothing that all attacks would share."""

    def checked(self, answer: object, rounds: int) -> list[list[list[float]]]:
        """Rebuilt records of every round, as flat lists of numbers (:func:`.answers.records_of`).

        Never more than stand behind what is seen: a longer answer would be a list of guesses. Of
        texts any number of words, as too many of them cost precision (:func:`.answers.words_of`).
        Where labels are asked about, labels (:func:`.answers.labels_of`).
        """
        honest = self.rules.participants - 1 if self.honest is None else self.honest
        most = self.rules.batch_size * self.rules.local_steps * honest
        if self.classes is not None:
            return labels_of(answer, rounds, self.classes, most)
        if self.are_texts:
            return words_of(answer, rounds, self._words)
        return records_of(answer, rounds, self.own.inputs[0].numel(), most)

    @property
    def _words(self) -> int:
        modules = self.engine.model.modules()
        sizes = [m.num_embeddings for m in modules if isinstance(m, torch.nn.Embedding)]
        return max([*sizes, int(self.own.inputs.max()) + 1])


class ReconstructionAttack(GameAttack):
    """Rebuilds records from what was seen of a round.

    A subclass sets the class attributes, takes ``seed`` and its options as keyword arguments, and
    registers in the entry-point group ``privaudit.attacks``.

    Attributes:
        of: what of the records it rebuilds, as ``reconstruction.of`` has it: they themselves (of
            texts their words), or their ``labels``.
    """

    game: ClassVar[str] = "reconstruction"
    of: ClassVar[str] = "records"

    def __init__(self, *, seed: Seed, **options: Any) -> None:
        super().__init__(seed=seed, **options)
        self._rebuilt: list[np.ndarray] = []

    def check(self, given: Rebuilding) -> None:
        """What of the model or the rules this attack cannot work with, before anything is run.

        Raises:
            UserError: in one line.
        """

    @abstractmethod
    def rebuild(self, observation: Observation, given: Rebuilding) -> np.ndarray:
        """The records of the round, the surest first: [n, ...], n at most ``given.records``.

        Of texts the words: [n] token ids, each once. Of labels [n], each as often as it is there.
        """

    def listen(self, observation: Observation, given: Rebuilding) -> None:
        """Rebuild one round. Must not change its arguments."""
        self._rebuilt.append(self.rebuild(observation, given))

    def answer(self) -> list[np.ndarray]:
        """What was rebuilt of each round, in order."""
        return self._rebuilt
