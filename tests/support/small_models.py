"""Modules and records that fit in the head of a reader."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from privaudit.engine.engine import Engine, Samples

EPSILON = torch.finfo(torch.float32).eps


def rounding(terms: int, magnitude: float) -> float:
    """Bound on |fl(sum) - sum| for a float32 sum of ``terms`` products.

    Two ways to add the same terms differ by at most 2 n u |sum of magnitudes| (N. Higham, Accuracy
    and Stability of Numerical Algorithms, 2nd edition, section 3.1, u = eps / 2).
    """
    return terms * EPSILON * magnitude


class Dense(nn.Module):
    """Two dense layers with tanh between them: smooth, so that no kink disturbs a comparison."""

    def __init__(self, features: int = 5, hidden: int = 7, classes: int = 3) -> None:
        super().__init__()
        self.first = nn.Linear(features, hidden)
        self.second = nn.Linear(hidden, classes)

    def forward(self, rows: Tensor) -> Tensor:
        return self.second(torch.tanh(self.first(rows)))


class BatchNormalised(nn.Module):
    """Images through a layer whose gradients depend on the batch."""

    def __init__(self, num_classes: int, side: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(side * side, 6)
        self.norm = nn.BatchNorm1d(6)
        self.output = nn.Linear(6, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.output(torch.relu(self.norm(self.hidden(images.flatten(1)))))


class Convolutions(nn.Module):
    """Images through a layer with a map per class: nothing dense, nothing before it."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.maps = nn.Conv2d(1, num_classes, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.maps(images).mean((2, 3))


class WithLogits(nn.Module):
    """As models of Hugging Face: answers hold the logits."""

    def __init__(self, vocabulary: int, classes: int) -> None:
        super().__init__()
        self.words = nn.EmbeddingBag(vocabulary, 6, padding_idx=0)
        self.head = nn.Linear(6, classes)

    def forward(self, input_ids: Tensor) -> dict[str, Tensor]:
        return {"logits": self.head(self.words(input_ids))}


def pretrained(vocabulary_size: int, num_classes: int, scale: float = 1.0) -> WithLogits:
    """A factory, as ``AutoModelForSequenceClassification.from_pretrained`` is wrapped in one."""
    model = WithLogits(vocabulary_size, num_classes)
    with torch.no_grad():
        model.head.weight.mul_(scale)
    return model


def dense_engine(seed: int = 0, **sizes: int) -> Engine:
    """An engine over :class:`Dense` with reproducible weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Engine(Dense(**sizes))


def rows(count: int, features: int = 5, classes: int = 3, seed: int = 0) -> Samples:
    """Standard normal rows with random labels."""
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((count, features)).astype(np.float32)
    return Samples.of(inputs, rng.integers(classes, size=count))
