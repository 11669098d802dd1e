"""What cells share they compute once, and find what each would find alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from privaudit.attack.scoring import Failure, in_step, score_in_step
from privaudit.custody.folder import RunFolder, trace_folder
from privaudit.custody.models import trained_parameters
from privaudit.engine.engine import Engine
from privaudit.experiment.attacking import attack_cells
from privaudit.experiment.tasks import Job, audit_task, scores_file
from privaudit.experiment.training import train_run
from privaudit.games.property import observe_cells
from privaudit.observation.trace import Trace
from privaudit.scenario.grid import Cell, cells_for_layers, cells_of
from privaudit.scenario.load import load_scenario
from privaudit.world import World, load_world

PLUGINS = Path(__file__).resolve().parents[1] / "support" / "plugins"

GRID = (
    "runs=1",
    "data.records=1500",
    "data.classes=digits",
    "model.channels=[3]",
    "model.hidden=6",
    "federation.rounds=1",
    "federation.adversary_share=0.3",
    "federation.target_share=0.2",
    'audit.properties=["bold", "serif"]',
    "audit.fractions=[0.1, 1.0]",
    "audit.participants=[3, 5]",
    "audit.rounds=4",
    "audit.batch_size=8",
    "audit.shadows=2",
    'audit.attacks=["linear"]',
    "report.devices=[]",
    "ledger.enabled=false",
)


def world(*overrides: str) -> World:
    made = load_scenario("quickstart", [*GRID, *overrides])
    return load_world(made.model_dump_json(), None)


def audited(place: Path, made: World, groups: list[list[Cell]]) -> dict[str, bytes]:
    """Scores and traces of all cells, by file, audited group by group."""
    folder = RunFolder(place)
    train_run(made, folder, 0)
    for group in groups:
        observe_cells(made, folder, group)
        for cell, heard in attack_cells(made, folder, group).items():
            folder.write_json(scores_file(cell), heard.scores)
    parts = ("scores", "traces")
    files = [file for part in parts for file in folder.file(part).rglob("*") if file.is_file()]
    return {str(file.relative_to(place)): file.read_bytes() for file in files}


@pytest.mark.parametrize("trajectory", ["common", "own"])
def test_how_cells_are_grouped_changes_no_byte(tmp_path: Path, trajectory: str) -> None:
    made = world(f"audit.trajectory={trajectory}")
    cells = cells_of(made.scenario)
    together = audited(tmp_path / "together", made, [cells])
    alone = audited(tmp_path / "alone", made, [[cell] for cell in reversed(cells)])
    assert len(cells) == 8
    assert together == alone


def test_a_common_trajectory_is_one_federation_for_all_cells(tmp_path: Path) -> None:
    made = world()
    audited(tmp_path, made, [cells_of(made.scenario)])
    folder = RunFolder(tmp_path)
    seen = [list(Trace.open(trace_folder(folder, c))) for c in cells_of(made.scenario)]
    for rounds in zip(*seen, strict=True):
        assert all(torch.equal(one.before, rounds[0].before) for one in rounds)
        assert all(not torch.equal(one.step, one.global_delta) for one in rounds)
    assert torch.equal(seen[0][0].before, trained_parameters(folder, 0))
    assert all(torch.equal(a.after, b.before) for a, b in zip(seen[0], seen[0][1:], strict=False))
    assert not torch.equal(seen[0][0].before, seen[0][-1].before)


def test_on_trajectories_of_their_own_the_model_moves_by_what_is_sent(tmp_path: Path) -> None:
    made = world("audit.trajectory=own")
    audited(tmp_path, made, [cells_of(made.scenario)])
    for cell in cells_of(made.scenario):
        seen = list(Trace.open(trace_folder(RunFolder(tmp_path), cell)))
        assert all(one.step is None for one in seen)
        assert torch.equal(seen[1].before, seen[0].before + seen[0].global_delta)


def test_a_common_trajectory_trains_each_batch_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2 properties x 2 fractions x K = 3, 5: everybody once per property, the target once per K."""
    trained, shadows = [], []
    training, gradients = Engine.train_clients, Engine.gradients

    def count_training(engine, parameters, samples, clients, *more):  # type: ignore[no-untyped-def]
        trained.extend(clients)
        return training(engine, parameters, samples, clients, *more)

    def count_shadows(engine, parameters, samples, batches, seed):  # type: ignore[no-untyped-def]
        shadows.extend(batches)
        return gradients(engine, parameters, samples, batches, seed)

    made, folder = world(), RunFolder(tmp_path)
    train_run(made, folder, 0)
    monkeypatch.setattr(Engine, "train_clients", count_training)
    monkeypatch.setattr(Engine, "gradients", count_shadows)
    observe_cells(made, folder, cells_of(made.scenario))
    assert len(trained) == 4 * (5 + 2 * (5 + 1))  # rounds x (usual + properties x (K + target))
    monkeypatch.setattr(
        "privaudit.experiment.attacking.score_apart",
        lambda hearings, views, **_: score_in_step(hearings, in_step(views)),
    )
    cells = cells_of(made.scenario)
    heard = attack_cells(made, folder, cells, by_layer=cells_for_layers(made.scenario))
    assert sum(one.signal is not None for one in heard.values()) == 2, "a cell of each property"
    assert len(shadows) == 4 * 2 * (2 + 2)  # rounds x properties x (present + absent)


def test_a_view_that_several_listen_to_is_read_once() -> None:
    reads: list[str] = []

    class View:
        def __iter__(self) -> Iterator[Any]:
            reads.append("again")
            return iter([1, 2])

    shared = View()
    assert list(in_step([shared, iter([7]), shared])) == [(1, 7, 1), (2, None, 2)]  # type: ignore[list-item]
    assert reads == ["again"]


def test_layers_that_fail_beside_attacks_that_do_not_are_a_fault_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, folder = world(), RunFolder(tmp_path)
    cell = cells_for_layers(made.scenario)[0]
    train_run(made, folder, 0)
    observe_cells(made, folder, [cell])
    answers: list[list[dict[str, Any]]] = []
    monkeypatch.setattr(
        "privaudit.experiment.attacking.score_apart", lambda *_, **__: answers.pop(0)
    )

    def signal(first: object, attack: object, *alone: object) -> Any:
        answers[:] = [[{"layers": first}, {"linear": attack}], *([{"layers": a}] for a in alone)]
        return attack_cells(made, folder, [cell], by_layer=[cell])[cell].signal

    assert signal(["of", "them"], [0.0]) == ["of", "them"]
    assert signal(Failure("the model failed"), Failure("the model failed")) is None
    assert signal(Failure("ended by an attack in its name"), [0.0], ["alone"]) == ["alone"]
    with pytest.raises(RuntimeError, match="no luck"):
        signal(Failure("bad luck"), [0.0], Failure("no luck"))
    with pytest.raises(MemoryError):
        signal(Failure("bad luck"), [0.0], Failure("layers failed: MemoryError: none"))


def test_one_failing_cell_does_not_stop_those_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(PLUGINS))
    cells = cells_of(world().scenario)
    broken = cells[2]
    made = world('audit.attacks=["boom"]', f'attack_options.boom.only="{broken.name}"')
    job = Job(made.scenario.model_dump_json(), None, tmp_path)
    folder = RunFolder(tmp_path)
    train_run(made, folder, 0)
    reason = "attack 'boom' failed: IndexError: from a plugin"
    outcomes = audit_task(job, cells)
    assert {o.task: o.failures for o in outcomes if o.failures} == {broken: {"boom": reason}}
    scored = {file.stem for file in folder.file("scores", "run-0").iterdir()}
    assert scored == {cell.name for cell in cells if cell is not broken}
    assert "misbehaving.py" in folder.file("failures", "run-0", f"{broken.name}.txt").read_text()
    assert trace_folder(folder, broken).is_dir()
    again = audit_task(job, cells)  # only what is missing
    assert {o.task: o.failures for o in again if o.failures} == {broken: {"boom": reason}}
