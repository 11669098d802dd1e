"""unipen: class folding, sources, and the counts of the real data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from privaudit.data.registry import load_dataset
from privaudit.data.unipen import ALPHABET, CLASSES, _labels
from privaudit.errors import UserError
from privaudit.randomness import Seed


@pytest.mark.parametrize("task", ["36", "62", "digits", "letters"])
def test_labels_name_the_character_that_was_written(task: str) -> None:
    positions = np.arange(62)
    if task == "digits":
        positions = positions[:10]
    if task == "letters":
        positions = positions[10:]
    for position, label in zip(positions, _labels(positions, task), strict=True):
        written = ALPHABET[position]
        assert CLASSES[task][label] == (written if task == "62" else written.upper())


def test_counts_of_the_whole_set(data_dir: Path) -> None:
    dataset = load_dataset("unipen", {}, data_dir, Seed(0))
    assert dataset.inputs.shape == (105_337, 28, 28)
    assert dataset.num_classes == 36
    assert dataset.groups is not None
    assert len(np.unique(dataset.groups)) == 317
    sex, left = dataset.properties["sex"], dataset.properties["left_handed"]
    assert ((sex == 1).sum(), (sex == 0).sum(), dataset.unknown("sex")) == (6_549, 31_584, 67_204)
    assert ((left == 1).sum(), (left == 0).sum()) == (3_176, 34_701)
    assert dataset.unknown("left_handed") == 67_460
    assert any("confounded" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("task", "records", "classes"),
    [("digits", 15_950, 10), ("letters", 89_387, 26), (62, 105_337, 62)],
)
def test_counts_by_task(task: object, records: int, classes: int, data_dir: Path) -> None:
    dataset = load_dataset("unipen", {"task": task}, data_dir, Seed(0))
    assert len(dataset) == records
    assert np.unique(dataset.labels).tolist() == list(range(classes))


def test_source_ced_is_balanced_by_writer(data_dir: Path) -> None:
    dataset = load_dataset("unipen", {"sources": ["ced"]}, data_dir, Seed(0))
    assert dataset.groups is not None
    writers, first, counts = np.unique(dataset.groups, return_index=True, return_counts=True)
    assert len(writers) == 43
    assert (counts.min(), counts.max()) == (46, 217)
    assert np.bincount(dataset.properties["sex"][first]).tolist() == [23, 20]
    assert dataset.notes == ()


def test_unknown_source_names_the_known_ones(data_dir: Path) -> None:
    with pytest.raises(UserError, match=r"unknown source 'cde'; did you mean 'ced'.*known: aga"):
        load_dataset("unipen", {"sources": ["cde"]}, data_dir, Seed(0))


def test_a_source_without_digits_is_refused(data_dir: Path) -> None:
    assert len(load_dataset("unipen", {"sources": ["kai"]}, data_dir, Seed(0))) == 10_624
    with pytest.raises(UserError, match="the sources kai have no digits"):
        load_dataset("unipen", {"sources": ["kai"], "task": "digits"}, data_dir, Seed(0))
