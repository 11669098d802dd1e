"""Ended at any moment, in any way, a run goes on and ends with the same files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from privaudit.verify.run import verify_run

SCRIPT = Path(__file__).with_name("killed_run.py")
KILLS = int(os.environ.get("PRIVAUDIT_KILLS", "12"))
"""PRIVAUDIT_KILLS=60 for the long version (minutes)."""
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
    (folder / "temporary").mkdir()
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder), str(KILLS), "1"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "TMPDIR": str(folder / "temporary")},
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
    assert sum(code != 0 for _, code, *_ in told["attempts"]) >= KILLS, "ended at work, not after"
    assert told["codes"] == [0, 0]
    whole = results(story.folder / "whole")
    kinds = {name.split("/")[0] for name in whole}
    assert kinds >= {"records.jsonl", "scores", "truth", "traces", "evidence", "report", "ledger"}
    for name in told["runs"]:
        run = story.folder / name
        found = results(run)
        assert found.keys() == whole.keys()
        assert [n for n in whole if found[n] != whole[n]] == []


def test_each_end_has_its_exit_code_and_no_process_outlives_it(story: Story) -> None:
    codes = {"SIGINT": {0, 130}, "SIGTERM": {0, 143}, "SIGKILL": {0, -9}, "worker": {0, 2}}
    for way, code, orphans, _ in story.told["attempts"]:
        assert code in codes[way], way
        assert not orphans, way


def test_nothing_is_left_among_the_temporary_files(story: Story) -> None:
    """The last run ended well, and took with it what those before it had to leave."""
    assert list((story.folder / "temporary").iterdir()) == []


def test_each_end_but_sigkill_is_one_line_that_says_how_to_go_on(story: Story) -> None:
    words = {"SIGINT": "interrupted", "SIGTERM": "ended by SIGTERM", "worker": "was killed"}
    for way, code, _, line in story.told["attempts"]:
        if code in (0, -9):
            continue
        assert words[way] in line
        assert line.count("\n") == 1
        assert "privaudit run --resume" in line or "nothing begun" in line or way == "worker"


def test_the_ledgers_of_killed_runs_hold(story: Story) -> None:
    for name in story.told["runs"]:
        assert verify_run(story.folder / name).holds
