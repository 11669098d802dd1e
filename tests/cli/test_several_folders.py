"""``table`` and ``report`` take a run, a sweep or a dilution; verbs for one run say what it is."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from html_check import read_page
from ledger_runs import run_command
from measured_folders import dilution_folder, sweep_folder
from refusals import refused

STARTED = "import sys; sys.argv[0] = 'privaudit'; from privaudit.cli import main; main()"
FORMATS = ["github", "markdown", "latex", "html", "csv", "json"]


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    sweep_folder(tmp_path / "sweep")
    dilution_folder(tmp_path / "dilution")
    return {kind: tmp_path / kind for kind in ("sweep", "dilution")}


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    code = run_command(*arguments)
    printed = capsys.readouterr()
    assert (code, printed.err) == (0, "")
    return printed.out


@pytest.mark.parametrize("kind", ["sweep", "dilution"])
def test_tables_in_every_format(
    kind: str, folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    texts = {name: said(capsys, "table", str(folders[kind]), "--format", name) for name in FORMATS}
    head = "batch_size=16" if kind == "sweep" else "honest clients"
    for name in ("github", "markdown", "html"):
        assert head in texts[name].replace("\\_", "_"), name
    assert r"\toprule" in texts["latex"]
    assert read_page(texts["html"]).problems == []
    rows = list(csv.DictReader(io.StringIO(texts["csv"])))
    assert len(rows) == (3 * 2 * 2 if kind == "sweep" else 2 * 3 * 2 * 2)
    assert json.loads(texts["json"])


@pytest.mark.parametrize("kind", ["sweep", "dilution"])
def test_a_report_is_written_again(
    kind: str, folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    page = folders[kind] / "report" / "index.html"
    assert said(capsys, "report", str(folders[kind])) == f"{page}\n"
    first = page.read_bytes()
    said(capsys, "report", str(folders[kind]))
    assert page.read_bytes() == first
    assert f'<p class="kicker">privaudit {kind}</p>' in first.decode()


@pytest.mark.parametrize("verb", ["ledger", "verify"])
@pytest.mark.parametrize("kind", ["sweep", "dilution"])
def test_verbs_for_one_run_say_what_it_is(
    verb: str, kind: str, folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, verb, str(folders[kind]), unchanged=folders[kind])
    assert f"a {kind}: several runs" in line
    assert "name one of them, e.g. " in line


@pytest.mark.parametrize("kind", ["sweep", "dilution"])
def test_accuracy_is_of_a_single_run(
    kind: str, folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, "table", str(folders[kind]), "--accuracy", unchanged=folders[kind])
    assert "--accuracy: only the table of a single run has accuracy" in line


def test_the_threshold_of_a_report_is_kept(
    folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    from privaudit.custody.folder import RunFolder
    from privaudit.studies.dilution_curves import read_dilution
    from privaudit.studies.dilution_report import write_dilution

    out = folders["dilution"]
    write_dilution(RunFolder(out), read_dilution(out, threshold=0.7), threshold=0.7)
    assert "Harmless for 0.7:" in said(capsys, "table", str(out))
    page = (out / "report" / "index.html").read_text()
    assert "--threshold 0.7 --whole-runs 6 --whole-rounds 12" in page
    for broken in ("[]x", "3", '[{"answer": 1}]', '[{"answer": {"threshold": "x"}}]'):
        (out / "report" / "dilution.json").write_text(broken)
        assert "dilution.json" in refused(capsys, "table", str(out), unchanged=out)


def test_a_sweep_that_is_not_finished_is_refused(
    folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (folders["sweep"] / "02-32" / "records.jsonl").unlink()
    line = refused(capsys, "table", str(folders["sweep"]), unchanged=folders["sweep"])
    assert "02-32" in line
    assert "may not be finished" in line


def test_a_format_that_is_none_is_refused_first(
    folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (*folders.values(), Path("nowhere")):
        assert "--format" in refused(
            capsys, "table", str(path), "--format", "htm", unchanged=folders["sweep"]
        )


def test_a_new_scenario_takes_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from privaudit.scenario.load import load_scenario

    monkeypatch.chdir(tmp_path)
    said(capsys, "new", "mine.toml", "--from", "glyphs", "--set", "audit.rounds=12")
    assert load_scenario("mine.toml").audit.rounds == 12
    assert "audit" in refused(
        capsys, "new", "other.toml", "--set", "audit.rounds=x", unchanged=tmp_path
    )


def test_names_of_scenarios_are_completed() -> None:
    from privaudit.cli.options import scenario_names

    assert scenario_names("qui") == ["quickstart"]
    assert scenario_names("no-such") == []
    assert len(scenario_names("")) >= 10


def test_folders_of_runs_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from privaudit.cli.options import run_folders

    monkeypatch.chdir(tmp_path)
    for name in ("runs/first", "runs/second", "data", ".git"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("first", "second"):
        (tmp_path / "runs" / name / "scenario.json").write_text("{}")
    (tmp_path / "runs" / "notes.txt").write_text("")
    assert run_folders("") == ["data/", "runs/", "runs/first", "runs/second"]
    assert run_folders("runs/s") == ["runs/second"]
    assert run_folders("runs/") == ["runs/first", "runs/second"]
    assert run_folders("nowhere/") == []
    for verb, *more in (["verify"], ["compare", "runs/first"]):
        asked = {
            "_PRIVAUDIT_COMPLETE": "complete_bash",
            "COMP_WORDS": " ".join(["privaudit", verb, *more, "runs/s"]),
            "COMP_CWORD": str(2 + len(more)),
        }
        done = subprocess.run(
            [sys.executable, "-c", STARTED],
            env=os.environ | asked,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "runs/second" in done.stdout, (verb, done.stderr)
