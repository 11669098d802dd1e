"""benchmarks/speed/run.py keeps what it measured where a part cannot be measured."""

from __future__ import annotations

import csv
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "speed" / "run.py"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", list(sys.path))
    spec = importlib.util.spec_from_file_location("speed_run", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_missing_data_set_loses_no_other_part(
    run: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def missing(*_: object) -> list[object]:
        raise SystemExit("grid.py failed:\nprivaudit: no data set 'csi' in /data")

    measured = run.Row("Trace", "write", 300.0, "MB/s")
    monkeypatch.setattr(run.sections, "traces", lambda *_: [measured])
    monkeypatch.setattr(run.sections, "grid", missing)
    monkeypatch.setattr(run.sections, "w2", lambda *_: [measured])
    arguments = ["run.py", "--quick", "--only", "traces,grid,W2", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as left:
        run.main()
    assert left.value.code == 1
    with (tmp_path / "speed.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["value"] for row in rows] == ["300.0", "", "300.0"]
    assert rows[1]["note"] == "privaudit: no data set 'csi' in /data"
    assert "not measured" in (tmp_path / "speed.md").read_text()
    assert "no data set 'csi'" in capsys.readouterr().err
