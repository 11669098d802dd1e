"""A small sweep through the command line: its table, its files, its resumption, its refusals."""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from ledger_runs import run_command
from refusals import refused

from privaudit.audit import run_audit
from privaudit.custody.folder import RunFolder
from privaudit.errors import UserError
from privaudit.report.figures import as_svg
from privaudit.report.tables import interval_text
from privaudit.scenario.load import load_scenario
from privaudit.statistics.intervals import Interval
from privaudit.statistics.told import adjusted
from privaudit.studies.sweep import read_sweep, value_text
from privaudit.studies.sweep_report import (
    lines_of,
    sweep_answer,
    sweep_figure,
    sweep_notes,
    sweep_table,
    trend,
    write_sweep,
)

SCENARIO = """
name = "tiny"
title = "A tiny sweep"
runs = 2
[data]
name = "csv"
path = "tiny.csv"
label = "outcome"
numeric = ["age", "weight"]
[data.properties.smoker]
column = "smokes"
present = "yes"
[model]
name = "mlp"
hidden = [4]
[federation]
participants = 3
rounds = 1
[audit]
properties = ["smoker"]
fractions = [0.5, 1.0]
rounds = 6
batch_size = 2
shadows = 2
attacks = ["melis-rf", "linear"]
[sweep]
key = "federation.rounds"
values = [0, 2]
"""


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a scenario, its data, and its finished sweep; look, do not touch."""
    folder = tmp_path_factory.mktemp("sweep")
    rows = [
        f"{20 + i % 40 + 9 * (i % 2)},{60 + i},{'yes' if i % 2 else 'no'},{'ab'[i % 3 == 0]}"
        for i in range(90)
    ]
    (folder / "tiny.csv").write_text("\n".join(["age,weight,smokes,outcome", *rows, ""]))
    # An absolute path, for the copies: what is resumed has its data where it had them.
    (folder / "tiny.toml").write_text(SCENARIO.replace("tiny.csv", str(folder / "tiny.csv")))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run_command("sweep", "tiny.toml", "--out", "out", "--workers", "1") == 0
    return folder


@pytest.fixture
def here(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to work in, with the data where they were: a run names their place in full."""
    shutil.copytree(place, tmp_path / "copy")
    text = SCENARIO.replace("tiny.csv", str(place / "tiny.csv"))
    (tmp_path / "copy" / "tiny.toml").write_text(text)
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != ".lock"
    }


def results(out: Path) -> dict[str, bytes]:
    """What the audits found and what the sweep says of it: no seconds, no commit."""
    kept = re.compile(r"report/sweep|report/index|\d\d-.*/(scores|truth)/")
    return {name: found for name, found in contents(out).items() if kept.match(name)}


def test_a_run_folder_per_value_and_a_report(place: Path) -> None:
    out = place / "out"
    assert sorted(p.name for p in out.iterdir() if p.is_dir()) == ["00-0", "01-2", "report"]
    for name, rounds in (("00-0", 0), ("01-2", 2)):
        scenario = RunFolder.open(out / name).scenario()
        assert scenario.federation.rounds == rounds
        assert scenario.title == f"A tiny sweep (federation.rounds = {rounds})"
        assert not scenario.ledger.enabled
        assert json.loads((out / name / "seal.json").read_text())["ledger"]["kind"] == "none"
    assert sorted(p.name for p in (out / "report").iterdir()) == [
        "index.html",
        "sweep.csv",
        "sweep.json",
        "sweep.md",
        "sweep.svg",
    ]
    page = (out / "report" / "index.html").read_text()
    assert "<svg" in page
    assert "A tiny sweep" in page


def test_the_table_has_a_column_per_value(place: Path) -> None:
    table = sweep_table(read_sweep(place / "out"))
    assert list(table.columns) == [
        "property",
        "attack",
        "K",
        "shared",
        "rounds=0",
        "rounds=2",
    ]
    assert list(table["shared"]) == ["50 % largest"] * 2 + ["100 %"] * 2
    assert list(table["attack"]) == ["melis-rf", "linear"] * 2
    for text in [*table["rounds=2"], *table["rounds=0"]]:
        assert re.fullmatch(r"\d\.\d\d \[\d\.\d\d, \d\.\d\d\]\*?", text)


def test_cells_are_those_of_the_runs_tested_together(place: Path) -> None:
    sweep = read_sweep(place / "out")
    for point in sweep.points:
        with (place / "out" / point.folder / "report" / "table.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [float(r["auc"]) for r in rows] == [c.auc.value for c in point.cells if c.auc]
    cells = [cell for point in sweep.points for cell in point.cells]
    assert [c.q_value for c in cells] == adjusted([c.p_value for c in cells])


def test_notes_say_what_was_varied(place: Path) -> None:
    notes = sweep_notes(read_sweep(place / "out"))
    assert notes[0].startswith("Columns: the audit at federation.rounds = 0, 2;")
    assert re.match(
        r"Main task, test accuracy .*: 2: \d\.\d\d \(\d\.\d\d to \d\.\d\d\)\.", notes[1]
    )
    assert sum("Would have been starred" in note for note in notes) == 1


def test_another_metric_stands_beside_its_published_values(place: Path) -> None:
    found = read_sweep(place / "out")
    assert found.scenario.sweep is not None
    said = {"metric": "precision", "published": [0.9, 0.6], "published_source": "somebody"}
    section = found.scenario.sweep.model_copy(update=said)
    sweep = replace(found, scenario=found.scenario.model_copy(update={"sweep": section}))
    table = sweep_table(sweep)
    assert list(table["metric"]) == ["AUC", "precision"] * 4 + ["precision"]
    assert table["property"].iloc[-1] == "published"
    assert table[["rounds=0", "rounds=2"]].to_numpy()[-1].tolist() == ["0.90", "0.60"]
    line = lines_of(sweep)[0]
    texts = [interval_text(c.metrics["precision"], "not estimable") for c in line.cells if c]
    assert table[["rounds=0", "rounds=2"]].to_numpy()[1].tolist() == texts
    assert "published: somebody." in sweep_notes(sweep)
    answers = sweep_answer(sweep)
    assert answers[:-4] == sweep_answer(found)
    assert all("published 0.90 and 0.60" in answer for answer in answers[-4:])


@pytest.mark.parametrize(
    ("first", "last", "published", "said"),
    [
        ((0.9, 1.0), (0.5, 0.6), -0.3, "is reproduced"),
        ((0.5, 0.6), (0.9, 1.0), -0.3, "the other way"),
        ((0.5, 0.9), (0.8, 1.0), 0.3, "not shown"),
        ((0.5, 0.6), (0.8, 1.0), 0.0, "no trend"),
        (None, (0.8, 1.0), 0.3, "no trend can be stated"),
    ],
)
def test_a_published_trend_is_reproduced_only_where_intervals_are_apart(
    first: tuple[float, float] | None, last: tuple[float, float], published: float, said: str
) -> None:
    ends = [limits and Interval(sum(limits) / 2, *limits, 3, 30, "") for limits in (first, last)]
    assert said in trend(ends[0], ends[1], published)


def test_json_and_csv_hold_everything(place: Path) -> None:
    document = json.loads((place / "out" / "report" / "sweep.json").read_text())
    assert document["key"] == "federation.rounds"
    assert document["scenario"]["sweep"]["values"] == [0, 2]
    assert [(p["value"], p["run"]) for p in document["points"]] == [(0, "00-0"), (2, "01-2")]
    assert document["points"][0]["test_accuracy"] is None
    assert 0 <= document["points"][1]["test_accuracy"]["mean"] <= 1
    with (place / "out" / "report" / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["value"] for row in rows] == ["0"] * 4 + ["2"] * 4
    found = [cell for point in document["points"] for cell in point["cells"]]
    assert [float(row["auc"]) for row in rows] == pytest.approx([cell["auc"] for cell in found])


def test_the_report_is_the_same_bytes_again(here: Path) -> None:
    before = contents(here / "out")
    shutil.rmtree(here / "out" / "report")
    write_sweep(RunFolder(here / "out"), read_sweep(here / "out"))
    assert contents(here / "out") == before


def test_an_interrupted_sweep_goes_on(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = results(here / "out")
    shutil.rmtree(here / "out" / "01-2")
    shutil.rmtree(here / "out" / "report")
    with pytest.raises(UserError, match="no run folder"):
        read_sweep(here / "out")
    kept = here / "out" / "00-0" / "records.jsonl"
    untouched = kept.stat().st_mtime_ns
    arguments = ["sweep", "tiny.toml", "--out", "out", "--resume", "--workers", "1"]
    assert run_command(*arguments, "--json") == 0
    assert results(here / "out") == before
    assert any(name.startswith("01-2/scores") for name in before)
    assert kept.stat().st_mtime_ns == untouched
    printed = json.loads(capsys.readouterr().out)
    assert printed["report"] == str(Path("out") / "report" / "index.html")
    assert [p["value"] for p in printed["points"]] == [0, 2]


OUT = ["--out", "new"]
REFUSED = [
    (["quickstart", *OUT], "scenario 'quickstart' has no [sweep]"),
    (["tiny.toml", *OUT, "--over", "federation.rounds=1"], "2 to 50 values, got 1"),
    (["tiny.toml", *OUT, "--over", "federation.rounds=1,1"], "1 is there twice"),
    (["tiny.toml", *OUT, "--over", "federation.rouds=1,2"], "did you mean 'federation.rounds'?"),
    (["tiny.toml", *OUT, "--over", "federation.lr=0.1,-1"], "greater than 0"),
    (["tiny.toml", *OUT, "--over", "audit=1,2"], "'audit' is a table"),
    (["tiny.toml", *OUT, "--over", "data.numeric=['age'],['aeg']"], "did you mean 'age'?"),
    (["tiny.toml", *OUT, "--over", "data.lable=a,b"], "unknown option 'lable'"),
    (["tiny.toml", *OUT, "--over", "model.hiden=[4],[5]"], "hiden"),
    (["tiny.toml", *OUT, "--over", "model.name=mlp,mpl"], "unknown model 'mpl'"),
    (["tiny.toml", *OUT, "--over", "audit.batch_size=2,64"], "one batch needs 64"),
    (["tiny.toml", *OUT, "--over", "audit.attacks=['linear'],['linaer']"], "mean 'linear'?"),
    (["tiny.toml", "--out", "out"], "out: holds a run or a sweep already"),
    (["tiny.toml", "--out", "full"], "full: output folder is not empty"),
    (["tiny.toml", "--resume"], "--resume: needs the folder of the sweep"),
    (["tiny.toml", *OUT, "--resume"], "new: no run folder"),
    (["tiny.toml", "--out", "out", "--resume", "--seeds", "3"], "out: belongs to another scenario"),
    (["tiny.toml", "--out", "out/00-0", "--resume"], "belongs to another scenario"),
    (["tiny.toml", *OUT, "--workers", "0"], "workers must be at least 1"),
    (["tiny.tml", *OUT], "unknown scenario 'tiny.tml'"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_what_cannot_be_swept_is_refused_before_anything_runs(
    arguments: list[str], message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "full").mkdir()
    (here / "full" / "thesis.txt").write_text("years of work")
    assert message in refused(capsys, "sweep", *arguments, unchanged=Path())
    assert not (here / "new").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "tiny.toml", "--out", "new"],
        ["run", "tiny.toml", "--dry-run"],
        ["run", "--resume", "out"],
        ["dilution", "tiny.toml"],
    ],
)
def test_a_sweep_is_no_run(
    arguments: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "is a sweep over federation.rounds" in refused(capsys, *arguments, unchanged=Path())
    assert not (here / "runs").exists()


def test_values_that_differ_have_labels_that_differ() -> None:
    values = [1, "1", None, "null", True, "true", "iid", ["iid"], 0.5, "", [0.5, 1.0]]
    assert len({value_text(value) for value in values}) == len(values)
    assert value_text("iid") == "iid"


def test_quiet_prints_the_table_alone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["sweep", "tiny.toml", "--out", "out", "--resume", "--workers", "1"]
    assert run_command(*arguments) == 0
    text = capsys.readouterr().out
    assert run_command(*arguments, "--quiet") == 0
    table = capsys.readouterr().out
    assert all(line.startswith("|") for line in table.splitlines())
    assert text.startswith(table + "\n- Columns: ")


def test_a_run_is_no_sweep(here: Path) -> None:
    with pytest.raises(UserError, match="a run, not a sweep"):
        read_sweep(here / "out" / "00-0")


def test_what_follows_the_swept_value_makes_no_line_of_its_own(here: Path) -> None:
    arguments = ["--set", "audit.fractions=[1.0]", "--workers", "1", "--seeds", "1"]
    over = ["--over", "federation.participants=3,4"]
    assert run_command("sweep", "tiny.toml", "--out", "new", *over, *arguments) == 0
    sweep = read_sweep(here / "new")
    assert [(line.participants, line.shared) for line in lines_of(sweep)] == [("", "100 %")] * 2
    assert all(None not in line.cells for line in lines_of(sweep))
    assert list(sweep_table(sweep)["K"]) == ["by value"] * 2
    assert "participants" in as_svg(sweep_figure(sweep))


def test_a_note_that_depends_on_the_value_names_it(here: Path) -> None:
    """Runs of 2 and of 3 in one table; and a library user is refused as the command line is."""
    arguments = ["--set", "audit.fractions=[1.0]", "--workers", "1"]
    assert run_command("sweep", "tiny.toml", "--out", "new", "--over", "runs=1,2", *arguments) == 0
    notes = [note for note in sweep_notes(read_sweep(here / "new")) if "Runs:" in note]
    assert [note.split(":")[0] for note in notes] == ["runs = 1", "runs = 2"]
    with pytest.raises(UserError, match="use privaudit sweep"):
        run_audit(load_scenario("tiny.toml"), here / "another")
