"""``new``, ``run --dry-run``, ``--quiet``, usage errors, and what bars show."""

from __future__ import annotations

import io
import json
import os
import re
import tomllib
from pathlib import Path

import pytest
from command_line import TINY
from ledger_runs import run_command
from rich.console import Console

from privaudit.cli import terminal
from privaudit.scenario.load import check_scenario, load_scenario


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    code = run_command(*arguments)
    printed = capsys.readouterr()
    assert (code, printed.err) == (0, "")
    return printed.out


def test_new_writes_a_scenario_that_loads(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, "new") == "scenario.toml\n"
    assert said(capsys, "new", "My Own.toml", "--from", "letters") == "My Own.toml\n"
    mine = load_scenario("My Own.toml")
    assert mine == load_scenario("letters").model_copy(update={"name": "my-own", "title": "My own"})
    assert load_scenario("./scenario.toml").name == "scenario"
    assert sorted(p.name for p in elsewhere.iterdir()) == ["My Own.toml", "scenario.toml"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["there.toml"], "there.toml: is there already"),
        (["folder.toml"], "folder.toml: is there already"),
        (["mine.txt"], "does not end in .toml"),
        (["nowhere/mine.toml"], "cannot be written: No such file or directory"),
        (["there.toml/mine.toml"], "cannot be written: Not a directory"),
        (["mine.toml", "--from", "quickstrat"], "did you mean 'quickstart'"),
        (["mine.toml", "--from", "there.toml"], "nothing is asked"),
    ],
)
def test_new_refuses(
    arguments: list[str],
    message: str,
    elsewhere: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (elsewhere / "there.toml").write_text('name = "precious"')
    (elsewhere / "folder.toml").mkdir()
    assert run_command("new", *arguments) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert len(printed.err.splitlines()) == 1
    assert sorted(p.name for p in elsewhere.iterdir()) == ["folder.toml", "there.toml"]
    assert (elsewhere / "there.toml").read_text() == 'name = "precious"'


def test_a_dry_run_says_what_it_would_take(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(capsys, "run", "quickstart", "--dry-run", *TINY)
    scenario = check_scenario(tomllib.loads(text), where="dry run")
    assert (scenario.runs, scenario.audit.rounds) == (1, 4)
    assert "2 federations (one per run, property, rule, share and number of clients; " in text
    assert "one per run to train), 2 table cells" in text
    assert re.search(r"(about|\d+ s to) \d+ (s|min) on 1 process", text)
    assert re.search(r"of memory\n.*of disk; .* free", text)
    assert "estimate" in text
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("count", ["0", "1000"])
def test_a_dry_run_refuses_the_repetitions_a_run_would(
    count: str, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["run", "quickstart", "--dry-run", "--permute-all", count, *TINY]
    assert run_command(*given) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"--permute-all: must be from 1 to 999, got {count}" in printed.err


MODEL = """
import os
from pathlib import Path
from torch import nn

class Noted(nn.Sequential):
    def __init__(self, num_classes, **others):
        super().__init__(nn.Flatten(), nn.Linear(28 * 28, num_classes))
        with Path(__file__).with_name("built").open("a") as file:
            file.write(f"{os.getpid()}\\n")
"""


def test_a_dry_run_builds_no_model_where_keys_may_be(
    elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "models"
    place.mkdir()
    (place / "noted_model.py").write_text(MODEL)
    monkeypatch.syspath_prepend(str(place))
    tiny = [*TINY, "--set", "model.name=noted_model:Noted"]
    assert run_command("run", "quickstart", "--dry-run", *tiny) == 0
    built = set((place / "built").read_text().split())
    assert built
    assert str(os.getpid()) not in built


def test_dry_runs_of_several_audits(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    over = ["--over", "federation.rounds=0,1", "--dry-run"]
    text = said(capsys, "sweep", "quickstart", *over, *TINY)
    assert "# --- 00-0\n" in text
    assert "# - 2 audits, " in text
    numbers = ["--participants", "2,3", "--seeds", "2", "--whole-runs", "4", "--whole-rounds", "4"]
    settings = [part for part in TINY if part != "--seeds=1"]
    given = ["dilution", "quickstart", "--dry-run", "--json", *numbers, *settings]
    found = json.loads(said(capsys, *given))["audits"]
    assert list(found) == ["single-round", "whole-run"]
    assert found["whole-run"]["scenario"]["runs"] == 4
    assert all(document["estimate"]["seconds_low"] > 0 for document in found.values())
    assert list(elsewhere.iterdir()) == []


def test_a_dry_run_as_json(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = json.loads(said(capsys, "run", "quickstart", "--dry-run", "--json", *TINY))
    more = [*TINY, "--set", "audit.rounds=400"]
    many = json.loads(said(capsys, "run", "quickstart", "--dry-run", "--json", *more))
    assert few["scenario"]["name"] == "quickstart"
    for end in ("seconds_low", "seconds_high"):
        assert many["estimate"][end] > 5 * few["estimate"][end]
    assert few["estimate"]["seconds_low"] < few["estimate"]["seconds_high"]
    assert many["estimate"]["disk"] > 50 * few["estimate"]["disk"]
    assert few["estimate"]["memory"] > 10**7
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    "setting",
    [
        "audit.threat_model=participant",
        "audit.threat_model=server",
        "audit.trajectory=own",
        "audit.trace_precision=half",
    ],
)
def test_a_dry_run_knows_how_large_the_traces_get(
    elsewhere: Path, capsys: pytest.CaptureFixture[str], setting: str
) -> None:
    tiny = [*TINY, "--set", "audit.rounds=12", "--set", setting, "--no-ledger"]
    said_before = json.loads(said(capsys, "run", "quickstart", "--dry-run", "--json", *tiny))
    expected = said_before["estimate"]["disk"]
    run_command("run", "quickstart", "--quiet", "--out", "run", *tiny)
    left = sum(f.stat().st_size for f in (elsewhere / "run").rglob("*.safetensors"))
    assert 0.6 * expected < left < 1.02 * expected, "names and shapes are not counted"


def test_a_dry_run_counts_traces_that_pass_only_while_they_are_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def disk(keep: str) -> int:
        cells = ["--set", "audit.fractions=[0.1,0.5,1.0]", "--seeds", "4"]
        tiny = [*TINY, "--set", "audit.rounds=40", "--set", f"audit.keep_traces={keep}", *cells]
        answer = json.loads(said(capsys, "run", "quickstart", "--dry-run", "--json", *tiny))
        found: int = answer["estimate"]["disk"]
        return found

    # Of each run one cell of three stays, for the layers; the others pass, a run at a time.
    kept, passing = disk("true"), disk("false")
    assert kept / 4 < passing < 0.8 * kept


def test_a_dry_run_refuses_what_a_run_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in (["--workers", "0"], ["--set", 'audit.properties=["bolt"]']):
        assert run_command("run", "quickstart", "--dry-run", *wrong) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_quiet_prints_the_table_only(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "run", "quickstart", "--quiet", "--no-ledger", "--out", "run", *TINY)
    assert [line[0] for line in text.splitlines()] == ["|"] * 4
    assert (elsewhere / "run" / "report" / "index.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["run", "--frobnicate"], "No such option"),
        (["run", "quickstart", "--workers", "many"], "--workers"),
        (["run", "quickstart", "--workers"], "--workers"),
        (["run", "one", "two"], "two"),
        (["table"], "RUN"),
        (["attack", "trace"], "--auxiliary"),
        (["run", "quickstart", "--no-ledger", "--rpc", "http://localhost:1"], "--rpc: is of a"),
        (["run", "quickstart", "--no-ledger", "--keystore", "keys"], "--keystore: is of a"),
        (["run", "quickstart", "--set", "ledger.enabled=false", "--contract", "0x0"], "--contract"),
    ],
)
def test_usage_errors_are_one_line(
    arguments: list[str], message: str, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(*arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("privaudit: ")
    assert message in printed.err
    assert len(printed.err.splitlines()) == 1
    assert list(elsewhere.iterdir()) == []


def test_without_arguments_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys) == said(capsys, "--help")


def shown(monkeypatch: pytest.MonkeyPatch, *, quiet: bool = False) -> str:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    monkeypatch.setattr(terminal, "errors", console)
    bars = terminal.Bars(quiet=quiet)
    assert list(bars.track(range(3), stage="audit", total=3)) == [0, 1, 2]
    return screen.getvalue()


def test_bars_show_count_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    text = shown(monkeypatch)
    assert re.search(r"\x1b\[[\d;]*3\dm", text) or "\x1b[38;" in text, "colours"
    plain = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", text)
    assert "3/3" in plain
    assert re.search(r"\d/s|s each", plain)
    assert "left" in plain


def test_no_colour_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    text = shown(monkeypatch)
    assert "3/3" in text
    assert not re.search(r"\x1b\[[\d;]*3\dm|\x1b\[38;", text)


def test_no_bars_when_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, quiet=True) == ""
