"""The executor ``ray`` on loopback: the same bytes, whoever is killed; what is refused."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import odd_tasks
import pytest
from ledger_runs import run_command, small_scenario
from ray_cluster import ENVIRONMENT, RayCluster

from privaudit.audit import run_audit
from privaudit.custody.plan import Plan, make_plan
from privaudit.errors import UserError
from privaudit.experiment.estimate import estimate
from privaudit.experiment.estimate_words import estimate_lines
from privaudit.experiment.executors.local import Local
from privaudit.experiment.executors.on_ray import OnRay
from privaudit.experiment.executors.protocol import Executor, Node, TaskError, Vanished
from privaudit.experiment.executors.remote import Remote
from privaudit.experiment.nodes import check_nodes
from privaudit.experiment.tasks import Job
from privaudit.scenario.write import resolved_toml
from privaudit.world import load_world

SETTINGS = (
    "runs=2",
    "ledger.enabled=false",
    "federation.rounds=1",
    "audit.keep_traces=false",
    'audit.attacks=["linear"]',
)
COMMAND = (sys.executable, "-m", "privaudit", "run")
SAME = ("records.jsonl", "layers.jsonl", "plan.json", "data.json", "remarks.json")
"""And all scores, the truth and the parameters."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        found = RayCluster()
        yield found
        found.close()


@pytest.fixture(scope="module")
def ray(cluster: RayCluster) -> Iterator[Remote]:
    with Remote(OnRay(cluster.address)) as executor:
        yield executor


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The same run on two worker processes of this machine."""
    out = tmp_path_factory.mktemp("local") / "run"
    with Local() as executor:
        run_audit(small_scenario(*SETTINGS), out, workers=2, executor=executor)
    return contents(out)


def contents(run: Path) -> dict[str, bytes]:
    """Without the commit: a developer's HEAD may move between two runs of a test."""
    files = [run / name for name in SAME]
    files += [*run.glob("scores/**/*.json"), *run.glob("truth/**/*.json")]
    files += run.glob("training/*.safetensors")
    assert len(files) == len(SAME) + 4 + 4 + 2
    of_head = rb'"(commit|dirty)": [^,}]+'
    return {str(f.relative_to(run)): re.sub(of_head, b"", f.read_bytes()) for f in files}


class Meanwhile:
    """Shows no progress; does something after the first result of a stage, or the last."""

    def __init__(self, **then: Any) -> None:
        self.then = then

    def track(
        self, items: Iterable[Any], *, stage: str, total: int, work: Any = None
    ) -> Iterator[Any]:
        for item in items:
            yield item
            self.then.pop(stage, lambda: None)()
        self.then.pop(f"after_{stage}", lambda: None)()


def test_two_nodes_give_the_same_bytes(
    ray: Remote, expected: dict[str, bytes], tmp_path: Path
) -> None:
    assert ray.slots == 2
    traces: list[str] = []
    seen = tmp_path / "run" / "traces"
    look = Meanwhile(after_audit=lambda: traces.extend(path.name for path in seen.glob("*/*")))
    run_audit(small_scenario(*SETTINGS), tmp_path / "run", executor=ray, progress=look)
    assert contents(tmp_path / "run") == expected
    assert not traces, "nobody needs them here"


def test_the_token_stays_with_ray(ray: Remote) -> None:
    seen = dict(ray.each(odd_tasks.environment, "", ["RAY_AUTH_TOKEN", "OMP_NUM_THREADS"]))
    assert seen == {"RAY_AUTH_TOKEN": "", "OMP_NUM_THREADS": "1"}


def test_a_dry_run_speaks_of_each_node(ray: Remote, tmp_path: Path) -> None:
    lines = estimate_lines(estimate(small_scenario(*SETTINGS), tmp_path / "run", executor=ray))
    nodes = [line for line in lines if line.startswith("node 127.0.0.1 (")]
    assert len(nodes) == 2
    assert all("1 process, about " in line and line.endswith(" free") for line in nodes)
    assert "on 2 processes of 2 nodes" in lines[1]


def test_how_a_task_ends_is_told_as_it_is_here(ray: Remote) -> None:
    found = dict(ray.each(odd_tasks.end, "crash", range(3), workers=2))
    vanished = found.pop(1)
    assert str(vanished) == "its process ended by SIGSEGV"
    assert isinstance(vanished, Vanished)
    assert found == {0: 0, 2: 2}
    with pytest.raises(TaskError, match="ZeroDivisionError: a fault") as fault:
        list(ray.each(odd_tasks.end, "other", [1]))
    assert "odd_tasks.py" in str(fault.value)
    with pytest.raises(UserError, match=r"node 127\.0\.0\.1 \(\w+\): here: is wrong; do this"):
        list(ray.on_each_node(odd_tasks.end, "UserError", 1))


def test_ctrl_c_cancels_what_runs_elsewhere(ray: Remote, tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        begun = ray.each(odd_tasks.sleep, tmp_path, [1, 2], workers=2)
        odd_tasks.interrupt_when(tmp_path, 2)
        with pytest.raises(KeyboardInterrupt):
            next(begun)
    finally:
        signal.signal(signal.SIGINT, before)
    assert odd_tasks.all_gone(tmp_path)


def test_workers_and_a_node_killed_change_no_byte(
    cluster: RayCluster, expected: dict[str, bytes], tmp_path: Path
) -> None:
    spare = cluster.add()
    killed: list[int] = []
    then = Meanwhile(
        training=lambda: killed.append(cluster.kill_workers()), audit=lambda: cluster.kill(spare)
    )
    with Remote(OnRay(cluster.address)) as fresh:
        run_audit(
            small_scenario(*SETTINGS), tmp_path / "run", executor=fresh, progress=then, workers=2
        )
    assert killed[0] > 0
    assert contents(tmp_path / "run") == expected


def test_a_node_that_is_gone_is_not_asked(cluster: RayCluster) -> None:
    """A cluster still lists it when a run begins shortly after."""
    spare = cluster.add()
    with Remote(OnRay(cluster.address)) as fresh:
        assert fresh.slots >= 3, "and the one that the last test killed, for a while"
        cluster.kill(spare)
        assert len(list(fresh.on_each_node(odd_tasks.square, 2, 1))) == 2
        assert fresh.slots == 2


def test_a_driver_that_is_killed_goes_on_elsewhere(
    cluster: RayCluster, expected: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    scenario = tmp_path / "small.toml"
    scenario.write_text(resolved_toml(small_scenario(*SETTINGS)))
    options = f"--out {out} --executor ray --address {cluster.address}".split()
    driver = subprocess.Popen([*COMMAND, str(scenario), *options], cwd=tmp_path)
    while not list(out.glob("training/*.safetensors")):
        assert driver.poll() is None
        time.sleep(0.02)
    driver.kill()
    driver.wait()
    assert not (out / "records.jsonl").exists()
    with Local() as executor:
        run_audit(small_scenario(*SETTINGS), out, resume=True, executor=executor, workers=2)
    assert contents(out) == expected


def test_a_node_with_other_versions_is_named(cluster: RayCluster, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.metadata as metadata\n"
        "known = metadata.version\n"
        "metadata.version = lambda name: '0.1' if name == 'scipy' else known(name)\n"
    )
    other = cluster.add(PYTHONPATH=str(tmp_path))
    try:
        with (
            Remote(OnRay(cluster.address)) as fresh,
            pytest.raises(UserError, match=r"node 127\.0\.0\.1 \((\w+)\): .*scipy \(.* -> 0\.1\)")
            as refused,
        ):  # fmt: skip
            run_audit(small_scenario(*SETTINGS), tmp_path / "run", executor=fresh)
    finally:
        cluster.kill(other)
    assert f"({other[:8]})" in str(refused.value)
    assert not (tmp_path / "run").exists()


class OtherData(Executor):
    """A cluster of one node whose data set is another."""

    elsewhere = True

    def __init__(self, plan: Plan) -> None:
        data = plan.dataset.model_copy(update={"fingerprint": "0" * 64})
        self.plan = plan.model_copy(update={"dataset": data})

    def on_each_node(self, task: Any, job: Any, workers: int) -> Iterator[tuple[Node, Any]]:
        yield Node("far", 1), self.plan.model_dump_json()


def test_a_node_with_other_data_is_named() -> None:
    job = Job.of(small_scenario(), None, Path("run"), "cpu")
    world = load_world(job.scenario_json, job.data_dir)
    there = OtherData(make_plan(world.scenario, world.dataset))
    with pytest.raises(UserError, match=r"node far: .* data set 'glyphs', fingerprint"):
        check_nodes(there, job, world, 1)
    there.plan = make_plan(world.scenario, replace(world.dataset))
    check_nodes(there, job, world, 1)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--executor dask", "--executor: unknown executor 'dask'; known: local, ray, slurm"),
        (
            "--address 127.0.0.1:1",
            "--address: says nothing to executor 'local'; use --executor ray",
        ),
        (
            "--executor ray --address here",
            "--address: 'here' is no address of a cluster; give HOST",
        ),
        (
            "--executor ray --address 127.0.0.1:1",
            "--address: no cluster at 127.0.0.1:1: Connection",
        ),
        (
            "--executor ray --gpus-per-task 1",
            "--gpus-per-task: tasks that compute on the CPU would",
        ),
        ("--executor ray --gpus-per-task=nan", "--gpus-per-task: nan is no number of GPUs"),
        (
            "--executor ray --address ADDRESS --device cuda --gpus-per-task 0.5",
            "nodes has a GPU for tasks of 0.5; leave out --gpus-per-task",
        ),
        ("--executor slurm", "there is no Slurm on this machine (no sbatch)"),
        ("--executor slurm --gpus-per-task 0.5 --device cuda", "no sbatch"),
    ],
)
def test_bad_input_is_one_line(
    options: str, told: str, cluster: RayCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = options.replace("ADDRESS", cluster.address).split()
    assert run_command("run", "quickstart", "--out", str(tmp_path / "run"), *words) == 2
    printed = capsys.readouterr().err
    assert told in printed
    assert printed.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("token", "told"),
    [("wrong-0123456789-0123456789-0123456", "lets nobody in"), ("", "no token to be let in with")],
)
def test_nobody_gets_in_without_the_token(
    token: str, told: str, cluster: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UserError, match=told), Remote(OnRay(cluster.address)) as fresh:
        assert fresh.slots
