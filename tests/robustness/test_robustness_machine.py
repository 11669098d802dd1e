"""What the machine does to a run: full disks, no memory, processes that vanish. One line each."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ledger_runs import SMALL, small_scenario

from privaudit.cli.resume import resumable
from privaudit.custody.folder import RunFolder
from privaudit.errors import MachineError, UserError
from privaudit.experiment import tasks
from privaudit.experiment.executors.protocol import Vanished, nothing
from privaudit.experiment.tasks import Job
from privaudit.scenario.grid import cells_of, groups_of

TINY = (*SMALL, "audit.fractions=[1.0]", 'audit.attacks=["linear"]', "ledger.enabled=false")

LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
from privaudit.cli import main
main()
"""


def run(place: Path, *arguments: str, most_bytes: int = -1) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, whose files may not grow beyond a size."""
    return subprocess.run(
        [sys.executable, "-c", LIMITED, str(most_bytes), "run", *arguments, "--quiet"],
        cwd=place,
        env=os.environ | {"NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="no such limits")
def test_a_disk_that_is_full_in_a_trace_is_one_line_and_the_run_goes_on(tmp_path: Path) -> None:
    sets = [part for value in TINY for part in ("--set", value)]
    size = small_scenario_parameters(*TINY) * 4
    full = run(tmp_path, "--out", "out", "--workers", "1", *sets, most_bytes=round(1.5 * size))
    assert full.returncode == 2
    told = "safetensors: File too large; make room on the disk, then go on with: privaudit run --r"
    assert full.stderr.count("\n") == 1, full.stderr
    assert "/traces/" in full.stderr
    assert told in full.stderr
    assert not [*tmp_path.rglob("*.partial")]
    again = run(tmp_path, "--resume", "out")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "out" / "records.jsonl").is_file()


def small_scenario_parameters(*settings: str) -> int:
    scenario = small_scenario(*settings)
    return int(Job.of(scenario, None, Path("out"), "cpu").world().engine(0).layout.size)


def test_a_model_that_ends_its_process_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is it ever imported where the command runs, or told the password."""
    monkeypatch.setenv("PRIVAUDIT_KEYSTORE_PASSWORD", "tell-nobody")
    (tmp_path / "odd_models.py").write_text(
        "import os\n"
        "from torch import nn\n"
        "with open('seen', 'a') as seen:\n"
        "    print(os.getppid(), os.environ.get('PRIVAUDIT_KEYSTORE_PASSWORD'), file=seen)\n"
        "class Ends(nn.Module):\n"
        "    def __init__(self, num_classes, side):\n"
        "        super().__init__()\n"
        "        self.layer = nn.Linear(side * side, num_classes)\n"
        "    def forward(self, inputs):\n"
        "        if len(inputs) > 2:  # not in the check, which takes two records\n"
        "            os._exit(0)\n"
        "        return self.layer(inputs.flatten(1).float())\n"
    )
    sets = [part for value in TINY if "model" not in value for part in ("--set", value)]
    sets += ["--set", "model={name='odd_models:Ends'}"]
    done = run(tmp_path, "--out", "out", "--workers", "1", *sets)
    assert done.returncode == 2, done.stdout
    assert done.stderr.count("\n") == 1, done.stderr
    assert "run 0: its process ended with exit code 0" in done.stderr
    seen = (tmp_path / "seen").read_text().split()
    assert str(os.getpid()) not in seen[::2], "imported by the command itself"
    assert set(seen[1::2]) == {"None"}


class Ending:
    """An executor whose processes end the same way in every task, or in all but training."""

    def __init__(self, code: int, *, trains: bool = True) -> None:
        self.code, self.trains = code, trains

    def each(
        self, task: Any, job: Any, items: Iterable[Any], *, workers: int = 1, then: Any = nothing
    ) -> Iterator[tuple[Any, Any]]:
        for run in items:
            yield run, [] if self.trains else Vanished(self.code)
            for group in then(run, []) if self.trains else ():
                yield group, Vanished(self.code)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job.of(small_scenario("ledger.enabled=false"), None, tmp_path / "run", "cpu")


def test_cells_whose_process_vanishes_have_failed_but_for_those_that_were_done(job: Job) -> None:
    scenario = small_scenario("ledger.enabled=false")
    done, *others = cells_of(scenario)
    RunFolder(job.folder).write_json(f"scores/run-0/{done.name}.json", {"melis-rf": [1.0]})
    outcomes = tasks.train_and_audit(Ending(-11), job, groups_of(scenario, 1), workers=1)
    told = {"melis-rf": "the model failed: its process ended by SIGSEGV"}
    assert {o.task: o.failures for o in outcomes} == {done: {}, **dict.fromkeys(others, told)}


def test_a_process_killed_from_outside_ends_the_run(job: Job) -> None:
    groups = groups_of(small_scenario("ledger.enabled=false"), 1)
    for trains in (True, False):
        ending = Ending(-9, trains=trains)
        with pytest.raises(MachineError, match=r"killed from outside.*memory.*use fewer workers"):
            list(tasks.train_and_audit(ending, job, groups, workers=1))


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MachineError("gone", fewer_workers=True), "gone; go on with: again --workers 1"),
        (MachineError("gone"), "gone; go on with: again"),
        (MemoryError("1 GB"), "not enough memory; use fewer workers: again --workers 1"),
        (OSError(28, "No space left", "a/b"), "a/b: No space left; make room on the disk, then go"),
        (OSError(5, "I/O error", "a/b"), "a/b: I/O error; go on with: again"),
        (UserError("as it is"), "as it is"),
    ],
)
def test_what_the_machine_ends_says_how_to_go_on(error: Exception, line: str) -> None:
    with (
        pytest.raises(UserError) as raised,
        resumable("again", fewer_workers="again --workers 1"),
    ):
        raise error
    assert str(raised.value).startswith(line)
    with (
        pytest.raises(type(error)),
        resumable("again", fewer_workers="again", begun=lambda: False),
    ):
        raise error


INTERRUPTED = """
import sys
import privaudit.audit
from privaudit.cli import app, main
from privaudit.experiment.executors.local import Local

def press(*_, executor, **__):
    global processes
    processes = [worker._process for worker in executor._idle]
    raise KeyboardInterrupt

def leave(code):
    print(len(processes), [process.poll() is None for process in processes])
    raise SystemExit(code)

privaudit.audit.run_audit = press
app.leave_now = leave
sys.argv[1:] = ["run", "quickstart", "--workers", "1"]
main()
"""


def test_processes_that_were_started_early_are_gone_when_the_command_leaves(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (130, "1 [False]\n")
    assert "interrupted, nothing begun" in done.stderr
