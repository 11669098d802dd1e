"""benchmarks/attacks/compare.py counts what it says it counts."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from privaudit.scenario.grid import cells_of
from privaudit.scenario.schema import Scenario

DIFFERENCE = ["difference", "error", "low", "high", "p"]
FILE = Path(__file__).parents[2] / "benchmarks" / "attacks" / "compare.py"


@pytest.fixture
def compare(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FILE.parent))
    spec = importlib.util.spec_from_file_location("compare_benchmark", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_list_holds_what_it_must_and_every_scenario_is_one(
    compare: ModuleType, tmp_path: Path
) -> None:
    compare.cells.write_tables(tmp_path)
    made = [Scenario.model_validate(table) for table in compare.cells.scenarios(tmp_path)]
    assert len({scenario.name for scenario in made}) == len(made), "a folder each"
    found = [cell for scenario in made for cell in cells_of(scenario)]
    assert len(found) >= 160
    assert {cell.participants for cell in found} == {2, 5, 17}
    assert {cell.fraction for cell in found} == {0.1, 0.5, 1.0}
    for holds in (
        lambda s: s.federation.rounds >= 20,
        lambda s: s.federation.partition == "by-group",
        lambda s: s.audit.others == "natural",
        lambda s: s.audit.local_steps > 1,
        lambda s: s.model.options.get("dropout", 0) > 0,
    ):
        assert any(map(holds, made))


def test_cells_are_counted_by_where_the_whole_interval_lies(compare: ModuleType) -> None:
    table = pd.DataFrame(
        [
            ("a", "p", 2, 0.5, 0.9, 0.4, 0.15, 0.1, 0.7, 0.01),
            ("a", "p", 2, 0.7, 0.6, -0.1, 0.04, -0.2, -0.05, 0.04),
            ("b", "p", 5, 0.5, 0.6, 0.1, 0.5, -1, 1, 0.5),
        ],
        columns=[
            "scenario",
            "property",
            *["K", "theirs", "ours", "difference", "error", "low", "high", "p"],
        ],
    )
    lines = compare.summary(table, "ours", "theirs").splitlines()
    assert "ahead of theirs in 2 of 3 cells" in lines[0]
    assert "above 0 in 1 and below 0 in 1" in lines[0]
    # 0.04 is below 5 %, but not below two thirds of that.
    assert "ahead in 1 and behind in 0; ahead or level (no more than 0.02 behind) in 2" in lines[0]
    found = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[4:]]
    assert found == [
        ["all", "3", "2", "1", "1", "0.57", "0.70", "0.13", "-0.10", "0.40"],
        ["2", "2", "1", "1", "1", "0.60", "0.75", "0.15", "-0.10", "0.40"],
        ["5", "1", "1", "0", "0", "0.50", "0.60", "0.10", "0.10", "0.10"],
    ]


def test_the_share_that_is_behind_is_found_where_errors_hide_it(compare: ModuleType) -> None:
    def shares(behind: float, seed: int, far: float = 0.15) -> tuple[float, float]:
        rng = np.random.default_rng(seed)
        true = np.where(rng.random(220) < behind, -far, 0.0)
        seen = {"difference": true + 0.03 * rng.standard_normal(220), "error": 0.03}
        cells = pd.DataFrame({"scenario": np.arange(220) // 2, "property": "p"} | seen)
        return compare.level_share(cells)

    for behind in (0.0, 0.2):
        found = np.array([shares(behind, seed) for seed in range(4)])
        assert (found[:, 1] <= 1 - behind).all()
        assert (found[:, 1] <= found[:, 0]).all()
        assert abs(np.median(found[:, 0]) - (1 - behind)) < 0.1
    assert shares(1.0, 5)[0] < 0.05
    # Hardly behind: what is most likely may be anything, the bound still holds.
    assert all(shares(0.2, seed, far=0.04)[1] <= 0.8 for seed in range(4))
