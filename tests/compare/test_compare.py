"""``privaudit compare``: two audits of the same questions, before and after a change."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ledger_runs import run_command
from measured_folders import finished_run
from refusals import refused
from report_content import scenario

from privaudit.studies.comparison import read_comparison

AUDIT = {"properties": ["bold", "serif"], "attacks": ["linear", "melis-rf"]}


def audited(path: Path, *, shift: float = 0.0, seed: int = 1, **audit: Any) -> Path:
    """A finished run; of rounds with the property 'bold' scores are ``shift`` higher."""
    made = scenario(runs=6, seed=seed, audit=AUDIT | audit)
    folder = finished_run(path, made)
    rows = folder.read_lines("records.jsonl")
    for row in rows:
        if row["property"] == "bold":
            pairs = zip(row["scores"], row["present"], strict=True)
            row["scores"] = [score + shift * present for score, present in pairs]
    folder.write_lines("records.jsonl", rows)
    return path


def test_what_leaks_less_is_told_what_is_the_same_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = audited(tmp_path / "before")
    after = audited(tmp_path / "after", shift=-4.0, defences=["secure-aggregation"])
    found = read_comparison(before, after)
    assert all(cell.paired for cell in found.cells)
    assert {(cell.property, cell.less) for cell in found.cells} == {
        ("bold", True),
        ("serif", False),
    }
    assert not any(cell.more for cell in found.cells)
    assert [name for name, *_ in found.settings] == ["audit.defences"]
    assert run_command("compare", str(before), str(after), "--gate") == 0
    assert "less than the first in 2 of 4 cells (most: 'bold'" in capsys.readouterr().out
    assert run_command("compare", str(after), str(before), "--gate", "--format", "json") == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["gate"]["outcome"] == "found"
    assert printed.err.startswith("gate: the second leaks more in 2 of 4 cells")


def test_audits_of_other_federations_are_not_paired(tmp_path: Path) -> None:
    first, second = audited(tmp_path / "a"), audited(tmp_path / "b", seed=2)
    found = read_comparison(first, second)
    assert not any(cell.paired or cell.more or cell.less for cell in found.cells)
    assert [name for name, *_ in found.settings] == ["seed"]


def test_audits_alike_are_said_to_be_alike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command("compare", *(str(audited(tmp_path / name)) for name in "ab")) == 0
    assert "Both audits have the same scores in all 4 cells" in capsys.readouterr().out


def other_data(path: Path) -> None:
    file = path / "records.jsonl"
    file.write_text(re.sub(r'"checksum": ?"', '"checksum": "f', file.read_text()))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_data, "are of other data"),
        (lambda path: audited(path, properties=["italic"]), "have no cell in common"),
        (lambda path: (path / "records.jsonl").unlink(), "the run may not be finished"),
        (lambda path: (path / "records.jsonl").write_text("{}\n"), "line 1 is not a record"),
    ],
)
def test_what_cannot_be_compared_gets_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Any, said: str
) -> None:
    first, second = audited(tmp_path / "a"), audited(tmp_path / "b")
    change(second)
    assert said in refused(capsys, "compare", str(first), str(second), unchanged=tmp_path)
    twice = refused(capsys, "compare", str(first), str(first), unchanged=tmp_path)
    assert "the same folder twice" in twice
