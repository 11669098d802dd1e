"""The published attack, as the baseline to beat.

L. Melis, C. Song, E. De Cristofaro and V. Shmatikov, Exploiting Unintended Feature Leakage in
Collaborative Learning, IEEE S&P 2019, Algorithm 3 (batch property classifier) with the classifier
of section VI-A: a random forest of 50 trees on max-pooled absolute gradients.

Deviations, each where the paper is silent: rounds with more than one honest client are matched by
sums of shadow deltas drawn from one pool per round, where the paper does not say how the training
aggregates were made; the pooling rule is that of the authors' released code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from privaudit.attack.adversary import ShadowRound
from privaudit.attack.protocol import Attack
from privaudit.engine.layout import Layout
from privaudit.observation.views import Observation
from privaudit.options import Options
from privaudit.randomness import Seed

LONG_ROW = 32
"""Numbers from which two passes over a row are faster than a copy (twice, from 64 on)."""

LARGE_MATRIX = 5000
"""Matrices with more entries are reduced to one maximum per row."""


class ForestOptions(Options):
    """Options of ``melis-rf``."""

    trees: int = Field(50, ge=1, description="number of trees, at least 1")


class MelisRandomForest(Attack):
    """Random forest on max-pooled |delta|; the score is its probability minus one half."""

    name = "melis-rf"
    source = "Melis et al., IEEE S&P 2019, Algorithm 3, arXiv:1805.04049"

    Options = ForestOptions
    options: ForestOptions

    def __init__(self, *, seed: Seed, **options: Any) -> None:
        super().__init__(seed=seed, **options)
        self._train: list[np.ndarray] = []
        self._labels: list[np.ndarray] = []
        self._observed: list[np.ndarray] = []

    def partial_fit(self, observation: Observation, shadow: ShadowRound, layout: Layout) -> Self:
        """Algorithm 3, lines 3-10: gradients with and without the property at this round."""
        rng = self.seed.generator("aggregates", observation.round)
        features, labels = shadow.aggregates_seen_by(pooling(layout), layout, rng)
        self._train.append(features.numpy())
        self._labels.append(labels)
        self._observed.append(pooled(observation.signal.unsqueeze(0), layout).numpy())
        return self

    def score(self) -> np.ndarray:
        """Algorithm 3, line 12: train once on all rounds, then classify what was observed."""
        from sklearn.ensemble import RandomForestClassifier  # slow: not where options are checked

        forest = RandomForestClassifier(
            n_estimators=self.options.trees,
            random_state=self.seed.child("forest").integer() % 2**32,
        )
        forest.fit(np.concatenate(self._train), np.concatenate(self._labels))
        probability: np.ndarray = forest.predict_proba(np.concatenate(self._observed))[:, 1]
        return probability - 0.5


def pooled(vectors: Tensor, layout: Layout) -> Tensor:
    """[n, F] absolute values, max-pooled as in the authors' code."""
    return pooling(layout)(vectors, layout)


def pooling(layout: Layout) -> Callable[[Tensor, Layout], Tensor]:
    """How vectors of this layout are pooled, and parts of them: layouts of some of its rows.

    Vectors (biases) are left out; a convolution keeps one maximum per kernel; a matrix with more
    than :data:`LARGE_MATRIX` entries keeps one maximum per row.
    """
    matrices = [piece for piece in layout.slices if len(piece.shape) > 1]
    if not matrices:  # a model of biases only
        return lambda vectors, _: vectors.abs()
    by_row = {piece.name for piece in matrices if piece.shape[0] * piece.shape[1] > LARGE_MATRIX}

    def look(vectors: Tensor, part: Layout) -> Tensor:
        features = [torch.empty(len(vectors), 0)]
        for piece in part.slices:
            if len(piece.shape) < 2:
                continue
            values = vectors[:, piece.start : piece.stop]
            rows, columns = piece.shape[:2]
            if len(piece.shape) > 2:
                features.append(_peaks(values.unflatten(1, (rows * columns, -1))))
            elif piece.name in by_row:
                features.append(_peaks(values.unflatten(1, (rows, columns))))
            else:
                features.append(values.abs())
        return torch.cat(features, dim=1)

    return look


def _peaks(values: Tensor) -> Tensor:
    """[n, R, C] to the largest absolute value of each row; without a copy of what is long."""
    if values.shape[2] < LONG_ROW:
        return values.abs().amax(2)
    return torch.maximum(values.amax(2), values.amin(2).neg_()).abs_()
