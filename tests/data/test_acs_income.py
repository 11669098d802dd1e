"""acs-income: counts of the real rows, encoding, subsampling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from privaudit.data.acs_income import BIRTHPLACE_STARTS, OCCUPATION_STARTS, _bin
from privaudit.data.registry import check_options, load_dataset
from privaudit.errors import UserError
from privaudit.randomness import Seed


def test_codes_fall_into_the_group_that_starts_at_or_below() -> None:
    codes = np.array([10, 499, 500, 9799, 9800, 9830])
    assert _bin(codes, OCCUPATION_STARTS).tolist() == [0, 0, 1, 23, 24, 24]
    assert _bin(np.array([1, 56, 72, 303, 374, 554]), BIRTHPLACE_STARTS).tolist() == [
        *(0, 0, 1, 4, 5, 7)
    ]


def test_counts_of_all_rows(data_dir: Path) -> None:
    dataset = load_dataset("acs-income", {}, data_dir, Seed(0))
    assert dataset.inputs.shape == (977_239, 3 + 8 + 18 + 25 + 8)
    assert dataset.inputs.dtype == np.float32
    assert (dataset.inputs[:, 3:].sum(axis=1) == 4).all()
    assert (dataset.inputs[:, 3:].sum(axis=0) > 0).all(), "every category occurs"
    assert round(float(dataset.labels.mean()), 3) == 0.369
    assert dataset.groups is not None
    rows = np.bincount(dataset.groups)
    assert len(rows) == 39
    present = {name: int(values.sum()) for name, values in dataset.properties.items()}
    assert present == {"sex": 468_557, "nonwhite": 184_122, "married": 542_709}
    earning = {
        name: dataset.labels[values == 1].mean() for name, values in dataset.properties.items()
    }
    assert max(earning["sex"], earning["nonwhite"]) < 0.369 < earning["married"]
    assert {22_268, 3_546, 33_277, 31_306, 19_785, 39_944, 52_067} <= set(rows.tolist())


def test_states_and_records_are_chosen_reproducibly(data_dir: Path) -> None:
    options = {"states": ["AK", "WA"], "records": 4_000}
    first = load_dataset("acs-income", options, data_dir, Seed(1))
    again = load_dataset("acs-income", options, data_dir, Seed(1))
    other = load_dataset("acs-income", options, data_dir, Seed(2))
    assert len(first) == 4_000
    assert first.groups is not None
    assert len(np.unique(first.groups)) == 2
    assert first.inputs.tobytes() == again.inputs.tobytes()
    assert first.inputs.tobytes() != other.inputs.tobytes()
    share = (first.groups == first.groups.min()).mean()  # AK: 3,546 of 43,490 rows
    assert share == pytest.approx(0.0815, abs=0.022)  # five standard errors


def test_private_columns_stay_out_unless_asked_for(data_dir: Path) -> None:
    rows = {"records": 5_000}
    without = load_dataset("acs-income", rows, data_dir, Seed(0))
    kept = load_dataset("acs-income", {**rows, "keep_private": True}, data_dir, Seed(0))
    assert kept.inputs.shape[1] == without.inputs.shape[1] + 6
    for values in kept.properties.values():
        assert (kept.inputs == values[:, None]).all(axis=0).any()
        assert not (without.inputs == values[:, None]).all(axis=0).any()


def test_bad_options(data_dir: Path) -> None:
    with pytest.raises(UserError, match="unknown state 'Alaska'"):
        load_dataset("acs-income", {"states": ["Alaska"]}, data_dir, Seed(0))
    with pytest.raises(UserError, match="'records' = 9000: the chosen states have 3546 rows"):
        load_dataset("acs-income", {"states": ["AK"], "records": 9_000}, data_dir, Seed(0))
    with pytest.raises(UserError, match="'records' = 0"):
        check_options("acs-income", {"records": 0})
