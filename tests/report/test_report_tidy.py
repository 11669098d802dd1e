"""Cells of all games in one frame."""

from __future__ import annotations

import numpy as np
import pandas as pd
from report_content import cell, content, scenario

from privaudit.report.tidy import COLUMNS, tidy_cells


def test_one_row_per_cell_with_the_numbers_of_the_table() -> None:
    made = content(scenario(audit={"attacks": ["linear", "melis-rf"], "fractions": [0.1, 1.0]}))
    frame = tidy_cells(made.cells)
    assert list(frame) == list(COLUMNS)
    assert len(frame) == len(made.cells)
    for row, one in zip(frame.itertuples(), made.cells, strict=True):
        assert one.auc is not None
        assert (row.target, row.attack, row.share) == (one.property, one.attack, one.fraction)
        assert (row.value, row.low, row.high) == (one.auc.value, one.auc.low, one.auc.high)
        assert (row.game, row.statistic, row.blind) == ("property", "auc", 0.5)
        assert row.defence == "none"
        assert row.n == one.rounds


def test_what_failed_is_missing_and_numbers_stay_numbers() -> None:
    frame = tidy_cells([cell(auc=None, failures=("gone", "gone", "gone"))])
    assert frame["value"].isna().all()
    assert frame["value"].dtype == np.float64
    assert list(frame["runs"]) == [0]
    assert list(frame["failed_runs"]) == [3]
    assert not frame["told"].any()


def test_no_cells_have_the_same_columns() -> None:
    empty = tidy_cells([])
    assert list(empty) == list(COLUMNS)
    assert isinstance(empty, pd.DataFrame)
