"""mnist-writers: counts of the real data."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from privaudit.data.registry import load_dataset
from privaudit.randomness import Seed


def test_counts_and_the_published_mean(data_dir: Path) -> None:
    dataset = load_dataset("mnist-writers", {}, data_dir, Seed(0))
    assert dataset.inputs.shape == (63_000, 28, 28)
    assert round(float(dataset.inputs[:60_000].mean()), 4) == 33.3184
    assert np.unique(dataset.labels).tolist() == list(range(10))
    assert np.bincount(dataset.properties["student"]).tolist() == [30_950, 32_050]


def test_a_writer_is_student_or_employee(data_dir: Path) -> None:
    dataset = load_dataset("mnist-writers", {}, data_dir, Seed(0))
    assert dataset.groups is not None
    writers, group, counts = np.unique(dataset.groups, return_inverse=True, return_counts=True)
    assert len(writers) == 788
    assert (counts.min(), counts.max(), np.median(counts)) == (4, 131, 104)
    share = np.bincount(group, weights=dataset.properties["student"]) / counts
    assert ((share == 0).sum(), (share == 1).sum()) == (289, 499)
