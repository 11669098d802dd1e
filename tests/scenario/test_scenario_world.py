"""A scenario meets its data: what cannot work is refused before anything is trained or written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from privaudit.custody.folder import RunFolder
from privaudit.custody.models import trained_parameters
from privaudit.errors import UserError
from privaudit.experiment.training import train_run, training_rows
from privaudit.report.write import training_summary
from privaudit.scenario.grid import cells_of, groups_of
from privaudit.scenario.load import load_scenario
from privaudit.world import World, check_world, load_world

SMALL = (
    "data.records=600",
    "audit.batch_size=8",
    'audit.attacks=["melis-rf", "linear"]',
    "report.devices=[]",
    "runs=1",
)


def world(*overrides: str, scenario: str = "quickstart") -> World:
    return load_world(load_scenario(scenario, [*SMALL, *overrides]).model_dump_json(), None)


def test_a_sound_scenario_passes() -> None:
    check_world(world())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (['audit.properties=["blod"]'], "unknown property 'blod'; did you mean 'bold'"),
        (['audit.attacks=["linera"]'], "unknown attack 'linera'; did you mean 'linear'"),
        (["attack_options.linear.dimensoins=5"], "unknown option 'dimensoins'; did you mean"),
        (
            ["attack_options.linear.dimensions=0"],
            "option 'dimensions' = 0: input should",
        ),
        (["model.name=cnm"], "unknown model 'cnm'; did you mean 'cnn'"),
        (["model.name=text-cnn"], "model 'text-cnn' takes text data, the data set holds image"),
        (["model.hiden=3"], "unknown option 'hiden'; did you mean 'hidden'"),
        (["model.channels=[2, 2, 2, 2, 2]"], "5 poolings leave nothing of the image"),
        (["model.num_classes=3"], "cannot be trained on 'glyphs'"),
        (["federation.participants=600"], "600 clients and a test set, but only 600 records"),
        (["audit.participants=[3, 700]"], "700 clients and a test set, but only 600 records"),
        (["audit.batch_size=400"], "one batch needs 400"),
        (["federation.partition=by-group"], "has no groups to partition by"),
        (["federation.adversary_share=0.9", "federation.target_share=0.2"], "take 1.1 of the"),
        (["report.devices=[2, 601]"], "601 devices, but only 600 records"),
        (
            [
                'defences.records=[{kind="dp-sgd", bound=1.0, multiplier=4.0}]',
                "federation.defence=records",
                "accounting.delta=0.002",
            ],
            "accounting.delta: 0.002 must be below 1 / 600, one over the records of 'glyphs'",
        ),
    ],
)
def test_what_cannot_work_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        check_world(world(*overrides))
    assert "\n" not in str(caught.value)


def test_an_attack_that_needs_to_see_more_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from privaudit.observation.views import ServerView
    from privaudit_attacks.linear import LinearDelta

    monkeypatch.setattr(LinearDelta, "view", ServerView)
    with pytest.raises(UserError, match="'linear' needs the server view, the scenario offers"):
        check_world(world())
    check_world(world("audit.threat_model=server"))


def test_clients_that_diverge_leave_a_readable_run(tmp_path: Path) -> None:
    """Their deltas are not finite and rejected; the loss is null in the records, not NaN."""
    diverging = world("federation.lr=1e30", "federation.rounds=1", "ledger.enabled=false")
    with RunFolder.create(tmp_path / "run", diverging.scenario, resume=False) as folder:
        train_run(diverging, folder, 0)
    (row,) = training_rows(folder, 1)
    assert row["train_loss"] is None
    assert row["accepted"] == 0
    assert set(row["rejected"].values()) == {"not finite"}
    assert trained_parameters(folder, 0).equal(diverging.engine(0).initial)
    assert "mean client loss diverged" in str(training_summary([row]))
    assert "NaN" not in json.dumps(row)


@pytest.mark.parametrize(
    ("runs", "rounds", "workers", "expected"),
    [
        (3, 8, 2, [3] * 9),  # of 3 trainings and 9 groups each worker has 6
        (3, 0, 2, [3] * 8 + [1, 2]),  # of 9 groups each has 4, and a part of the last
        (1, 8, 2, [3] * 2 + [1, 2]),  # both begin when the run is trained
        (3, 8, 1, [3] * 9),
        (1, 0, 8, [1] * 9),
    ],
)
def test_the_last_groups_are_split_where_not_every_worker_would_have_one(
    runs: int, rounds: int, workers: int, expected: list[int]
) -> None:
    scenario = load_scenario("quickstart", [f"runs={runs}", f"federation.rounds={rounds}"])
    groups = groups_of(scenario, workers)
    assert [len(group) for group in groups] == expected
    assert sorted(cell for group in groups for cell in group) == sorted(cells_of(scenario))
