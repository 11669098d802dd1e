"""benchmarks/attacks/compare.py counts what it says it counts."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pandas as pd

FILE = Path(__file__).parents[2] / "benchmarks" / "attacks" / "compare.py"


def test_cells_are_counted_by_where_the_whole_interval_lies() -> None:
    spec = importlib.util.spec_from_file_location("compare_benchmark", FILE)
    assert spec is not None
    assert spec.loader is not None
    compare = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(compare)
    table = pd.DataFrame(
        [(2, 0.5, 0.9, 0.4, 0.1, 0.7), (2, 0.7, 0.6, -0.1, -0.2, -0.05), (5, 0.5, 0.6, 0.1, -1, 1)],
        columns=["K", "theirs", "ours", "difference", "low", "high"],
    )
    lines = compare.summary(table, "ours", "theirs").splitlines()
    assert "ahead of theirs in 2 of 3 cells" in lines[0]
    assert "above 0 in 1 and below 0 in 1" in lines[0]
    found = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[4:]]
    assert found == [
        ["all", "3", "2", "1", "1", "0.57", "0.70", "0.13", "-0.10", "0.40"],
        ["2", "2", "1", "1", "1", "0.60", "0.75", "0.15", "-0.10", "0.40"],
        ["5", "1", "1", "0", "0", "0.50", "0.60", "0.10", "0.10", "0.10"],
    ]
