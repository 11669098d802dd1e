"""The main path on a world of seconds: what fails is shown, what is shared is all that differs."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from privaudit.audit import run_audit
from privaudit.custody.folder import RunFolder
from privaudit.errors import UserError
from privaudit.experiment.executors.here import Here
from privaudit.experiment.listener import Listener
from privaudit.experiment.training import train_run
from privaudit.federation.partition import ADVERSARY, TARGET
from privaudit.games.property import adversary_of, observe_cells
from privaudit.observation.trace import Trace
from privaudit.scenario.grid import Cell, cells_of
from privaudit.scenario.load import load_scenario
from privaudit.scenario.schema import Scenario
from privaudit.statistics import roc
from privaudit.world import World, load_world

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


PLUGINS = Path(__file__).resolve().parents[1] / "support" / "plugins"


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Somebody else's attacks, installed (tests/support/plugins)."""
    place = shutil.copytree(PLUGINS, tmp_path / "plugins")
    monkeypatch.syspath_prepend(str(place))
    return place


@pytest.mark.usefixtures("plugins")
def test_an_attack_that_fails_is_recorded_with_its_reason_and_stops_nothing(
    tmp_path: Path,
) -> None:
    """Neither another attack on the same cell nor the same attack on another cell."""
    chosen = scenario(
        'audit.attacks=["honest", "boom"]',
        "attack_options.boom.kind=IndexError",
        "attack_options.boom.only=_0.1_",
    )
    folder = run_audit(chosen, tmp_path / "run", workers=1)
    found = {(row["fraction"], row["attack"]): row for row in rows(folder)}
    failed = found.pop((0.1, "boom"))
    assert failed["status"] == "failed"
    assert failed["reason"] == "attack 'boom' failed: IndexError: from a plugin"
    assert not failed["scores"]
    assert len(found) == 3
    assert {(row["status"], len(row["scores"])) for row in found.values()} == {("ok", 4)}
    traceback = folder.file("failures", "run-0", "bold_largest_0.1_k3.txt").read_text()
    assert "misbehaving.py" in traceback
    table = folder.file("report", "table.md").read_text()
    assert "failed: attack 'boom' failed: IndexError: from a plugin" in table


def test_a_ledger_that_cannot_take_in_the_training_ends_the_cells_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[bool] = []

    class Broken(Listener):
        def trained(self) -> None:
            raise UserError("the chain is gone")

    class Watched(Here):
        def leave(self) -> None:
            left.append(True)

    broken = nullcontext(Broken())
    monkeypatch.setattr("privaudit.audit.ledger_of", lambda *_, **__: lambda folder: broken)
    with pytest.raises(UserError, match="the chain is gone"):
        run_audit(load_scenario("quickstart", SMALL), tmp_path / "run", executor=Watched())
    assert left == [True]
    assert not (tmp_path / "run" / "scores").exists()


def test_a_failed_cell_is_tried_again_on_resume(tmp_path: Path, plugins: Path) -> None:
    chosen = scenario('audit.attacks=["linear", "moody"]')
    folder = run_audit(chosen, tmp_path / "run", workers=1)
    assert [row["status"] for row in rows(folder)] == ["ok", "failed"] * 2
    first = [row["scores"] for row in rows(folder)]
    for name in ("records.jsonl", "manifest.json", "seal.json"):
        folder.file(name).unlink(missing_ok=True)
    (plugins / "moody" / "cheerful").touch()
    run_audit(chosen, tmp_path / "run", workers=1, resume=True)
    assert {row["status"] for row in rows(folder)} == {"ok"}
    assert [row["scores"] for row in rows(folder)][::2] == first[::2]


def test_a_model_that_fails_while_training_ends_the_run(tmp_path: Path) -> None:
    """Nothing can follow it, so it is no failed cell: one line, and no records appear."""
    model = scenario("audit.fractions=[1.0]").model_dump(mode="json")
    model["model"] = {"name": "broken_models:Tiring", "steps": 8}
    with pytest.raises(UserError) as raised:
        run_audit(Scenario.model_validate(model), tmp_path / "run", workers=1)
    assert "training of run 0: the model failed: KeyError: 'tired'" in str(raised.value)
    assert "\n" not in str(raised.value)
    kept = tmp_path / "run" / "failures" / "run-0" / "training.txt"
    assert str(kept) in str(raised.value)
    assert "broken_models.py" in kept.read_text()
    assert not (tmp_path / "run" / "records.jsonl").exists()


def test_a_model_that_fails_under_observation_fails_those_cells(tmp_path: Path) -> None:
    model = scenario("audit.fractions=[1.0]", "federation.rounds=0").model_dump(mode="json")
    model["model"] = {"name": "broken_models:Tiring", "steps": 12}
    folder = run_audit(Scenario.model_validate(model), tmp_path / "run", workers=1)
    (row,) = rows(folder)
    assert (row["status"], row["reason"]) == ("failed", "the model failed: KeyError: 'tired'")


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
    assert [row["pair"] for row in found] == [0, 0, 1, 1]
    for one, other in (found[:2], found[2:]):
        assert [set(row["present"]) for row in (one, other)] in (
            [{True}, {False}],
            [{False}, {True}],
        )
        assert one["holdings"] == other["holdings"]
    here, there = (
        Trace.open(next((tmp_path / "run" / "traces" / f"run-{n}").iterdir())) for n in (0, 1)
    )
    for one, other in zip(here, there, strict=True):
        assert torch.equal(one.before, other.before)
        assert torch.equal(one.own_delta, other.own_delta)
        assert not torch.equal(one.global_delta, other.global_delta)


def test_targets_rotate_end_to_end(tmp_path: Path) -> None:
    chosen = scenario(
        "audit.targets=rotate",
        "audit.fractions=[1.0]",
        "audit.participants=[3, 4]",
        "audit.rounds=8",
        "runs=2",
    )
    folder = run_audit(chosen, tmp_path / "run", workers=1)
    for row in rows(folder):
        honest = row["participants"] - 1
        assert (row["status"], len(row["holdings"])) == ("ok", honest)
        present = np.array(row["present"])
        for target in range(honest):  # each has rounds of both kinds
            assert 0 < present[target::honest].sum() < len(present[target::honest])
        auc = np.mean(
            [
                roc.auc(np.array(row["scores"])[target::honest], present[target::honest])
                for target in range(honest)
            ]
        )
        assert row["metrics"]["auc"]["value"] == pytest.approx(auc)
    said = folder.file("traces", "run-0").glob("*/*.json")
    assert not any("rotate" in file.read_text() for file in said)


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
    """Every file of a trace is named by the format; what it states are the rules, all of them."""
    made, folder = observed
    cell = cells_of(made.scenario)[0]
    found = trace(folder, cell)
    assert found.manifest.about == {}
    assert found.manifest.rules == made.rules(cell).model_dump(mode="json")
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


def test_records_that_are_held_out_are_learned_from_and_not_trained_on() -> None:
    made = world("audit.auxiliary_held_out=0.25")
    (cell, *_) = cells_of(made.scenario)
    own, *_ = made.deal(0).audited(cell.participants).clients
    held = made.held_out(0)
    assert len(held) == round(0.25 * len(own))
    assert np.isin(held, own).all()
    assert not np.isin(held, made.deal(0).training.clients[ADVERSARY]).any()
    auxiliary = adversary_of(made, cell).auxiliary
    assert torch.equal(auxiliary.samples.inputs, made.samples.inputs[held])
    whole = world()
    others = zip(whole.deal(0).training.clients[1:], made.deal(0).training.clients[1:], strict=True)
    assert all(np.array_equal(one, other) for one, other in others)


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
