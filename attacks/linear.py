"""A linear classifier on the signed delta.

An aggregate is a sum, so a shift in one client's mean delta survives it, while maxima and absolute
values do not. Own work; the simplest member of the family of docs/attacks.md.
"""

from __future__ import annotations

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


class LinearOptions(Options):
    """Options of ``linear``."""

    dimensions: int = Field(
        16384, ge=1, description="at least 1; a longer delta is hashed to this many signed sums"
    )


class LinearDelta(Attack):
    """Ridge regression on the delta, centred and scaled per round by the adversary's own shadows.

    The strength of the ridge is chosen by leave-one-out error on the simulated aggregates.
    """

    name = "linear"
    source = "own: ridge regression on the signed aggregate, centred per round"

    Options = LinearOptions
    options: LinearOptions

    def __init__(self, *, seed: Seed, **options: Any) -> None:
        super().__init__(seed=seed, **options)
        self._train: list[np.ndarray] = []
        self._labels: list[np.ndarray] = []
        self._observed: list[np.ndarray] = []
        self._sketch = SignedSums(self.options.dimensions, seed)

    def partial_fit(self, observation: Observation, shadow: ShadowRound, layout: Layout) -> Self:
        """Centre what was seen and the simulated aggregates on the round's expectation."""
        rng = self.seed.generator("aggregates", observation.round)
        # Sums of sketches are sketches of sums: nothing of the size of all aggregates is made.
        aggregates, labels = shadow.seen_through(self._sketch).aggregates(rng)
        train, observed, _ = centred(aggregates, self._sketch(observation.signal.unsqueeze(0)))
        self._train.append(train.numpy())
        self._labels.append(labels)
        self._observed.append(observed.numpy())
        return self

    def score(self) -> np.ndarray:
        """Signed distance from the decision boundary."""
        from sklearn.linear_model import RidgeClassifierCV  # slow: not where options are checked

        train = np.concatenate(self._train)
        model = RidgeClassifierCV(alphas=train.shape[1] * np.logspace(-3, 3, 7))
        train, observed = in_row_space(train, np.concatenate(self._observed))
        model.fit(train, np.concatenate(self._labels))
        scores: np.ndarray = model.decision_function(observed)
        return scores.astype(np.float64)


class SignedSums:
    """Vectors [n, P], hashed to [n, ``dimensions``] where they are longer.

    Hashing to signed sums (K. Weinberger et al., Feature Hashing for Large Scale Multitask
    Learning, ICML 2009) keeps inner products in expectation. Only the signs are random; sum j takes
    every coordinate j, j + ``dimensions``, ..., as the expectation is over the signs alone.
    """

    def __init__(self, dimensions: int, seed: Seed) -> None:
        self._dimensions, self._seed = dimensions, seed
        self._signs: Tensor | None = None

    def __call__(self, vectors: Tensor) -> Tensor:
        """[n, D], the vectors themselves where they are no longer."""
        size = vectors.shape[1]
        if size <= self._dimensions:
            return vectors
        if self._signs is None:
            generator = self._seed.torch_generator("sketch")
            # A byte each: a model may be large.
            self._signs = torch.empty(size, dtype=torch.int8).random_(2, generator=generator)
        sums = torch.zeros(len(vectors), self._dimensions)
        for start in range(0, size, self._dimensions):
            block = vectors[:, start : start + self._dimensions]
            signs = self._signs[start : start + block.shape[1]].float().mul_(2).sub_(1)
            sums[:, : block.shape[1]].addcmul_(block, signs)
        return sums


def centred(aggregates: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Both less the mean of the aggregates, in units of their spread, and that spread."""
    middle = aggregates.mean(0)
    aggregates, seen = aggregates - middle, seen - middle
    scale = aggregates.square().mean().sqrt().clamp_min(torch.finfo(torch.float32).tiny)
    return aggregates / scale, seen / scale, scale


def in_row_space(train: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[n, D] and [T, D] rows in an orthonormal basis of the row space of ``train``.

    A ridge's weights lie in that space, so its predictions are the same, at the memory of an n x n
    matrix instead of several copies of n x D. Fewer columns than rows stay as they are.
    """
    if train.shape[1] <= len(train):
        return train, observed
    gram = (train @ train.T).astype(np.float64)
    values, vectors = np.linalg.eigh(gram)
    kept = values > values[-1] * len(train) * np.finfo(np.float32).eps
    scale = np.sqrt(values[kept])
    cross = (observed @ train.T).astype(np.float64)
    return vectors[:, kept] * scale, cross @ vectors[:, kept] / scale
