"""Model and data of the app. In a real federation each node reads its own files instead."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from privaudit.data.registry import load_dataset
from privaudit.randomness import Seed

LISTENER, AUDITED = 0, 1
"""Partitions: who listens, and whose batches the auditor draws. The others are real clients."""


class Net(nn.Module):
    """A small convolutional network."""

    def __init__(self, num_classes: int = 36) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.hidden, self.out = nn.Linear(16 * 49, 32), nn.Linear(32, num_classes)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits [b, classes] of images [b, 1, 28, 28] in [0, 1]."""
        pixels = nn.functional.max_pool2d(torch.relu(self.conv1(pixels)), 2)
        pixels = nn.functional.max_pool2d(torch.relu(self.conv2(pixels)), 2)
        return self.out(torch.relu(self.hidden(pixels.flatten(1))))


def make_model(seed: int) -> Net:
    """The model everybody starts from."""
    torch.manual_seed(seed)
    return Net()


def records_of(partition: int, config: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """What a node holds: images [N, 28, 28] uint8, labels [N], and the property [N] 0/1."""
    nodes, name, seed = config["nodes"], config["property"], config["seed"]
    data = load_dataset("glyphs", {"records": config["records"]}, None, Seed(seed).child("data"))
    deal = Seed(seed).generator("deal").permutation(len(data.labels))
    own = np.sort(deal[partition::nodes])
    columns = {"inputs": data.inputs, "labels": data.labels, name: data.properties[name]}
    return {key: values[own] for key, values in columns.items()}


def tensors(
    records: dict[str, np.ndarray], chosen: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch as the model takes it."""
    pixels = torch.from_numpy(records["inputs"][chosen]).float().unsqueeze(1) / 255
    return pixels, torch.from_numpy(records["labels"][chosen].astype(np.int64))


if (
    __name__ == "__main__"
):  # python -m audited_app.task FILE [KEY=VALUE ...]: the listener's records
    app = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    config = app["tool"]["flwr"]["app"]["config"]
    config |= {key: int(value) for key, _, value in (pair.partition("=") for pair in sys.argv[2:])}
    np.savez(sys.argv[1], **records_of(LISTENER, config))
