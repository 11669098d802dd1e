"""The plan: what a result depends on, and that a run goes on with nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_data import table

from privaudit import audit
from privaudit.custody import plan as planning
from privaudit.custody.folder import RunFolder
from privaudit.custody.plan import PLAN, Plan, changes, keep_plan, make_plan, read_plan
from privaudit.errors import UserError
from privaudit.experiment.tasks import Job, training_task
from privaudit.models.build import InputShape, build_model
from privaudit.randomness import Seed
from privaudit.scenario.load import check_scenario
from privaudit.scenario.schema import Scenario

DATA = table(40)
NET = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, features, num_classes):
        super().__init__(nn.Linear(features, num_classes))
"""


def scenario(**sections: Any) -> Scenario:
    base = {"name": "x", "audit": {"properties": ["secret"], "attacks": ["linear", "melis-rf"]}}
    return check_scenario(base | sections, where="test")


@pytest.fixture
def planned() -> Plan:
    return make_plan(scenario(), DATA)


def test_a_plan_comes_back_as_it_was_written(tmp_path: Path, planned: Plan) -> None:
    folder = RunFolder(tmp_path)
    assert keep_plan(folder, planned) == planned == read_plan(folder)
    assert keep_plan(folder, planned) == planned
    assert changes(read_plan(folder), planned) == []


def test_the_ground_truth_does_not_follow_from_the_plan(planned: Plan) -> None:
    """It lies beside the traces while attacks run; the data's checksum would tell."""
    assert DATA.checksum not in planned.model_dump_json()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dataset": {"fingerprint": "9" * 64}}, "the data set 'made-up', fingerprint ("),
        ({"model": {"digest": "9" * 64}}, "the code of model 'cnn' (privaudit"),
        ({"attacks": {"linear": {"version": "9"}}}, "the code of attack 'linear' (privaudit 9,"),
        ({"audit": {"digest": "9" * 64}}, "privaudit itself ("),
        ({"versions": {"torch": "1.0"}}, "torch (1.0 -> "),
        ({"versions": {"python": "3.9.0"}}, "python (3.9.0 -> "),
        ({"device": "cuda"}, "the device (cuda -> cpu)"),
        ({"scenario": {"seed": 77}}, "the scenario ("),
    ],
)
def test_a_change_of_what_a_byte_depends_on_is_refused_and_named(
    tmp_path: Path, planned: Plan, change: dict[str, Any], said: str
) -> None:
    folder = RunFolder(tmp_path)
    folder.write_json(PLAN, _merged(planned.model_dump(mode="json"), change))
    with pytest.raises(UserError, match="something changed since the run began") as refusal:
        keep_plan(folder, planned)
    assert said in str(refusal.value)
    assert str(refusal.value).count(" -> ") == 1


def _merged(table: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    return table | {
        key: _merged(table[key], value) if isinstance(value, dict) else value
        for key, value in change.items()
    }


@pytest.mark.parametrize("change", [{"commit": "9" * 40}, {"dirty": True}, {"ledger": "rpc"}])
def test_what_no_byte_depends_on_is_no_reason_to_refuse(
    tmp_path: Path, planned: Plan, change: dict[str, Any]
) -> None:
    folder = RunFolder(tmp_path)
    folder.write_json(PLAN, planned.model_dump(mode="json") | change)
    assert keep_plan(folder, planned).model_dump(mode="json") == folder.read_json(PLAN)


def test_a_run_of_before_plans_does_not_go_on(tmp_path: Path, planned: Plan) -> None:
    folder = RunFolder(tmp_path)
    folder.write_json("scenario.json", {})
    folder.write_text("training/run-0.jsonl", "")
    with pytest.raises(UserError, match=r"has results but no plan\.json"):
        keep_plan(folder, planned)
    assert not folder.file(PLAN).exists()


@pytest.mark.parametrize("content", ["[]", "{}", '{"format": "privaudit-plan", "version": 2}'])
def test_what_is_no_plan_is_said(tmp_path: Path, content: str) -> None:
    (tmp_path / PLAN).write_text(content)
    with pytest.raises(UserError, match=r"plan\.json: not a plan"):
        read_plan(RunFolder(tmp_path))


def test_an_own_model_that_was_edited_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "planned_net.py"
    file.write_text(NET)
    made = scenario(model={"name": "planned_net:Net"})
    before = make_plan(made, DATA)
    build_model("planned_net:Net", {}, InputShape("table", 2, features=4), Seed(0))  # it is code
    file.write_text(NET.replace("nn.Linear(features", "nn.Tanh(), nn.Linear(features"))
    (said,) = changes(before, make_plan(made, DATA))
    assert said.startswith("the code of model 'planned_net:Net' (no distribution, source ")


def test_dirty_says_whether_the_code_is_in_a_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    for printed, dirty in ((" M privaudit/x.py", True), ("", False), (None, None)):
        planning.dirty.cache_clear()
        monkeypatch.setattr(planning, "_git", lambda *_, said=printed: said)
        assert planning.dirty() is dirty
    planning.dirty.cache_clear()


# ------------------------------------------------------------------ whole runs


def write_csv(file: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = ["x,y,secret,label"]
    for _ in range(800):
        secret, label = rng.integers(2, size=2)
        rows.append(f"{rng.normal() + secret:.4f},{rng.normal():.4f},{secret},{label}")
    file.write_text("\n".join(rows) + "\n")


@pytest.fixture
def on_file(tmp_path: Path) -> tuple[Scenario, Path]:
    file = tmp_path / "rows.csv"
    write_csv(file, 1)
    data = {
        "name": "csv",
        "path": str(file),
        "label": "label",
        "properties": {"secret": {"column": "secret", "present": 1}},
    }
    settings = scenario(
        data=data,
        model={"name": "mlp", "hidden": [4]},
        federation={"participants": 3, "rounds": 1, "batch_size": 16},
        audit={
            "properties": ["secret"],
            "fractions": [1.0],
            "rounds": 4,
            "shadows": 2,
            "batch_size": 8,
            "attacks": ["linear"],
        },
        ledger={"enabled": False},
        report={"devices": []},
        runs=1,
    )
    return settings, file


def test_a_run_does_not_go_on_with_other_data(
    on_file: tuple[Scenario, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, file = on_file
    out = tmp_path / "run"

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("privaudit.evaluation.truth.judge_run", stop)
        with pytest.raises(KeyboardInterrupt):
            audit.run_audit(settings, out, workers=1)
    before = {f: f.read_bytes() for f in out.rglob("*") if f.is_file()}
    write_csv(file, 2)
    audit.load_world.cache_clear()  # as in a new process
    with pytest.raises(UserError, match="the data set 'csv', fingerprint"):
        audit.run_audit(settings, out, workers=1, resume=True)
    assert {f: f.read_bytes() for f in out.rglob("*") if f.is_file()} == before
    write_csv(file, 1)
    audit.load_world.cache_clear()
    folder = audit.run_audit(settings, out, workers=1, resume=True)
    record = json.loads(folder.file("records.jsonl").read_text().splitlines()[0])
    plan = read_plan(folder)
    assert record["attack_source"] == plan.attacks["linear"].model_dump()
    assert record["model_source"] == plan.model.model_dump()
    assert (record["commit"], record["dirty"]) == (plan.commit, plan.dirty)
    assert planning.fingerprint(record["dataset"]["checksum"]) == plan.dataset.fingerprint


def test_a_worker_that_starts_late_does_not_take_other_data(
    on_file: tuple[Scenario, Path], tmp_path: Path
) -> None:
    settings, file = on_file
    job = Job(settings.model_dump_json(), tmp_path, tmp_path / "run")
    plan = make_plan(settings, job.world().dataset).model_dump_json()
    write_csv(file, 2)
    audit.load_world.cache_clear()
    late = Job(job.scenario_json, job.data_dir, job.folder, plan=plan)
    with pytest.raises(UserError, match="the data set 'csv', fingerprint"):
        training_task(late, 0)
    audit.load_world.cache_clear()
