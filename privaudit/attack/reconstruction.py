"""What an attack that rebuilds records is given, and what it answers: which records were these?

It looks at one round at a time. It holds what every participant holds: the model, records of its
own, the rules; and what it saw of the round.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from privaudit.engine.engine import Engine, Samples
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
    """

    engine: Engine
    own: Samples
    rules: Rules
    seed: Seed

    def records(self, observation: Observation) -> int:
        """How many records stand behind the signal of a round, by the rules."""
        return self.rules.batch_size * self.rules.local_steps * observation.contributors


class ReconstructionAttack(ABC):
    """Rebuilds records from what was seen of a round.

    Attributes:
        name: what it is called.
        source: where the method was published.
    """

    name: ClassVar[str]
    source: ClassVar[str]

    @abstractmethod
    def rebuild(self, observation: Observation, given: Rebuilding) -> np.ndarray:
        """The records of the round, the surest first: [n, ...], n at most ``given.records``.

        Of texts the words: [n] token ids, each once.

        Raises:
            UserError: the model has no layer of the kind that it reads.
        """
