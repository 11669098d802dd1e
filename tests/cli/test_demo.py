"""``privaudit demo``: the steps of its walk, in the words of its numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from ledger_runs import run_command
from report_content import content, scenario

from privaudit.scenario import load
from privaudit.studies.demo import steps

TINY = (
    "runs=1",
    "audit.rounds=4",
    "data.records=1500",
    'audit.attacks=["linear"]',
    "attack_options={}",
)


def test_steps_say_what_the_cells_hold_and_that_nothing_was_measured_where_none_is() -> None:
    made = content(scenario(audit={"participants": [2, 9]}))
    (_, leak), (_, diluted), (_, defended), (_, promise) = steps(made)
    auc = made.cells[0].auc
    assert auc is not None
    found = f"names the right one in {100 * auc.value:.0f} [{100 * auc.low:.0f}, "
    assert leak.startswith("with 1 other client: of 100 pairs of rounds, one with 'bold' and one")
    assert found in leak
    assert "with 8 honest clients instead of 1: " in diluted
    assert defended.endswith("nothing was measured")
    assert promise == "ε = none"


def test_demo_runs_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = load.load_scenario
    monkeypatch.setattr(load, "load_scenario", lambda name, _=(): whole(name, list(TINY)))
    assert run_command("demo", "--out", str(tmp_path / "demo")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:2] for line in lines[:4]] == ["1.", "2.", "3.", "4."]
    assert "ε = " in lines[3]
    assert (tmp_path / "demo" / "report" / "index.html").is_file()
