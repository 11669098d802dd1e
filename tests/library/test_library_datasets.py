"""Data sets of torch, and models out of a factory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_models import pretrained
from torch.utils.data import Dataset, IterableDataset, TensorDataset

import privaudit
from privaudit.library.datasets import arrays_of

RNG = np.random.default_rng(2)
SECRET = RNG.integers(0, 2, 300)


class Listed(Dataset[Any]):
    """Items as they are given."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> Any:
        return self.items[number]


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        yield from iter(lambda: (0.0, 0), None)


def tokenised() -> Listed:
    """As Hugging Face's tokenisers leave it; the secret is a word."""
    items = []
    for secret in SECRET:
        words = RNG.integers(3, 30, 8)
        words[0] = 1 if secret else 2
        items.append(
            {
                "input_ids": torch.tensor(words),
                "attention_mask": torch.ones(8),
                "labels": torch.tensor(int(words[1] > 15)),
            }
        )
    return Listed(items)


def test_a_data_set_and_a_factory_are_audited(tmp_path: Path) -> None:
    result = privaudit.audit_model(
        tokenised(),
        properties={"secret": SECRET},
        model=pretrained,
        model_options={"scale": 0.5},
        folder=tmp_path / "mine",
        runs=1,
        federation={"participants": 2, "rounds": 1},
        audit={"rounds": 10, "fractions": [1.0], "batch_size": 8, "attacks": ["melis-rf"]},
        ledger={"enabled": False},
    )
    [row] = result.cells.to_dict("records")
    assert row["failed_runs"] == 0
    assert '"name": "small_models:pretrained"' in (result.path / "scenario.json").read_text()


def test_pairs_and_images() -> None:
    levels = RNG.integers(0, 256, (4, 3, 5, 6)).astype(np.uint8)
    images = torch.tensor(levels, dtype=torch.float32) / 255
    inputs, labels, kind = arrays_of(TensorDataset(images, torch.arange(4)), kind=None)
    assert np.array_equal(inputs, levels.transpose(0, 2, 3, 1))
    assert inputs.dtype == np.uint8
    assert list(labels) == [0, 1, 2, 3]
    assert kind is None
    inputs, labels, kind = arrays_of(tokenised(), kind=None)
    assert inputs.shape == (300, 8)
    assert kind == "text"


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (Endless(), "inputs: a data set without a length"),
        (Listed([]), "no records"),
        (Listed([1.0, 2.0]), r"inputs\[0\]: neither a pair"),
        (Listed([(np.zeros(2), 0), (np.zeros(3), 1)]), r"inputs\[1\]: of shape \[3\]"),
        (Listed([(np.zeros(2), np.zeros(2))]), r"inputs\[0\]: a label of shape \[2\]"),
        (Listed([{"a": 1, "b": 2, "label": 0}]), "a dict of a, b, label"),
        (Listed([{"input_ids": [1, 2]}]), "give 'label' or 'labels'"),
        (Listed([(torch.randn(3, 4, 4), 0)]), "leave Normalize out"),
    ],
)
def test_what_cannot_be_read(dataset: Any, message: str) -> None:
    with pytest.raises(privaudit.UserError, match=message) as refusal:
        arrays_of(dataset, kind=None)
    assert "\n" not in str(refusal.value)


def test_an_item_that_fails_is_named() -> None:
    class Broken(Listed):
        def __getitem__(self, number: int) -> Any:
            raise OSError("gone")

    with pytest.raises(privaudit.UserError, match=r"inputs\[0\]: cannot be read: OSError: gone"):
        arrays_of(Broken([1]), kind=None)
