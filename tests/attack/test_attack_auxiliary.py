"""The adversary's records for models with several inputs, and for other losses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from privaudit.attack.auxiliary import read_own_records
from privaudit.errors import UserError

IDS = np.arange(12).reshape(4, 3)
LABELS, ODD = np.array([0, 1, 0, 1]), np.array([1, 0, 1, 0])


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path / "mine.npz", **arrays)
    return path / "mine.npz"


def test_arrays_by_name_and_by_place(tmp_path: Path) -> None:
    named = {"inputs.ids": IDS, "inputs.weights": IDS * 0.5}
    found = read_own_records(save(tmp_path, labels=LABELS, odd=ODD, **named))
    assert list(found.properties) == ["odd"]
    assert set(found.samples.inputs) == {"ids", "weights"}
    inputs, _ = found.samples.batch(np.array([1]), torch.device("cpu"))
    assert inputs["ids"].tolist() == [[3, 4, 5]]
    assert inputs["ids"].dtype == torch.int64
    assert inputs["weights"].dtype == torch.float32
    placed = {f"inputs.{place}": IDS + place for place in range(11)}
    found = read_own_records(save(tmp_path, labels=LABELS, odd=ODD, **placed))
    assert [int(one[0, 0]) for one in found.samples.inputs] == list(range(11))


def test_labels_are_as_the_loss_takes_them(tmp_path: Path) -> None:
    many = save(tmp_path, inputs=IDS * 0.5, odd=ODD, labels=np.eye(4)[:, :2])
    found = read_own_records(many, loss="mse").samples.labels
    assert found.shape == (4, 2)
    assert found.dtype == torch.float32
    with pytest.raises(UserError, match="not class indices"):
        read_own_records(many)
    whole = save(tmp_path, inputs=IDS * 0.5, odd=ODD, labels=LABELS)
    assert read_own_records(whole, loss="bce").samples.labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"inputs.a": IDS, "inputs.b": IDS[:3], "labels": LABELS}, "records"),
        ({"inputs.a": IDS, "labels": LABELS[:3]}, "expected numbers [4]"),
        ({"inputs.a": np.array(["x"] * 4)[:, None], "labels": LABELS}, "'inputs.a' holds <U1"),
        ({"inputs": IDS * 0.5, "labels": np.full((4, 2), np.nan)}, "labels"),
        ({"inputs": IDS * 0.5, "labels": np.zeros((3, 2))}, "expected numbers"),
    ],
)
def test_what_cannot_be_read_is_named(arrays: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as found:
        read_own_records(save(tmp_path, odd=ODD, **arrays), loss="mse")
    assert said in str(found.value)
    assert "\n" not in str(found.value)
