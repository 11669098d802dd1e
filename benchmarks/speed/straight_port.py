"""The published method as one would write it down, to compare cost and AUC with.

L. Melis et al., Exploiting Unintended Feature Leakage in Collaborative Learning, IEEE S&P 2019,
Algorithm 3: for every cell of the table a federation of its own and, in every round, fresh batches
of auxiliary data at the current parameters - 8 aggregates with the property and 8 without it, each
the sum of K - 1 gradients, so 16 (K - 1) backward passes - max-pooled absolute values, and one
random forest of 50 trees in the end. Plain PyTorch, one batch after the other; nothing of the
engine, federation and attacks of this package. Who holds which records, in which rounds the
property is there, and the initial weights are those of the run it is compared with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier
from torch import Tensor, nn
from torch.nn import functional

from privaudit.experiment.world import World
from privaudit.federation.partition import ADVERSARY, TARGET
from privaudit.federation.schedule import property_pools
from privaudit.models.image_cnn import ImageCNN
from privaudit.models.text_cnn import TextCNN
from privaudit.scenario.grid import Cell

AGGREGATES = 8
"""Of each kind, per round."""


class KimCNN(nn.Module):
    """The text CNN in the words of its paper: embedding, convolutions over time, maximum, dense."""

    def __init__(self, of: TextCNN) -> None:
        super().__init__()
        count, size = of.embedding.weight.shape
        self.embedding = nn.Embedding(count, size, padding_idx=0)
        self.convolutions = nn.ModuleList()
        self.output = nn.Linear(of.output.in_features, of.output.out_features)
        with torch.no_grad():
            self.embedding.weight.copy_(of.embedding.weight)
            self.output.load_state_dict(of.output.state_dict())
            for width, bank in zip(of.widths, of.banks, strict=True):
                assert isinstance(bank, nn.Linear)
                convolution = nn.Conv1d(size, bank.out_features, width)
                assert convolution.bias is not None
                weight = bank.weight.view(-1, width, size).transpose(1, 2)
                convolution.weight.copy_(weight)
                convolution.bias.copy_(bank.bias)
                self.convolutions.append(convolution)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of token ids [b, length]."""
        words = self.embedding(tokens.long()).transpose(1, 2)
        pooled = [functional.relu(c(words)).amax(2) for c in self.convolutions]
        return self.output(torch.cat(pooled, 1))


class PlainCNN(nn.Module):
    """The image CNN in the usual order: convolution, ReLU, max-pool."""

    def __init__(self, of: ImageCNN) -> None:
        super().__init__()
        self.convolutions, self.hidden, self.output = of.convolutions, of.hidden, of.output

    def forward(self, images: Tensor) -> Tensor:
        """Logits of byte images [b, side, side]."""
        maps = images.unsqueeze(1).float() / 255
        for convolution in self.convolutions:
            maps = functional.max_pool2d(functional.relu(convolution(maps)), 2)
        return self.output(functional.relu(self.hidden(maps.flatten(1))))


def plain_model(module: nn.Module) -> nn.Module:
    """The plain network with the weights of a bundled one."""
    if isinstance(module, TextCNN):
        return KimCNN(module)
    assert isinstance(module, ImageCNN)
    return PlainCNN(module)


def audit_cell(
    world: World, module: nn.Module, cell: Cell, present: Sequence[bool]
) -> tuple[np.ndarray, int]:
    """Scores [T] of one cell, and how many batches were backpropagated.

    Args:
        world: data and who holds which.
        module: bundled model with the weights to start from.
        cell: sharing rule ``largest`` or ``all``.
        present: [T] in which rounds the target's batch has the property.
    """
    audit, batch = world.scenario.audit, world.scenario.audit.batch_size
    partition = world.deal(cell.run).audited(cell.participants)
    pools = property_pools(world.dataset, partition, cell.property, batch, audit.others)
    rng = world.run_seed(cell.run).generator("straight-port", cell.name)
    inputs, labels = world.samples.inputs, world.samples.labels
    model, honest, passes = plain_model(module), cell.participants - 1, 0
    lr = audit.lr or world.scenario.federation.lr

    def sent(pool: np.ndarray) -> list[Tensor]:
        """What a client with a batch of these records uploads."""
        nonlocal passes
        passes += 1
        chosen = torch.from_numpy(rng.choice(pool, batch, replace=batch > len(pool)))
        loss = functional.cross_entropy(model(inputs[chosen]), labels[chosen])
        return shared(torch.autograd.grad(loss, list(model.parameters())), cell.fraction)

    features, kinds, observed = [], [], []
    own, target = pools.absent[ADVERSARY], pools.present[ADVERSARY]
    for with_property in present:
        for kind in (True, False):
            for _ in range(AGGREGATES):
                parts = [sent(target if kind else own), *(sent(own) for _ in range(honest - 1))]
                features.append(pooled(summed(parts)))
                kinds.append(kind)
        of_target = pools.present[TARGET] if with_property else pools.absent[TARGET]
        bystanders = [sent(pools.absent[k]) for k in range(2, cell.participants)]
        others = summed([sent(of_target), *bystanders])
        observed.append(pooled(others))
        mean = summed([others, sent(pools.every[ADVERSARY])])
        with torch.no_grad():
            for parameter, part in zip(model.parameters(), mean, strict=True):
                parameter.sub_(part, alpha=lr / cell.participants)
    forest = RandomForestClassifier(n_estimators=50, random_state=0)
    forest.fit(np.stack(features), kinds)
    return forest.predict_proba(np.stack(observed))[:, 1], passes


def shared(gradient: Sequence[Tensor], fraction: float) -> list[Tensor]:
    """The largest ``fraction`` of all values; zeros elsewhere."""
    if fraction == 1.0:
        return list(gradient)
    flat = torch.cat([part.flatten() for part in gradient])
    kept = flat.abs().topk(math.ceil(fraction * len(flat))).indices
    sparse = torch.zeros_like(flat)
    sparse[kept] = flat[kept]
    pieces = sparse.split([part.numel() for part in gradient])
    return [piece.view(part.shape) for piece, part in zip(pieces, gradient, strict=True)]


def summed(updates: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """The sum, tensor by tensor."""
    return [torch.stack(parts).sum(0) for parts in zip(*updates, strict=True)]


def pooled(update: Sequence[Tensor]) -> np.ndarray:
    """Absolute values, max-pooled as in the authors' code; biases left out."""
    features = []
    for part in update:
        if part.dim() < 2:
            continue
        values = part.abs()
        if part.dim() > 2:
            values = values.flatten(2).amax(2)
        elif part.numel() > 5000:
            values = values.amax(1)
        features.append(values.flatten())
    return torch.cat(features).numpy()
