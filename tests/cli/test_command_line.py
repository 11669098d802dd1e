"""The command line end to end, on one small run made in processes of its own."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ledger_runs import run_command

from privaudit import __version__
from privaudit.errors import UserError
from privaudit.observation.trace import Trace

SMALL = (
    "data.records=1500",
    "model.channels=[4, 4]",
    "model.hidden=8",
    "federation.rounds=1",
    "audit.rounds=4",
    "audit.fractions=[1.0]",
    'audit.properties=["bold"]',
    'audit.attacks=["melis-rf", "linear"]',
    "audit.shadows=2",
    "report.devices=[]",
)
ATTACK = '''
"""Somebody else's attack."""

import numpy as np

from privaudit.attack.protocol import Attack


class Norm(Attack):
    """How far the model moved."""

    name = "norm-of-delta"
    source = "somebody else, 2026"

    def partial_fit(self, observation, shadow, layout):
        return self

    def score(self):
        return np.zeros(0)
'''


@dataclass(frozen=True)
class Done:
    """A finished run and what its command printed."""

    path: Path
    stdout: str
    stderr: str

    def records(self) -> bytes:
        return records_of(self.path)


def records_of(run: Path) -> bytes:
    """The records, without the commit: a developer's HEAD may move between two runs of a test."""
    return re.sub(rb'"commit": "\w{40}"', b'"commit": null', (run / "records.jsonl").read_bytes())


def privaudit(*arguments: str, path: str = "", cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, away from the source tree."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | ({"PYTHONPATH": path} if path else {})
    return subprocess.run(
        [sys.executable, "-m", "privaudit", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        check=False,
    )


def small_run(folder: Path, *more: str) -> Done:
    settings = [part for assignment in SMALL for part in ("--set", assignment)]
    out = folder / "run"
    done = privaudit(
        "run", "quickstart", "--out", str(out), "--seeds", "2", *settings, *more, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return Done(out, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The run on two processes; look, do not touch."""
    return small_run(tmp_path_factory.mktemp("cli"), "--workers", "2")


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """The same run in one process, its result asked for as JSON."""
    return small_run(tmp_path_factory.mktemp("cli-alone"), "--workers", "1", "--json")


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command that works prints; nothing on stderr."""
    code = run_command(*arguments)
    printed = capsys.readouterr()
    assert (code, printed.err) == (0, "")
    return printed.out


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != ".lock"
    }


def test_run_prints_the_table_and_where_the_report_lies(finished: Done) -> None:
    lines = finished.stdout.splitlines()
    assert finished.stderr == ""
    assert lines[0].startswith("Training: 5 clients a round; rounds: 1; runs: 2; test accuracy 0.")
    assert " ".join(lines[2].split()) == "| property | attack | K | rule | 100 % |"
    rows = [line.split("|")[1:-1] for line in lines if line.startswith("| bold")]
    assert [row[1].strip() for row in rows] == ["melis-rf", "linear"]
    assert all(re.fullmatch(r" \d\.\d\d \[\d\.\d\d, \d\.\d\d\]\*? +", row[4]) for row in rows)
    assert f"report: {finished.path / 'report' / 'index.html'}" in lines
    assert re.fullmatch("head:   [0-9a-f]{64}", lines[-2])
    assert lines[-1].startswith("Keep the head elsewhere")
    assert (finished.path / "report" / "index.html").is_file()


def test_run_leaves_nothing_half_written(finished: Done) -> None:
    assert [p for p in finished.path.rglob("*") if p.name.endswith(".partial")] == []
    assert sorted(p.name for p in finished.path.parent.iterdir()) == ["run"]


def test_records_are_one_per_run_and_attack(finished: Done) -> None:
    rows = [json.loads(line) for line in finished.records().splitlines()]
    assert [(r["run"], r["attack"]) for r in rows] == [
        (run, attack) for run in (0, 1) for attack in ("melis-rf", "linear")
    ]
    assert all(r["status"] == "ok" and len(r["scores"]) == len(r["present"]) == 4 for r in rows)
    assert rows[0]["present"] == rows[1]["present"]
    assert rows[0]["scores"] != rows[2]["scores"]
    assert b"seconds" not in finished.records()
    assert str(finished.path.parent).encode() not in finished.records()


def test_one_process_gives_the_same_bytes_as_two(finished: Done, alone: Done) -> None:
    assert alone.records() == finished.records()
    for kind in ("scores", "truth"):
        assert contents(alone.path / kind) == contents(finished.path / kind)


def test_json_is_one_document(alone: Done) -> None:
    document = json.loads(alone.stdout)
    assert document["run"] == str(alone.path)
    assert document["report"] == str(alone.path / "report" / "index.html")
    assert [cell["attack"] for cell in document["cells"]] == ["melis-rf", "linear"]
    for cell in document["cells"]:
        assert (cell["property"], cell["runs"], cell["failed_runs"]) == ("bold", 2, 0)
        assert cell["published"] is None
        assert 0 <= cell["low"] <= cell["auc"] <= cell["high"] <= 1


def test_table_in_every_format(finished: Done, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(finished.path)
    text = said(capsys, "table", run)
    assert text == said(capsys, "table", run, "--format", "github")
    assert text.strip() in finished.stdout
    assert said(capsys, "table", run, "--format", "latex").startswith("\\begin{tabular}")
    page = said(capsys, "table", run, "--format", "html")
    assert page.startswith("<!doctype html>")
    assert page.count("<table>") == 1
    rows = list(csv.DictReader(said(capsys, "table", run, "--format", "csv").splitlines()))
    assert [row["attack"] for row in rows] == ["melis-rf", "linear"]
    cells = json.loads(said(capsys, "table", run, "--format", "json"))
    assert [cell["attack"] for cell in cells] == ["melis-rf", "linear"]
    markdown = said(capsys, "table", run, "--format", "markdown")
    assert markdown.strip() in (finished.path / "report" / "table.md").read_text()
    with (finished.path / "report" / "table.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == rows


def test_an_unknown_format_is_one_line(finished: Done, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("table", str(finished.path), "--format", "latx") == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == (
        "privaudit: --format: unknown table format 'latx'; did you mean 'latex'? "
        "known: csv, github, html, json, latex, markdown\n"
    )


def test_report_writes_the_same_bytes_again(
    finished: Done, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished.path, copy)
    shutil.rmtree(copy / "report")
    assert said(capsys, "report", str(copy)) == f"{copy / 'report' / 'index.html'}\n"
    assert contents(copy) == contents(finished.path)


def test_resume_computes_what_is_missing_and_only_that(
    finished: Done, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished.path, copy)
    kept, lost = (next((copy / "scores" / f"run-{run}").iterdir()) for run in (0, 1))
    for name in ("records.jsonl", "manifest.json", "seal.json"):  # written last, in this order
        (copy / name).unlink()
    lost.unlink()
    untouched = {p: p.stat().st_mtime_ns for p in [kept, *(copy / "training").iterdir()]}
    text = said(capsys, "run", "--resume", str(copy), "--workers", "1")
    again, before = text.splitlines(), finished.stdout.replace(str(finished.path), str(copy))
    changed = [line for line in again if line not in before.splitlines()]
    assert len(again) == len(before.splitlines())
    assert all(line.startswith("head:") for line in changed), "timings are in the manifest"
    assert records_of(copy) == finished.records()
    assert contents(copy / "scores") == contents(finished.path / "scores")
    assert {p: p.stat().st_mtime_ns for p in untouched} == untouched


def test_resuming_a_finished_run_changes_nothing(
    finished: Done, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished.path, copy)
    text = said(capsys, "run", "--resume", str(copy))
    again, before = text.splitlines(), finished.stdout.replace(str(finished.path), str(copy))
    changed = [line for line in again if line not in before.splitlines()]
    assert len(again) == len(before.splitlines())
    assert all(line.startswith("head:") for line in changed), "timings are in the manifest"
    assert contents(copy) == contents(finished.path)


def test_a_gate_that_four_rounds_cannot_pass(
    finished: Done, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished.path, copy)
    assert run_command("run", "--resume", str(copy), "--gate", "0.6", "--json") == 1
    printed = capsys.readouterr()
    gate = json.loads(printed.out)["gate"]
    assert (gate["outcome"], gate["passed"]) == ("not excluded", False)
    assert printed.err == f"gate: {gate['line']}\n"
    assert run_command("run", "--resume", str(copy), "--gate", "0.4") == 2
    assert "--gate: is an AUC in (0.5, 1], got 0.4" in capsys.readouterr().err
    assert contents(copy) == contents(finished.path)


def test_a_truncated_trace_of_a_run_is_refused_in_one_line(finished: Done, tmp_path: Path) -> None:
    [source] = (finished.path / "traces" / "run-0").iterdir()
    copy = tmp_path / "trace"
    shutil.copytree(source, copy)
    assert len(list(Trace.open(copy).view())) == 4
    last = copy / "round-000003.safetensors"
    last.write_bytes(last.read_bytes()[:-100])
    with pytest.raises(UserError, match="round-000003") as failure:
        list(Trace.open(copy).view())
    assert "\n" not in str(failure.value)


def test_list_names_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(said(capsys, "list", "--json", "--data-dir", str(tmp_path)))
    names = {kind: [row["name"] for row in rows] for kind, rows in found.items()}
    sweeps = ["by-dropout", "by-epoch", "by-share", "by-vocabulary"]
    of_members = ["membership-by-batch", "membership-by-vocabulary"]
    assert names["scenarios"] == [
        "active",
        *sweeps,
        "defences",
        "demo",
        "episodes",
        "glyphs",
        "income",
        "letters",
        *of_members,
        "membership-income",
        "membership-text",
        "membership",
        "policies-glyphs",
        "policies-income",
        "policies-text",
        "public-ledger-income",
        "public-ledger",
        "quickstart",
        *(f"reconstruction{of}" for of in ("-images", "-income", "-labels", "-text", "")),
        "resnet",
        "table1",
        "whose",
        "writers",
    ]
    assert {"melis-rf", "linear"} <= set(names["attacks"])
    assert {"glyphs", "csi", "unipen", "adult", "csv", "npz"} <= set(names["data sets"])
    assert {"cnn", "mlp"} <= set(names["models"])
    here = {row["name"]: row["here"] for row in found["data sets"]}
    assert (here["glyphs"], here["csi"]) == ("yes", "no")
    assert all(row["source"] for row in found["attacks"])
    text = said(capsys, "list", "--data-dir", str(tmp_path))
    assert all(name in text for group in names.values() for name in group)
    options = {row["name"]: row["options"] for row in found["attacks"] + found["data sets"]}
    assert options["linear"] == [
        {
            "name": "dimensions",
            "required": False,
            "default": 16384,
            "description": "at least 1; a longer delta is hashed to this many signed sums",
        }
    ]
    assert [option["name"] for option in options["npz"] if option["required"]] == ["path", "kind"]
    assert options["fedmia"] == options["mnist-writers"] == []


def test_list_shows_one_or_a_kind_with_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "list", "csv")
    assert re.search(r"^data\.label +\(required\) +the name of the column", text, re.MULTILINE)
    assert re.search(r'^data\.encoding +"utf-8" +', text, re.MULTILINE)
    both = said(capsys, "list", "glyphs")
    assert "scenario glyphs\n" in both
    assert "privaudit new my.toml --from glyphs\n" in both
    assert "data set glyphs\n" in both
    attacks = said(capsys, "list", "attacks")
    assert "attack fedmia\n" in attacks
    assert "attack_options.melis-rf.trees  50 " in attacks
    assert "attack_options.linear.dimensions" in attacks
    [kind] = json.loads(said(capsys, "list", "models", "--json"))
    assert kind == "models"
    assert run_command("list", "linaer") == 2
    assert "unknown name 'linaer'; did you mean 'linear'?" in capsys.readouterr().err


def test_an_attack_of_another_distribution_is_found(tmp_path: Path) -> None:
    """Also a broken one, which is listed with its reason and breaks nothing else."""
    source, site = tmp_path / "source", tmp_path / "site"
    source.mkdir()
    (source / "somebodys_attack.py").write_text(ATTACK)
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "somebodys-attack"\nversion = "1.0"\n'
        '[project.entry-points."privaudit.attacks"]\n'
        'norm-of-delta = "somebodys_attack:Norm"\nbroken = "somebodys_attack:Absent"\n'
        '[tool.setuptools]\npy-modules = ["somebodys_attack"]\n'
    )
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    flags = ["--no-index", "--disable-pip-version-check", "--target", str(site), str(source)]
    subprocess.run([*pip, *flags], check=True, capture_output=True)
    done = privaudit("list", "--json", path=str(site), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows: dict[str, dict[str, Any]] = {r["name"]: r for r in json.loads(done.stdout)["attacks"]}
    assert rows["norm-of-delta"] == {
        "name": "norm-of-delta",
        "game": "property",
        "from": "somebodys-attack",
        "view": "participant",
        "source": "somebody else, 2026",
        "options": [],
    }
    assert rows["broken"]["source"].startswith("broken: attack 'broken' of somebodys-attack")
    assert rows["linear"]["from"] == "privaudit"


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "--version") == f"privaudit {__version__}\n"
    text = said(capsys, "--help")
    on_the_ledger = ("ledger", "verify", "anchor", "claim", "keys")
    for verb in (
        "run",
        "dilution",
        "sweep",
        "policies",
        "canaries",
        "table",
        "report",
        *on_the_ledger,
        "list",
    ):
        assert re.search(rf"^\W*{verb}\b", text, re.MULTILINE)
