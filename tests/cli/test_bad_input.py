"""What a user can get wrong: exit code 2, one line that names it, and nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock
from refusals import refused

from privaudit.scenario.load import load_scenario
from privaudit.world import check_world, load_world

SCENARIO = """
name = "mine"
runs = 1
[data]
name = "csv"
path = "mine.csv"
label = "outcome"
numeric = ["age", "weight"]
[data.properties.smoker]
column = "smokes"
present = "yes"
[model]
name = "mlp"
[federation]
participants = 3
rounds = 0
[audit]
properties = ["smoker"]
fractions = [1.0]
rounds = 4
batch_size = 2
shadows = 2
attacks = ["linear"]
"""
RECORDS = 60


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder a user works in, with a scenario and a table of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRIVAUDIT_DATA", str(tmp_path / "no-data"))
    rows = [
        f"{20 + i % 40},{60 + i},{'yes' if i % 2 else 'no'},{'good' if i % 3 else 'bad'}"
        for i in range(RECORDS)
    ]
    (tmp_path / "mine.csv").write_text("\n".join(["age,weight,smokes,outcome", *rows, ""]))
    (tmp_path / "mine.toml").write_text(SCENARIO)
    return tmp_path


def test_the_scenario_itself_is_fine(place: Path) -> None:
    """Or else the refusals below would say nothing."""
    check_world(load_world(load_scenario("mine.toml").model_dump_json(), place))


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("audit.rouds=40", "unknown key 'audit.rouds'; did you mean 'audit.rounds'?"),
        ("fedration.rounds=1", "unknown key 'fedration'; did you mean 'federation'?"),
        ("data.name=glyfs", "unknown data set 'glyfs'; did you mean 'glyphs'?"),
        ("data.lable=outcome", "unknown option 'lable'; did you mean 'label'?"),
        ('data.numeric=["aeg"]', "unknown column 'aeg'; did you mean 'age'?"),
        ("data.path=other.csv", "other.csv"),
        ('audit.properties=["smokr"]', "unknown property 'smokr'; did you mean 'smoker'?"),
        ("audit.properties=[]", "audit.properties"),
        ('audit.properties=["smoker", "smoker"]', "names a value twice"),
        ('audit.attacks=["linaer"]', "unknown attack 'linaer'; did you mean 'linear'?"),
        ("attack_options.linear.dimension=9", "did you mean 'dimensions'?"),
        ("attack_options.linear.dimensions=0", "dimensions"),
        ('audit.rules=["largst"]', "did you mean 'largest'?"),
        ("audit.threat_model=sever", "audit.threat_model"),
        ("model.name=mpl", "unknown model 'mpl'; did you mean 'mlp'?"),
        ("model.name=nowhere.at_all:Model", "nowhere"),
        ("model.name=cnn", "cnn"),
        ("model.hiden=[4]", "hiden"),
        ("audit.fractions=[0.0]", "greater than 0 (got 0.0)"),
        ("audit.fractions=[1.5]", "less than or equal to 1 (got 1.5)"),
        ("audit.fractions=[-0.1]", "greater than 0 (got -0.1)"),
        ("audit.fractions=[nan]", "audit.fractions"),
        ("federation.shared_fraction=2.0", "federation.shared_fraction"),
        ("federation.participants=1", "federation.participants"),
        ("audit.participants=[1]", "audit.participants"),
        ("audit.batch_size=64", "one batch needs 64"),
        ("federation.participants=59", "participants"),
        ("federation.participants=100", "100 clients and a test set, but only 60 records"),
        ("federation.partition=by-group", "has no groups to partition by"),
        ("audit.rounds=3", "audit.rounds"),
        ("audit.rounds=many", "audit.rounds"),
        ("runs=0", "runs"),
        ("seed=-1", "seed"),
        ("audit.schedule=dataset", "needs at least 4 runs"),
        ("ledger.reward=equall", "did you mean 'equal'?"),
        ("audit.rounds", "--set: 'audit.rounds' is not key=value"),
        ("=3", "--set: '=3' is not key=value"),
        ("audit..rounds=3", "--set: 'audit..rounds=3' is not key=value"),
        ("audit.rounds.more=3", "--set: 'rounds' of 'audit.rounds.more' is a value"),
        ("audit=3", "audit"),
    ],
)
def test_a_value_that_cannot_be_used(
    assignment: str, message: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(
        capsys, "run", "mine.toml", "--out", "new/run", "--set", assignment, unchanged=place
    )
    assert message in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["quickstrat"], "unknown scenario 'quickstrat'; did you mean 'quickstart'?"),
        (["other.toml"], "no scenario file 'other.toml'"),
        (["./"], "no scenario file './'"),
        (["mine.toml", "--workers", "0"], "--workers: workers must be at least 1, got 0"),
        (["mine.toml", "--workers", "-2"], "--workers: workers must be at least 1, got -2"),
        (["mine.toml", "--seeds", "0"], "runs"),
        (["letters", "--data-dir", "nowhere"], "in the data folder nowhere"),
        (["income"], "no-data"),
        (["table1", "--data-dir", "mine.csv"], "in the data folder mine.csv"),
        (["mine.toml", "--out", "mine.csv"], "mine.csv: cannot use output folder"),
        (["mine.toml", "--out", "mine.csv/run"], "mine.csv/run: cannot use output folder"),
    ],
)
def test_arguments_that_cannot_be_used(
    arguments: list[str], message: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(capsys, "run", *arguments, unchanged=place)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name = ", "mine.toml: not a readable TOML file"),
        (b"\xff\xfe\x00", "mine.toml: not a readable TOML file"),
        (b"\n" * 2_000_000, "mine.toml: larger than"),
        (b'name = "mine"', "mine.toml: nothing is asked"),
        (b'name = "../mine"\n[audit]\nproperties = ["bold"]', "name"),
    ],
)
def test_scenario_files_that_cannot_be_used(
    content: bytes, message: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "mine.toml").write_bytes(content)
    assert message in refused(capsys, "run", "mine.toml", "--out", "new", unchanged=place)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("\n25,", "\nNaN,", "column 'age' has 2 missing"),
        (",yes,", ",no,", "column 'smokes' never holds yes"),
        (",no,", ",yes,", "'smoker' has one value only (1)"),
        (",bad\n", ",good\n", "'outcome' has 1 distinct values"),
    ],
)
def test_tables_that_cannot_be_used(
    before: str, after: str, message: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = place / "mine.csv"
    file.write_text(file.read_text().replace(before, after))
    line = refused(capsys, "run", "mine.toml", "--out", "new", unchanged=place)
    assert message in line
    assert "mine.csv" in line


def test_a_folder_in_use_by_another_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = place / "out"
    out.mkdir()
    (out / "scenario.json").write_text("{}")
    with FileLock(out / ".lock"):
        line = refused(capsys, "run", "mine.toml", "--out", str(out), unchanged=place)
    assert f"{out}: output folder is in use by another run" in line


def test_a_folder_that_is_not_empty(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = place / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    line = refused(capsys, "run", "mine.toml", "--out", str(out), unchanged=place)
    assert f"{out}: output folder is not empty" in line


def test_a_folder_with_a_run_of_its_own(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = place / "out"
    out.mkdir()
    for name in ("scenario.json", ".lock"):
        (out / name).write_text("")
    line = refused(capsys, "run", "mine.toml", "--out", str(out), unchanged=place)
    assert f"go on with --resume {out}" in line


@pytest.mark.parametrize(
    "more",
    [["quickstart"], ["--out", "elsewhere"], ["--seeds", "2"], ["--set", "a=b"], ["--no-ledger"]],
)
def test_a_resumed_run_is_taken_as_it_is(
    more: list[str], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, "run", "--resume", ".", *more, unchanged=place)
    assert "--resume: takes the scenario of the interrupted run as it is" in line


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--resume", "nowhere"],
        ["table", "nowhere"],
        ["table", "mine.csv"],
        ["report", "nowhere"],
        ["ledger", "nowhere"],
    ],
)
def test_no_run_there(
    arguments: list[str], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no run folder" in refused(capsys, *arguments, unchanged=place)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"name": 3}', b"\xff"])
def test_a_run_whose_scenario_is_damaged(
    content: bytes, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "out").mkdir()
    (place / "out" / "scenario.json").write_bytes(content)
    for command in (["table", "out"], ["report", "out"], ["run", "--resume", "out"]):
        assert "scenario.json" in refused(capsys, *command, unchanged=place)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--participants", "2,x"], "--participants: '2,x' is not a list of whole numbers"),
        (["--threshold", "1.5"], "1.5"),
        (["--participants", "1,2"], "participants"),
        (["--participants", "3,2"], "participants"),
        (["--seeds", "0"], "0"),
    ],
)
def test_dilution_refuses_as_well(
    options: list[str], message: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["dilution", "mine.toml", "--out", "new", *options]
    assert message in refused(capsys, *arguments, unchanged=place)


def test_dilution_resumes_in_a_named_folder_only(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refused(capsys, "dilution", "mine.toml", "--resume", unchanged=place)
    assert "--resume: needs the folder of the dilution" in message
