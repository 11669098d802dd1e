"""The main path on a world of seconds: what fails is shown, what is shared is all that differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from attacks.linear import LinearDelta
from privaudit.audit import run_audit
from privaudit.experiment.attacking import adversary_of
from privaudit.experiment.cells import Cell, cells_of
from privaudit.experiment.folder import RunFolder
from privaudit.experiment.observing import observe_cells
from privaudit.experiment.training import train_run
from privaudit.experiment.world import World, load_world
from privaudit.federation.partition import ADVERSARY, TARGET
from privaudit.observation.trace import Trace
from privaudit.scenario.load import load_scenario
from privaudit.scenario.schema import Scenario

SMALL = (
    "runs=1",
    "data.records=900",
    "data.classes=digits",
    "model.channels=[3]",
    "model.hidden=6",
    "federation.participants=3",
    "federation.rounds=1",
    'audit.properties=["bold"]',
    "audit.fractions=[0.1, 1.0]",
    "audit.rounds=4",
    "audit.batch_size=8",
    "audit.shadows=2",
    'audit.attacks=["linear"]',
    "report.devices=[]",
    "ledger.enabled=false",
)


def scenario(*overrides: str) -> Scenario:
    return load_scenario("quickstart", [*SMALL, *overrides])


def world(*overrides: str) -> World:
    return load_world(scenario(*overrides).model_dump_json(), None)


def rows(folder: RunFolder) -> list[dict[str, Any]]:
    return folder.read_lines("records.jsonl")


def broken(message: str) -> Any:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError(message)

    return fail


def test_a_failed_cell_is_recorded_with_its_reason_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = LinearDelta.score

    def fail_on_sparse(attack: LinearDelta) -> np.ndarray:
        if "0.1" in attack.seed.path[-1]:
            raise RuntimeError("singular <matrix>")
        return original(attack)

    monkeypatch.setattr(LinearDelta, "score", fail_on_sparse)
    folder = run_audit(scenario(), tmp_path / "run", workers=1)
    failed, good = rows(folder)
    assert (failed["fraction"], failed["status"]) == (0.1, "failed")
    assert failed["reason"] == "RuntimeError: singular <matrix>"
    assert (good["fraction"], good["status"], len(good["scores"])) == (1.0, "ok", 4)
    traceback = folder.file("failures", "run-0", "bold_largest_0.1_k3.txt").read_text()
    assert "fail_on_sparse" in traceback
    table = folder.file("report", "table.md").read_text()
    assert "failed: RuntimeError: singular &lt;matrix&gt;" in table


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        (np.zeros(3), r"shape (3,), 0 not finite; expected (4,) finite"),
        (np.zeros((4, 1)), r"shape (4, 1)"),
        (np.array([0.0, np.nan, np.inf, 1.0]), "2 not finite"),
    ],
)
def test_scores_that_are_none_are_a_failed_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scores: np.ndarray, reason: str
) -> None:
    monkeypatch.setattr(LinearDelta, "score", lambda _: scores)
    folder = run_audit(scenario("audit.fractions=[1.0]"), tmp_path / "run", workers=1)
    (row,) = rows(folder)
    assert row["status"] == "failed"
    assert reason in row["reason"]


def test_a_failed_cell_is_tried_again_on_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(LinearDelta, "partial_fit", broken("out of memory"))
        folder = run_audit(scenario(), tmp_path / "run", workers=1)
    assert {row["status"] for row in rows(folder)} == {"failed"}
    for name in ("records.jsonl", "manifest.json", "seal.json"):
        folder.file(name).unlink(missing_ok=True)
    run_audit(scenario(), tmp_path / "run", workers=1, resume=True)
    assert {row["status"] for row in rows(folder)} == {"ok"}


def test_training_that_fails_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can follow it, so it is no failed cell: it is an error, and no records appear."""
    monkeypatch.setattr("privaudit.experiment.tasks.train_run", broken("disk full"))
    with pytest.raises(RuntimeError, match="disk full"):
        run_audit(scenario(), tmp_path / "run", workers=1)
    assert not (tmp_path / "run" / "records.jsonl").exists()


@pytest.mark.parametrize("fractions", ["[1.0]", "[0.1]"])
def test_the_server_sees_single_deltas_end_to_end(tmp_path: Path, fractions: str) -> None:
    chosen = scenario("audit.threat_model=server", f"audit.fractions={fractions}")
    folder = run_audit(chosen, tmp_path / "run", workers=1)
    (row,) = rows(folder)
    assert (row["status"], row["view"]) == ("ok", "server"), row["reason"]
    (seen,) = folder.file("traces", "run-0").iterdir()
    assert {observation.target for observation in Trace.open(seen)} == {TARGET}


def test_a_persistent_property_has_its_controls_end_to_end(tmp_path: Path) -> None:
    chosen = scenario("audit.schedule=dataset", "audit.fractions=[1.0]", "runs=4")
    found = rows(run_audit(chosen, tmp_path / "run", workers=1))
    labels = [set(row["present"]) for row in found]
    assert sorted(map(str, labels)) == ["{False}", "{False}", "{True}", "{True}"]


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, RunFolder]:
    """A world whose cells were observed and not attacked."""
    made = world('audit.properties=["bold", "serif"]')
    folder = RunFolder(tmp_path_factory.mktemp("observed"))
    train_run(made, folder, 0)
    observe_cells(made, folder, cells_of(made.scenario))
    return made, folder


def trace(folder: RunFolder, cell: Cell) -> Trace:
    return Trace.open(folder.file("traces", f"run-{cell.run}", cell.name))


def test_the_truth_is_not_on_disk_before_the_attacks(observed: tuple[World, RunFolder]) -> None:
    assert not list(observed[1].path.rglob("*truth*"))


def test_cells_that_differ_in_what_is_shared_see_the_same_batches(
    observed: tuple[World, RunFolder],
) -> None:
    made, folder = observed
    sparse, full = [c for c in cells_of(made.scenario) if c.property == "bold"]
    assert made.presence(sparse).tolist() == made.presence(full).tolist()
    first_sparse, first_full = next(iter(trace(folder, sparse))), next(iter(trace(folder, full)))
    assert torch.equal(first_sparse.before, first_full.before)
    shared = first_sparse.own_delta != 0
    assert 0 < int(shared.sum()) < len(shared)
    assert torch.equal(first_sparse.own_delta[shared], first_full.own_delta[shared])


def test_other_properties_have_a_schedule_of_their_own(observed: tuple[World, RunFolder]) -> None:
    made, folder = observed
    by_property = {c.property: made.presence(c) for c in cells_of(made.scenario)}
    assert all(sum(t) == 2 for t in by_property.values())
    first = {c.property: next(iter(trace(folder, c))) for c in cells_of(made.scenario)}
    assert not torch.equal(first["bold"].global_delta, first["serif"].global_delta)


def test_what_an_interrupted_attempt_left_is_replaced(observed: tuple[World, RunFolder]) -> None:
    made, folder = observed
    cell = cells_of(made.scenario)[0]
    path = folder.file("traces", "run-0", cell.name)
    before = {f.name: f.read_bytes() for f in path.iterdir()}
    (path / "manifest.json").write_text("{")
    (path / "round-000009.safetensors.partial").write_bytes(b"half")
    observe_cells(made, folder, [cell])
    assert {f.name: f.read_bytes() for f in path.iterdir()} == before


def test_a_trace_says_nothing_of_the_truth(observed: tuple[World, RunFolder]) -> None:
    """Every file of a trace is named by the format, and the free facts are the rules."""
    made, folder = observed
    cell = cells_of(made.scenario)[0]
    found = trace(folder, cell)
    assert set(found.manifest.about) == {
        "participants",
        "lr",
        "momentum",
        "batch_size",
        "local_steps",
        "sharing_rule",
        "shared_fraction",
    }
    names = {f.name for f in found.path.iterdir()}
    rounds = {f"round-{i:06d}.safetensors" for i in range(4)}
    assert names == {"manifest.json", "initial.safetensors"} | rounds


@pytest.mark.parametrize("overlap", [0.0, 0.25, 1.0])
def test_the_adversary_holds_its_own_records_and_the_stated_overlap(overlap: float) -> None:
    made = world(f"audit.auxiliary_overlap={overlap}")
    (cell, *_) = cells_of(made.scenario)
    own, target, *_ = made.deal(0).audited(cell.participants).clients
    auxiliary = adversary_of(made, cell).auxiliary
    expected = len(own) + round(overlap * len(target))
    assert len(auxiliary.samples) == len(auxiliary.present) == expected
    rows_held = {bytes(image.numpy()) for image in auxiliary.samples.inputs}
    everything = made.dataset.inputs
    assert {bytes(i) for i in everything[own]} <= rows_held
    of_target = {bytes(i) for i in everything[target]} & rows_held
    assert len(of_target) == round(overlap * len(target))
    assert (ADVERSARY, TARGET) == (0, 1)


def test_traces_are_kept_or_removed_as_asked(tmp_path: Path) -> None:
    one = ("audit.fractions=[1.0]", "audit.keep_traces=false")
    folder = run_audit(scenario(*one), tmp_path / "run", workers=1)
    assert not folder.file("traces").exists()
    assert rows(folder)[0]["status"] == "ok"


def test_what_a_reader_must_know_of_the_model_is_kept_and_said(tmp_path: Path) -> None:
    """A model that normalises over the batch is audited as it is, and the notes say so."""
    from privaudit.report.content import read_content
    from privaudit.report.notes import footnotes

    plain = run_audit(scenario("audit.fractions=[1.0]"), tmp_path / "plain", workers=1)
    assert plain.read_json("remarks.json") == []
    model = scenario("audit.fractions=[1.0]").model_dump(mode="json")
    model["model"] = {"name": "small_models:BatchNormalised"}
    folder = run_audit(Scenario.model_validate(model), tmp_path / "run", workers=1)
    (remark,) = folder.read_json("remarks.json")
    content = read_content(folder)
    assert content.records[0].status == "ok"
    assert f"Model: {remark}." in footnotes(content.scenario, content.cells, content.remarks)
