"""Federations that went wrong: said in the notes and the verdict, and exit code 1."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ledger_runs import run_command

SCENARIO = """
name = "mine"
runs = 1
[data]
name = "csv"
path = "mine.csv"
label = "outcome"
[data.properties]
smoker = {column = "smokes", present = "yes"}
ill = {column = "outcome", present = "ill"}
[model]
name = "mlp"
hidden = [4]
[federation]
participants = 3
rounds = 0
[audit]
properties = ["smoker", "ill"]
fractions = [1.0]
rounds = 8
batch_size = 8
shadows = 2
attacks = ["linear"]
[ledger]
enabled = false
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("measured")
    rng = np.random.default_rng(1)
    rows = [
        f"{a:.2f},{b:.2f},{'yes' if a > 0 else 'no'},{'ill' if a + b > 0 else 'well'}"
        for a, b in rng.standard_normal((240, 2))
    ]
    (folder / "mine.csv").write_text("\n".join(["a,b,smokes,outcome", *rows, ""]))
    (folder / "mine.toml").write_text(SCENARIO)
    return folder


def run(place: Path, name: str, capsys: pytest.CaptureFixture[str], *values: str) -> int:
    sets = [part for value in values for part in ("--set", value)]
    out = ("--out", str(place / name), "--workers", "1")
    return run_command("run", str(place / "mine.toml"), *sets, *out)


@pytest.mark.parametrize(
    ("value", "said", "why"),
    [
        ("federation.lr=1000", "the audited rounds diverged in 1 of 1", "federation diverged"),
        (
            "federation.norm_bound=1e-9",
            "the aggregate held nothing at all",
            "ever in the aggregate",
        ),
    ],
)
def test_a_federation_without_training_that_went_wrong(
    place: Path, value: str, said: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = value.replace("=", "-")
    assert run(place, name, capsys, value) == 1
    printed = capsys.readouterr()
    (note,) = (line for line in printed.out.splitlines() if said in line)
    assert note.startswith("- No leak of 'smoker' or 'ill' is claimed, starred or not: ")
    assert why in printed.err
    document = json.loads((place / name / "report" / "report.json").read_text())
    assert {v["outcome"] for v in document["verdicts"]} == {"unknown"}
    assert all(said in v["sentence"] for v in document["verdicts"])
    assert run_command("verify", str(place / name)) == 0


MEMBERS = (
    "audit.properties=[]",
    "federation.rounds=3",
    "federation.batch_size=8",
    "membership.candidates=20",
    'membership.attacks=["loss-trajectory"]',
)


@pytest.mark.parametrize(
    ("value", "said", "why"),
    [
        ("federation.lr=1e30", "the audited rounds diverged in 1 of 1", "federation diverged"),
        ("federation.lr=1000", "the audited rounds diverged in 1 of 1", "federation diverged"),
        ("federation.norm_bound=1e-9", "the aggregate held nothing at all", "in the aggregate"),
    ],
)
def test_so_is_one_that_is_asked_about_members(
    place: Path, value: str, said: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"members-{value}"
    assert run(place, name, capsys, *MEMBERS, value) == 1
    printed = capsys.readouterr()
    (note,) = (line for line in printed.out.splitlines() if said in line)
    assert note.startswith("- No leak of 'membership' is claimed, starred or not: ")
    assert why in printed.err
    document = json.loads((place / name / "report" / "report.json").read_text())
    (verdict,) = document["verdicts"]
    assert verdict["outcome"] == "unknown"
    assert said in verdict["sentence"]


def test_a_property_that_is_the_label_is_said_to_be_everywhere(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    label = "'ill' is almost the label (the class alone tells it with a balanced accuracy of 1.00)"
    assert run_command("run", str(place / "mine.toml"), "--dry-run") == 0
    assert f"no leak of it will be claimed: {label}" in capsys.readouterr().out
    assert run(place, "fine", capsys) == 0
    assert f"No leak of 'ill' is claimed, starred or not: {label}" in capsys.readouterr().out
    page = (place / "fine" / "report" / "report.md").read_text()
    assert f"No leak of 'ill' is claimed: {label}" in page
    assert f"'ill': no leak is claimed of any layer, starred or not: {label}" in page
    assert "No leak of 'smoker' is claimed" not in page
