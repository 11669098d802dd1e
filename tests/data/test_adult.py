"""adult: counts of the real table, encoding, and no private column among the inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privaudit.data.dataset import Dataset
from privaudit.data.registry import load_dataset
from privaudit.data.tables import one_hot_values, standardise
from privaudit.randomness import Seed


@given(st.lists(st.integers(-1_000, 1_000), min_size=1, max_size=30))
def test_standardised_numbers(values: list[int]) -> None:
    scaled = standardise(np.array(values))
    assert scaled.shape == (len(values), 1)
    assert scaled.dtype == np.float32
    assert scaled.mean() == pytest.approx(0, abs=1e-5)
    spread = 1 if len(set(values)) > 1 else 0
    assert scaled.std() == pytest.approx(spread, abs=1e-4)


@given(st.lists(st.sampled_from(["", "a", "b", "c"]), min_size=1, max_size=20))
def test_one_hot_can_be_read_back(values: list[str]) -> None:
    encoded = one_hot_values(np.array(values))
    distinct = sorted(set(values))
    assert encoded.shape == (len(values), len(distinct))
    assert [distinct[i] for i in encoded.argmax(axis=1)] == values
    assert (encoded.sum(axis=1) == 1).all()


@pytest.fixture(scope="module")
def adult(data_dir: Path) -> Dataset:
    return load_dataset("adult", {}, data_dir, Seed(0))


def test_counts_of_the_table(adult: Dataset) -> None:
    assert len(adult) == 48_842
    assert np.bincount(adult.labels).tolist() == [37_155, 11_687]
    assert np.bincount(adult.properties["sex"]).tolist() == [32_650, 16_192]
    assert np.bincount(adult.properties["race"]).tolist() == [41_762, 7_080]


def test_inputs_are_numbers_then_categories(adult: Dataset) -> None:
    # 5 numbers; 9 work classes, 7 marital states, 15 occupations, 6 relationships, 42 countries,
    # each including "not stated" where that occurs.
    assert adult.inputs.shape == (48_842, 5 + 9 + 7 + 15 + 6 + 42)
    assert np.isfinite(adult.inputs).all()
    assert (adult.inputs[:, 5:].sum(axis=1) == 5).all()
    assert adult.inputs[:, :5].mean(axis=0) == pytest.approx(np.zeros(5), abs=1e-3)


def test_private_columns_stay_out_unless_asked_for(adult: Dataset, data_dir: Path) -> None:
    def equal_columns(dataset: Dataset) -> int:
        sex = dataset.properties["sex"][:, None]
        return int((dataset.inputs == sex).all(axis=0).sum())

    kept = load_dataset("adult", {"keep_private": True}, data_dir, Seed(0))
    assert equal_columns(adult) == 0
    assert equal_columns(kept) == 1
    assert kept.inputs.shape[1] == adult.inputs.shape[1] + 2 + 5
    assert adult.notes != kept.notes
