"""``privaudit index``: every audit in a folder on one page, finished or not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from html_check import read_page
from ledger_runs import run_command
from measured_folders import dilution_folder, finished_run, sweep_folder
from refusals import refused
from report_content import content, scenario

from privaudit.report.plain import report_json
from privaudit.studies.index import entries

AUDIT = {"properties": ["bold"], "attacks": ["linear"]}


def test_every_kind_is_listed_unfinished_and_damaged_ones_as_such(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = scenario(audit=AUDIT, federation={"rounds": 0})
    good = finished_run(tmp_path / "good", made)
    good.write_text("report/report.json", report_json(content(made)))
    good.write_text("report/index.html", "")
    sweep_folder(tmp_path / "deeper" / "sweep")
    dilution_folder(tmp_path / "diluted")
    for folder in (tmp_path / "deeper" / "sweep", tmp_path / "diluted"):
        assert run_command("report", str(folder)) == 0
    finished_run(tmp_path / "cut-off", scenario())
    shutil.copytree(tmp_path / "good", tmp_path / "torn")
    (tmp_path / "torn" / "report" / "report.json").write_text('{"title": ')
    shutil.copytree(tmp_path / "good", tmp_path / "torn-scenario")
    (tmp_path / "torn-scenario" / "scenario.json").write_text("{}")
    (tmp_path / "no-audit").mkdir()
    capsys.readouterr()

    assert run_command("index", str(tmp_path)) == 0
    printed = capsys.readouterr().out
    found = {entry.name: entry for entry in entries(tmp_path)}
    assert {name: (entry.kind, entry.state) for name, entry in found.items()} == {
        "good": ("run", "finished"),
        "deeper/sweep": ("sweep", "finished"),
        "diluted": ("dilution", "finished"),
        "cut-off": ("run", "unfinished"),
        "torn": ("run", "damaged"),
        "torn-scenario": ("run", "damaged"),
    }
    cells = json.loads((tmp_path / "good" / "report" / "report.json").read_text())["cells"]
    assert found["good"].leak == cells[0]["auc"]
    page = tmp_path / "index.html"
    assert str(page) in printed
    assert not read_page(page.read_text()).problems
    for entry in found.values():
        assert page.read_text().count(f">{entry.name}<") == 3  # in each order
        assert not entry.page or (tmp_path / entry.page).is_file()


def test_nothing_to_list_gets_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no audit in this" in refused(capsys, "index", str(tmp_path), unchanged=tmp_path)
    missing = str(tmp_path / "missing")
    assert "no such folder" in refused(capsys, "index", missing, unchanged=tmp_path)
