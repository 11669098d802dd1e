"""An attack that learns nothing: what is left of an audit are clients, traces and shadows.

Registered for the time of a measurement (``whole.py``); it is no part of the package.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from privaudit.attack.adversary import ShadowRound
from privaudit.attack.protocol import Attack
from privaudit.engine.layout import Layout
from privaudit.observation.views import Observation
from privaudit.randomness import Seed

NAME = "only-shadows"


class OnlyShadows(Attack):
    """The shadows of each round are there; nobody looks at them."""

    name = NAME
    source = "benchmarks/speed: what an audit costs without any attack"

    def __init__(self, *, seed: Seed, **options: Any) -> None:
        super().__init__(seed=seed, **options)
        self._rounds = 0

    def partial_fit(self, observation: Observation, shadow: ShadowRound, layout: Layout) -> Self:
        """Count the round."""
        self._rounds += 1
        return self

    def score(self) -> np.ndarray:
        """The same for each round."""
        return np.zeros(self._rounds)
