"""The executor ``slurm``, by submitit's own stand-in for it: processes of this machine."""

from __future__ import annotations

import os
from pathlib import Path

import odd_tasks
import pytest
from ledger_runs import small_scenario

from privaudit.audit import run_audit
from privaudit.errors import MachineError, UserError
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


def test_a_setting_that_slurm_has_not_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is a Slurm, by the looks of it."""
    for name in ("sbatch", "srun", "scancel"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with (
        Remote(OnSlurm({"partitoin": "long"})) as executor,
        pytest.raises(UserError, match=r"--slurm: not a setting of Slurm: .*partitoin"),
    ):
        list(executor.each(odd_tasks.square, 1, [0]))
