"""An attack from another distribution: batches that move the model further have the property."""

from __future__ import annotations

from typing import Self

import numpy as np

from privaudit.attack.adversary import ShadowRound
from privaudit.attack.protocol import Attack
from privaudit.engine.layout import Layout
from privaudit.observation.views import Observation
from privaudit.randomness import Seed


class NormAttack(Attack):
    """Scores a round by the norm of the signal, beside the median of the shadows."""

    name = "norm"
    source = "own: for the tests of privaudit"

    def __init__(self, *, seed: Seed, factor: float = 1.0) -> None:
        super().__init__(seed=seed)
        self.factor = factor
        self._scores: list[float] = []

    def partial_fit(self, observation: Observation, shadow: ShadowRound, layout: Layout) -> Self:
        """Keep one number a round."""
        aggregates, _ = shadow.aggregates(self.seed.generator(observation.round))
        middle = float(aggregates.norm(dim=1).median())
        self._scores.append(self.factor * (float(observation.signal.norm()) - middle))
        return self

    def score(self) -> np.ndarray:
        """[T] norms minus the shadows' median."""
        return np.array(self._scores)
