"""Worker processes: what they are given, how they end, and that nothing of them is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import odd_tasks
import pytest

from privaudit.errors import MachineError, UserError
from privaudit.experiment.executors.environment import without_secrets
from privaudit.experiment.executors.here import Here
from privaudit.experiment.executors.local import Local
from privaudit.experiment.executors.protocol import TaskError, Vanished


@pytest.fixture(scope="module")
def local() -> Iterator[Local]:
    with Local() as executor:
        yield executor


def test_results_are_the_same_numbers_as_here(local: Local) -> None:
    items = range(5)
    there = dict(local.each(odd_tasks.square, 7, items, workers=2))
    here = dict(Here().each(odd_tasks.square, 7, items))
    assert {item: row[0] for item, row in there.items()} == {i: r[0] for i, r in here.items()}
    processes = {int(row[1]) for row in there.values()}
    assert os.getpid() not in processes
    assert len(processes) == 2
    again = dict(local.each(odd_tasks.square, 7, items, workers=2))
    assert {int(row[1]) for row in again.values()} <= processes, "they stay, with what they loaded"


@pytest.mark.parametrize("begun", [False, True])
def test_what_an_iteration_left_that_nobody_went_on_with_is_no_answer(
    local: Local, begun: bool
) -> None:
    left = local.each(odd_tasks.square, 5, range(7, 11), workers=2)
    if begun:
        next(left)
    found = local.each(odd_tasks.square, 3, range(4), workers=2)
    with pytest.raises(AssertionError, match="another iteration"):
        list(left)
    del left
    assert {item: row[0] for item, row in found} == {i: 3 * i * i / 3 for i in range(4)}


@pytest.mark.parametrize(
    ("how", "told", "killed"),
    [
        ("exit", "its process ended with exit code 0", False),
        ("crash", "its process ended by SIGSEGV", False),
        ("killed", "its process ended by SIGKILL", True),
    ],
)
def test_a_process_that_vanishes_takes_no_other_task_with_it(
    local: Local, how: str, told: str, killed: bool
) -> None:
    found = dict(local.each(odd_tasks.end, how, range(4), workers=2))
    vanished = found.pop(1)
    assert isinstance(vanished, Vanished)
    assert (str(vanished), vanished.killed) == (told, killed)
    assert found == {0: 0, 2: 2, 3: 3}


@pytest.mark.parametrize(
    ("how", "kind", "told"),
    [
        ("UserError", UserError, "here: is wrong; do this"),
        ("MachineError", MachineError, "is gone"),
        ("OSError", OSError, "[Errno 28] No space left on device: '/full/disk'"),
        ("MemoryError", MemoryError, ""),
        ("SystemExit", TaskError, "SystemExit: 0"),
        ("other", TaskError, "ZeroDivisionError: a fault"),
    ],
)
def test_what_a_task_raises_arrives(
    local: Local, how: str, kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind) as raised:
        list(local.each(odd_tasks.end, how, range(3), workers=2))
    assert str(raised.value).startswith(told)
    assert kind is not MachineError or raised.value.fewer_workers  # type: ignore[attr-defined]
    assert kind is not TaskError or "odd_tasks.py" in str(raised.value), "its traceback is there"


SECRETS = {
    "PRIVAUDIT_KEYSTORE_PASSWORD": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
    "GITHUB_TOKEN": "x",
    "ETHERSCAN_API_KEY": "x",
    "SSH_AUTH_SOCK": "/tmp/agent",
    "PIP_INDEX_URL": "https://me:hunter2@host/simple",
}


def test_workers_inherit_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PLAIN", "seen")
    with Local() as fresh:
        seen = dict(fresh.each(odd_tasks.environment, "", [*SECRETS, "PLAIN", "OMP_NUM_THREADS"]))
    assert seen == dict.fromkeys(SECRETS, "") | {"PLAIN": "seen", "OMP_NUM_THREADS": "1"}
    assert without_secrets({"KEYBOARD": "de", "HTTP_PROXY": "http://proxy:3128"})


def test_nothing_is_left_when_the_block_ends(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # under nohup it is ignored
    try:
        with Local() as fresh:
            begun = fresh.each(odd_tasks.sleep, tmp_path, [1, 2], workers=2)
            odd_tasks.interrupt_when(tmp_path, 2)
            with pytest.raises(KeyboardInterrupt):
                next(begun)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not any(odd_tasks.alive(int(file.name)) for file in tmp_path.iterdir())


def test_what_follows_from_a_result_does_not_wait_for_the_others(
    local: Local, tmp_path: Path
) -> None:
    def then(item: str, result: object) -> list[str]:
        return ["later", "last"] if item == "fast" else []

    found = local.each(odd_tasks.one_waits, tmp_path, ["slow", "fast"], workers=2, then=then)
    assert [item for item, _ in found][:2] == ["fast", "later"]
    here = Here().each(odd_tasks.one_waits, tmp_path, ["slow", "fast"], then=then)
    assert [item for item, _ in here] == ["slow", "fast", "later", "last"]


def test_what_nobody_will_wait_for_can_be_ended(local: Local, tmp_path: Path) -> None:
    """A ledger that fails to take in the training, while cells are audited."""
    local.each(odd_tasks.sleep, tmp_path, [1, 2], workers=2)
    processes = odd_tasks.wait_for(tmp_path, 2)
    local.leave()
    assert not any(map(odd_tasks.alive, processes))
    assert dict(local.each(odd_tasks.end, "well", [0], workers=2)) == {0: 0}
    Here().leave()


PARENT = """
import sys
sys.path[:0] = [sys.argv[2]]
from pathlib import Path
import odd_tasks
from privaudit.experiment.executors.local import Local
with Local() as local:
    list(local.each(odd_tasks.sleep, Path(sys.argv[1]), [1, 2], workers=2))
"""


def test_workers_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """SIGKILL gives the parent no chance to end them."""
    support = str(Path(__file__).parents[1] / "support")
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path), support])
    workers = odd_tasks.wait_for(tmp_path, 2)
    parent.kill()
    parent.wait()
    for _ in range(200):
        if not any(map(odd_tasks.alive, workers)):
            return
        time.sleep(0.05)
    raise AssertionError("orphans are left")
