"""Killed at any moment, a run goes on and ends with the same files; Ctrl-C says how."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from privaudit.ledger.verification import verify_run

SCRIPT = Path(__file__).with_name("killed_run.py")
KILLS = 20
HOLDS_TIMES = {
    "timings.jsonl",
    "training/run-0.timings.jsonl",
    "ledger/timings.jsonl",
    "ledger/journal.sqlite",
    "manifest.json",
    "seal.json",
}
"""What says when something was done, or holds the hash of what does."""


@dataclass(frozen=True)
class Story:
    """What happened, and where."""

    folder: Path
    told: dict[str, Any]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("killed")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder), str(KILLS), "1"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return Story(folder, json.loads(done.stdout.splitlines()[-1]))


def results(run: Path) -> dict[str, bytes]:
    return {
        name: p.read_bytes()
        for p in sorted(run.rglob("*"))
        if p.is_file() and (name := str(p.relative_to(run))) not in HOLDS_TIMES
        and p.suffix != ".lock" and p.name != ".lock"
    }  # fmt: skip


def test_killed_runs_end_with_the_same_files(story: Story) -> None:
    told = story.told
    assert told["ended"].count(-9) >= KILLS // 2, "killed at work, not before or after"
    assert set(told["ended"]) <= {0, -9}, "no run failed for what a kill had left"
    assert told["codes"] == [0, 0, 0]
    whole = results(story.folder / "whole")
    kinds = {name.split("/")[0] for name in whole}
    assert kinds >= {"records.jsonl", "scores", "truth", "traces", "evidence", "report", "ledger"}
    for name in [*told["runs"], "stopped"]:
        run = story.folder / name
        found = results(run)
        assert found.keys() == whole.keys()
        assert [n for n in whole if found[n] != whole[n]] == []


def test_the_ledgers_of_killed_runs_hold(story: Story) -> None:
    for name in [*story.told["runs"], "stopped"]:
        assert verify_run(story.folder / name).holds


def test_ctrl_c_says_how_to_go_on(story: Story) -> None:
    stopped = story.folder / "stopped"
    assert story.told["interrupted"] == 130
    assert story.told["told"] == (f"interrupted; go on with: privaudit run --resume {stopped}\n")
