"""The executor ``slurm``, by submitit's own stand-in for it: processes of this machine."""

from __future__ import annotations

import os
import pickle
import signal
import time
from contextlib import suppress
from pathlib import Path

import odd_tasks
import pytest
from ledger_runs import run_command, small_scenario

from privaudit.audit import run_audit
from privaudit.errors import MachineError, UserError
from privaudit.experiment.executors import on_slurm
from privaudit.experiment.executors.cluster import Call
from privaudit.experiment.executors.local import Local
from privaudit.experiment.executors.on_slurm import OnSlurm
from privaudit.experiment.executors.protocol import Vanished
from privaudit.experiment.executors.remote import Remote

SETTINGS = ("ledger.enabled=false", "federation.rounds=1", 'audit.attacks=["linear"]')


def test_array_jobs_give_the_same_bytes(tmp_path: Path) -> None:
    local, slurm = tmp_path / "local", tmp_path / "slurm"
    with Local() as executor:
        run_audit(small_scenario(*SETTINGS), local, workers=1, executor=executor)
    with Remote(OnSlurm(kind="local")) as executor:
        run_audit(small_scenario(*SETTINGS), slurm, workers=1, executor=executor)
    for pattern in ("records.jsonl", "layers.jsonl", "scores/*/*", "truth/*/*", "training/*.safe*"):
        files = sorted(local.glob(pattern))
        assert files
        for file in files:
            assert file.read_bytes() == (slurm / file.relative_to(local)).read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["local", "slurm"], "of the jobs nothing is left"


def test_how_a_task_ends_is_told_as_it_is_here() -> None:
    with Remote(OnSlurm(kind="local")) as executor:
        found = dict(executor.each(odd_tasks.end, "crash", range(2), workers=2))
        assert isinstance(found[1], Vanished)
        assert str(found[1]) == "its process ended by SIGSEGV"
        assert found[0] == 0
        with pytest.raises(MachineError, match="did not end as it should"):
            list(executor.each(odd_tasks.end_submitted, "", [0]))


def commands(place: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """Those of a Slurm, by the looks of it: shell scripts, of which others do and say nothing."""
    for name in ("sbatch", "srun", "scancel", "squeue", "sacct"):
        (place / name).write_text(f"#!/bin/sh\n{scripts.get(name, '')}\n")
        (place / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(place), prepend=os.pathsep)


def test_a_setting_that_slurm_has_not_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands(tmp_path, monkeypatch)
    with (
        Remote(OnSlurm({"partitoin": "long"})) as executor,
        pytest.raises(UserError, match=r"--slurm: not a setting of Slurm: .*partitoin") as refused,
    ):
        list(executor.each(odd_tasks.square, 1, [0]))
    assert len(str(refused.value)) < 200, "not all that there are"


def test_what_slurm_refuses_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What sbatch of Slurm 22.05 says."""
    said = (
        "sbatch: error: invalid partition specified: nope\n"
        "sbatch: error: Batch job submission failed: Invalid partition name specified\n"
    )
    commands(tmp_path, monkeypatch, sbatch=f"printf '{said}' >&2; exit 1")
    options = ("--executor", "slurm", "--slurm", "partition=nope")
    assert run_command("run", "quickstart", "--out", str(tmp_path / "run"), *options) == 2
    printed = capsys.readouterr().err
    assert "Slurm refuses: Batch job submission failed: Invalid partition name" in printed
    assert printed.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("squeue", "lost"),
    [
        ("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1", [0, 1]),
        ("echo 7_1", [0]),
        ("echo 'Unable to contact slurm controller' >&2; exit 1", []),
    ],
)
def test_a_task_that_left_the_queue_without_a_result_is_not_waited_for(
    squeue: str, lost: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a real Slurm without accounts leaves one whose process was killed."""
    refused = "echo 'Slurm accounting storage is disabled' >&2; exit 1"
    taken = "echo Submitted batch job 7"
    commands(tmp_path, monkeypatch, sbatch=taken, squeue=squeue, sacct=refused)
    monkeypatch.setattr(on_slurm, "ASK", 0.0)
    monkeypatch.setattr(on_slurm, "GRACE", 0.1)
    monkeypatch.setattr(on_slurm, "LOOK", 0.05)
    looks = []

    def look(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) > 20:
            raise TimeoutError
        time.sleep(seconds)

    monkeypatch.setattr(on_slurm, "sleep", look)
    requests = [pickle.dumps((odd_tasks.square, 1, item)) for item in range(2)]
    call = Call(requests, [[], []], str(tmp_path / "run"), workers=2)
    slurm, found = OnSlurm(), {}
    with suppress(TimeoutError):
        for number, answer in slurm.carry_out(call):
            found[number] = answer
    assert sorted(found) == lost
    assert all((a.kind, a.content) == ("vanished", -signal.SIGKILL) for a in found.values())
    assert not list(tmp_path.glob("slurm-*"))
