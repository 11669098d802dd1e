"""A user's own table on the command line: where its file is, and what is said of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from clinic_tables import write_tables
from html_check import read_page
from ledger_runs import run_command
from refusals import refused

SCENARIO = """\ufeff
name = "small"
runs = 1
[data]
name = "csv"
path = "tables/race.csv"
label = "outcome"
properties = {smoker = {column = "smokes", present = "yes"}, race = {column = "race", each = true}}
[model]
name = "mlp"
hidden = [4]
[federation]
participants = 3
rounds = 1
[audit]
properties = ["smoker", "race"]
fractions = [1.0]
rounds = 4
batch_size = 30
shadows = 2
attacks = ["linear"]
"""


DIRICHLET = ["federation.partition=dirichlet", "federation.participants=10"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a scenario and, in another below it, its tables."""
    place = tmp_path_factory.mktemp("home")
    (place / "tables").mkdir()
    write_tables(place / "tables")
    (place / "small.toml").write_text(SCENARIO, encoding="utf-8")
    return place


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    code = run_command(*arguments)
    printed = capsys.readouterr()
    assert (code, printed.err) == (0, "")
    return printed.out


@pytest.fixture(scope="module")
def run(home: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir("/")
        assert (
            run_command("run", str(home / "small.toml"), "--out", str(home / "run"), "--quiet") == 0
        )
    return home / "run"


def test_a_relative_path_starts_at_the_scenario_file(run: Path, home: Path) -> None:
    scenario = json.loads((run / "scenario.json").read_text())
    assert scenario["data"]["path"] == str(home / "tables" / "race.csv")


def test_each_value_that_can_be_dealt_is_audited(run: Path) -> None:
    asked = json.loads((run / "scenario.json").read_text())["audit"]["properties"]
    assert asked == ["smoker", "race=a", "race=b", "race=c", "race=d"]
    rare = json.loads((run / "data.json").read_text())["properties"]["race=e"]
    assert rare["present"] > 50
    assert "one batch needs 30" in rare["left_out"]


def test_the_values_of_a_property_stand_together(run: Path) -> None:
    report = json.loads((run / "report" / "report.json").read_text())
    assert report["value_groups"] == {"race": ["race=a", "race=b", "race=c", "race=d"]}
    text = (run / "report" / "report.md").read_text()
    head, _, row = text[text.index("### race, each value") :].splitlines()[2:5]
    shown = [cell.strip() for cell in head.strip("|").split("|")]
    assert shown == ["attack", "K", "rule", "shared", "a", "b", "c", "d"]
    cells = [cell.strip().replace("\\", "") for cell in row.strip("|").split("|")]
    aucs = {cell["property"]: f"{cell['auc']:.2f}" for cell in report["cells"]}
    assert [cell[:4] for cell in cells[4:]] == [aucs[f"race={value}"] for value in "abcd"]
    assert "Of 4 values of 'race', each against all others, told from chance:" in text
    assert "Each value against all others" in (run / "report" / "index.html").read_text()


def test_a_run_goes_on_and_verifies_from_anywhere(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    moved = tmp_path / "moved"
    shutil.copytree(run, moved)
    said(capsys, "verify", str(moved))
    again = tmp_path / "again"
    shutil.copytree(run, again)
    for name in ("seal.json", "manifest.json"):
        (again / name).unlink()
    shutil.rmtree(again / "ledger")
    shutil.rmtree(again / "report")
    said(capsys, "run", "--resume", str(again))
    assert (again / "records.jsonl").read_bytes() == (run / "records.jsonl").read_bytes()


def test_a_path_typed_as_an_option_starts_at_the_working_folder(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home / "tables")
    given = ["run", "../small.toml", "--set", 'audit.properties=["smoker"]', "--dry-run", "--json"]
    for path, found in (("clinic.csv", "clinic.csv"), (str(home / "tables/job.csv"), "job.csv")):
        options = ["--set", "data.properties.race.column=smokes", "--set", f"data.path={path}"]
        document = json.loads(said(capsys, *given, *options))
        assert document["data"]["file"] == found
    monkeypatch.chdir(tmp_path)
    line = refused(
        capsys, "run", str(home / "small.toml"), "--set", "data.path=clinic.csv", unchanged=tmp_path
    )
    assert f"no file {tmp_path}/clinic.csv" in line


def test_new_names_the_data_from_its_own_folder(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    said(capsys, "new", "tables-again.toml", "--from", "small.toml")
    text = (home / "tables-again.toml").read_text()
    assert 'path = "tables/race.csv"' in text
    assert 'title = "Tables again"' in text
    (home / "tables-again.toml").unlink()
    said(capsys, "new", str(tmp_path / "far.toml"), "--from", "small.toml")
    assert f'path = "{home}/tables/race.csv"' in (tmp_path / "far.toml").read_text()


def counted(document: dict[str, Any], role: str) -> list[int]:
    held = document["holdings"][role][0]["properties"]["smoker"]
    return [held["present"], held["absent"], held["unknown"]]


def test_what_the_data_became_is_said_everywhere(
    run: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = json.loads((run / "data.json").read_text())
    assert [(c["name"], c["role"]) for c in found["columns"]] == [
        ("age", "number"),
        ("weight", "number"),
        ("pulse", "number"),
        ("smokes", "property"),
        ("outcome", "label"),
        ("race", "property"),
    ]
    assert sum(count for _, count in found["classes"]) == found["records"] == 3000
    assert sum(counted(found, "target")) == found["holdings"]["target"][0]["records"] == 850
    smokers = found["properties"]["smoker"]["present"]
    text = (home / "tables" / "race.csv").read_text()
    assert smokers == text.count(",yes,")
    scenario = str(home / "small.toml")
    dry = json.loads(said(capsys, "run", scenario, "--dry-run", "--json"))
    assert dry["data"] == found
    report = json.loads((run / "report" / "report.json").read_text())
    assert report["data"] == found
    assert report["assumptions"]["Data"].startswith("csv, file race.csv, ")
    target = counted(found, "target")
    sentence = f"'smoker': {target[0]} with, {target[1]} without"
    page = (run / "report" / "index.html").read_text()
    markdown = (run / "report" / "report.md").read_text()
    assert read_page(page).problems == []
    for shown in (said(capsys, "run", scenario, "--dry-run"), page, markdown):
        plain = shown.replace("&#39;", "'").replace("\\", "").replace("&nbsp;", " ")
        assert sentence in plain
        assert f"present {smokers:,}" in plain
        assert "csv, file race.csv" in plain


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["data.path=typo.csv"], "typo.csv: column 'bmi' holds numbers, except in 1 of 3000 cells"),
        (["data.path=decimal.csv"], 'set separator = ";"'),
        (["data.path=decimal.csv", 'data.separator=";"'], 'set decimal = ","'),
        (["data.path=latin1.csv"], 'encoding = "latin-1"'),
        (["data.path=remarks.csv"], "would become 700 inputs"),
        (["data.path=../tables"], "is a folder"),
        (["data.path=none.csv"], "a path in a scenario starts at the scenario's own folder"),
        (["data.decimal=x"], "option 'decimal' = 'x'"),
        (["data.properties.race.each=false"], "say either present = ... or each = true"),
        (["data.properties.race.present=a"], "say either present = ... or each = true"),
        (
            ["audit.batch_size=700", 'audit.properties=["race"]'],
            "no value of 'race' can be audited",
        ),
        (['audit.properties=["race=f"]'], "unknown property 'race=f'; did you mean"),
        ([*DIRICHLET, "federation.dirichlet_alpha=0.1"], "0.5 can be dealt"),
    ],
)
def test_data_that_cannot_be_used(
    assignments: list[str],
    message: str,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(home / "tables")
    options = [word for assignment in assignments for word in ("--set", assignment)]
    if "race" not in str(assignments):  # those tables have no such column
        options += ["--set", "data.properties.race.column=smokes"]
        options += ["--set", 'audit.properties=["smoker"]']
    scenario = str(home / "small.toml")
    line = refused(capsys, "run", scenario, "--out", "new", *options, unchanged=home / "tables")
    assert message in line
