"""Every report ends its verdict with a command that can be typed."""

from __future__ import annotations

import shlex
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from measured_folders import dilution_folder, sweep_folder
from report_content import cell, content, scenario

from privaudit.custody.folder import RunFolder
from privaudit.report import next_step
from privaudit.report.content import Content
from privaudit.report.next_step import Next, next_of_run
from privaudit.scenario.load import load_scenario
from privaudit.studies.dilution_curves import read_dilution
from privaudit.studies.dilution_report import next_of_dilution, write_dilution
from privaudit.studies.sweep_report import next_of_sweep, write_sweep


def quickstart(*more: str) -> Any:
    return load_scenario("quickstart", ['audit.properties=["bold"]', *more])


def settings(step: Next) -> dict[str, str]:
    """Flags of a command whose overrides load."""
    words = shlex.split(step.command)
    sets = [value for flag, value in pairwise(words) if flag == "--set"]
    load_scenario("quickstart", sets)
    return {flag: value for flag, value in pairwise(words) if flag.startswith("--")}


def test_a_leak_asks_for_more_clients() -> None:
    step = next_of_run(content(quickstart("audit.rounds=30")))
    assert step.command.startswith("privaudit dilution quickstart --set ")
    settings(step)


@pytest.mark.parametrize("many", [200, 2])
def test_nothing_told_asks_for_enough_runs(many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(next_step, "MANY", many)
    made = content(quickstart("audit.rounds=12", "runs=2"))
    scores = [float(7 * number % 12) for number in range(12)]
    blind = [record.model_copy(update={"scores": scores}) for record in made.records]
    cells = [replace(c, q_value=0.6, p_value=0.6) for c in made.cells]
    step = next_of_run(Content(made.scenario, blind, cells))
    found = settings(step)
    assert step.command.startswith("privaudit run quickstart")
    assert int(found["--seeds"]) > 2
    assert found.get("--gate") == ("0.6" if many > 2 else None)
    assert ("would take about" in step.why) == (many == 2)


def test_a_run_that_diverged_asks_for_a_smaller_step() -> None:
    rows = [
        {"run": run, "round": 0, "train_loss": None, "test_loss": None, "test_accuracy": 0.1}
        for run in range(3)
    ]
    made = replace(content(quickstart()), training=rows)
    assert settings(next_of_run(made))["--set"] == "federation.lr=0.005"


def test_near_chance_asks_the_harder_question() -> None:
    made = scenario()
    near = cell("bold", (0.5, 0.45, 0.55), q=0.7)
    step = next_of_run(Content(made, [], [near]))
    assert step.command == "privaudit dilution RUN/scenario.toml"


@pytest.mark.parametrize("kind", ["sweep", "dilution"])
def test_studies_end_with_it(kind: str, tmp_path: Path) -> None:
    out = tmp_path / kind
    if kind == "sweep":
        swept = sweep_folder(out)
        write_sweep(RunFolder(out), swept)
        step = next_of_sweep(swept)
        assert step.command.startswith("privaudit dilution RUN/0")
    else:
        measured = read_dilution(dilution_folder(out), threshold=0.6)
        write_dilution(RunFolder(out), measured, threshold=0.6)
        step = next_of_dilution(out, measured, 0.6)
        assert "--participants 17,33 " in step.command
    page = (out / "report" / "index.html").read_text()
    assert f'<pre tabindex="0"><code>{step.command}</code></pre>' in page
    assert f"    {step.command}\n" in (out / "report" / f"{kind}.md").read_text()
