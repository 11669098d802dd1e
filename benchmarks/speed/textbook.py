"""The models as somebody would write them, and the shared sizes; needs torch only.

The peers' processes import this file too, so it must not import privaudit.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

CLIENTS, RECORDS, BATCH, CLASSES, LR = 20, 120, 32, 47, 0.05
"""W1: a round of FedAvg, one local epoch; records per client."""

CNN_FLOP = 3 * 2 * (14 * 14 * 64 * 32 * 9 + 3136 * 128 + 128 * CLASSES) + 2 * 2 * 28 * 28 * 32 * 9
"""Of one record, forward and backward, counted as direct convolutions."""


def cnn() -> nn.Sequential:
    """1 -> 32 -> 64 -> dense 128 -> 47 on 28x28, in the order of the textbooks."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(3136, 128),
        nn.ReLU(),
        nn.Linear(128, CLASSES),
    )


def clients(number: int = CLIENTS, records: int = RECORDS) -> list[tuple[Tensor, Tensor]]:
    """Pictures [records, 1, 28, 28] in 0..1 and labels of each client: noise, costs the same."""
    generator = torch.Generator().manual_seed(0)
    return [
        (
            torch.rand(records, 1, 28, 28, generator=generator),
            torch.randint(CLASSES, (records,), generator=generator),
        )
        for _ in range(number)
    ]


def mcmahan() -> nn.Sequential:
    """The CNN of B. McMahan et al. (AISTATS 2017): 5x5 convolutions, a dense layer of 512."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(3136, 512),
        nn.ReLU(),
        nn.Linear(512, 10),
    )


def processor_seconds(root: int) -> float:
    """Processor time so far of a process and of all that descend from it (Linux)."""
    parents, spent = {}, {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        process = int(file.parent.name)
        parents[process] = int(fields[1])
        spent[process] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    known = {root}
    while grown := {p for p, parent in parents.items() if parent in known} - known:
        known |= grown
    return sum(spent.get(process, 0.0) for process in known)


class ResidualNet(nn.Module):
    """A small residual network with group normalisation, which nothing here was written for."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, padding=1)
        self.blocks = nn.Sequential(Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2))
        self.head = nn.Linear(64, classes)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.blocks(functional.relu(self.stem(images)))
        return self.head(maps.mean((2, 3)))


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.skip = nn.Conv2d(before, after, 1, stride, bias=False)
        self.norms = nn.ModuleList(nn.GroupNorm(4, after) for _ in range(2))

    def forward(self, maps: Tensor) -> Tensor:
        inner = functional.relu(self.norms[0](self.first(maps)))
        return functional.relu(self.norms[1](self.second(inner)) + self.skip(maps))


class AttentionNet(nn.Module):
    """One transformer layer over word vectors."""

    def __init__(self, vocabulary: int = 500, length: int = 40, width: int = 32) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)
        self.places = nn.Parameter(torch.randn(1, length, width) * 0.1)
        self.layer = nn.TransformerEncoderLayer(width, 4, 64, dropout=0.0, batch_first=True)
        self.head = nn.Linear(width, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.layer(self.words(tokens) + self.places).mean(1))


class KimNet(nn.Module):
    """Y. Kim's convolutional network for sentences, sizes of Melis et al., as usually written."""

    def __init__(self, vocabulary: int = 4000, width: int = 320, filters: int = 100) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width, padding_idx=0)
        self.banks = nn.ModuleList(nn.Conv1d(width, filters, size) for size in (3, 4, 5))
        self.head = nn.Linear(3 * filters, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        vectors = self.words(tokens).transpose(1, 2)
        pooled = [functional.relu(bank(vectors)).amax(2) for bank in self.banks]
        return self.head(torch.cat(pooled, 1))
