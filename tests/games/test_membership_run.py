"""The game membership from the scenario to the verdict, on a run small enough for a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ledger_runs import run_command

from privaudit.audit import run_audit
from privaudit.custody.folder import RunFolder
from privaudit.errors import UserError
from privaudit.experiment.trial import _made_up
from privaudit.federation.partition import TARGET
from privaudit.games import GAMES
from privaudit.games.membership import LEFT_OUT, TRAINED_ON, _dealt, candidates_of
from privaudit.observation.trace import Trace
from privaudit.report.content import read_content
from privaudit.report.plain import report_markdown
from privaudit.scenario.grid import cells_of
from privaudit.scenario.load import load_scenario
from privaudit.scenario.schema import Scenario
from privaudit.studies.dilution import dilution_plans
from privaudit.world import World, load_world

SMALL = (
    "runs=2",
    "data.records=1200",
    "federation.rounds=3",
    "federation.participants=3",
    "audit.participants=[2, 3]",
    "audit.fractions=[0.5, 1.0]",
    "audit.keep_traces=true",
    "membership.candidates=40",
)


def small(*more: str) -> Scenario:
    return load_scenario("membership", [*SMALL, *more])


def world_of(*more: str) -> World:
    return load_world(small(*more).model_dump_json(), None)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of both games."""
    properties = ('audit.properties=["bold"]', "audit.rounds=8", 'audit.attacks=["linear"]')
    place = tmp_path_factory.mktemp("membership") / "run"
    return run_audit(small(*properties), place, workers=1)


def test_the_same_records_are_asked_about_and_trained_on_whatever_else_changes() -> None:
    world = world_of()
    by_run: dict[int, set[bytes]] = {}
    for cell in cells_of(world.scenario):
        asked, present = candidates_of(world, cell.run), world.presence(cell)
        held = world.deal(cell.run).largest.clients[TARGET]
        assert set(asked) <= set(held)
        assert present.sum() == len(present) / 2
        dealt = _dealt(world, cell).clients
        assert set(dealt[TARGET]) == set(asked[present])
        assert {len(records) for records in dealt} == {len(asked) // 2}
        assert not set(np.concatenate([dealt[0], *dealt[2:]])) & set(asked)
        by_run.setdefault(cell.run, set()).add(asked.tobytes() + present.tobytes())
    assert [len(found) for found in by_run.values()] == [1, 1]
    assert len(set.union(*by_run.values())) == 2, "runs ask about other records"


def test_nobody_else_holds_what_an_adversary_is_given() -> None:
    world = world_of()
    cell = cells_of(world.scenario)[0]
    given = GAMES["membership"].given(world, [cell])[cell]
    asked = {row.numpy().tobytes() for row in given.samples.inputs}
    assert not asked & {row.numpy().tobytes() for row in given.own.inputs}


def test_it_goes_from_scenario_to_verdict(finished: RunFolder) -> None:
    content = read_content(finished)
    asked = [cell for cell in content.cells if cell.game == "membership"]
    assert {cell.attack for cell in asked} == set(content.scenario.attacks_of("membership"))
    assert all(cell.rounds == 2 * 40 for cell in asked)
    assert all(cell.facts[TRAINED_ON] >= 0 <= cell.facts[LEFT_OUT] for cell in asked)
    assert {cell.property for cell in content.cells} == {"bold", "membership"}
    page = report_markdown(content, ())
    assert "which of 40 records another participant trained on" in page or "membership" in page
    assert "Room: accuracy of the last global model" in " ".join(
        (finished.path / "report" / "table.md").read_text().split()
    )


def test_what_is_listened_to_is_training_from_the_initial_weights(finished: RunFolder) -> None:
    cell = next(c for c in cells_of(finished.scenario()) if c.game == "membership")
    trace = Trace.open(finished.file("traces", f"run-{cell.run}", cell.name))
    assert len(trace) == finished.scenario().federation.rounds
    world = load_world(finished.scenario().model_dump_json(), None)
    assert next(iter(trace)).before.equal(world.engine(cell.run).initial)
    assert trace.manifest.stated["local_epochs"] == world.scenario.federation.local_epochs


def test_verify_computes_who_trained_again(finished: RunFolder, tmp_path: Path) -> None:
    assert run_command("verify", str(finished.path)) == 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("membership.candidates=5",), "multiple of 2"),
        (("membership.candidates=5000",), "needs 2500 records"),
        (("federation.rounds=0",), "federation.rounds must be above 0"),
        (('audit.schedule="dataset"', "runs=4"), "schedule must be 'single-batch'"),
        (("audit.auxiliary_overlap=0.5",), "what it asks about"),
        (('membership.attacks=["linear"]',), "the game 'property'"),
        (('membership.attacks=["fedmia"]',), "needs the server view"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_written(
    settings: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=said):
        run_audit(small(*settings), tmp_path / "run", workers=1)
    assert not (tmp_path / "run").exists()


def test_nothing_of_it_is_permuted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its repetitions would be audits like any other, and their p-value would say nothing."""
    with pytest.raises(UserError, match="no property to permute"):
        run_audit(small(), tmp_path / "run", workers=1, permute_all=1)
    assert not (tmp_path / "run").exists()
    settings = [part for value in SMALL for part in ("--set", value)]
    assert run_command("run", "membership", *settings, "--dry-run", "--permute-all", "1") == 2
    assert "there is no property to permute" in capsys.readouterr().err
    few = ('audit.properties=["bold"]', "audit.rounds=4", 'audit.attacks=["linear"]', "runs=1")
    folder = run_audit(small(*few), tmp_path / "both", workers=1, permute_all=1)
    repeated = {cell.property: cell.repeated for cell in read_content(folder).cells}
    assert repeated == {"bold": 1, "membership": 0}


def test_a_dry_run_plays_no_more_rounds_than_there_are() -> None:
    """Its attacks play all of them again: nine of a text model took longer than the run."""
    world = world_of()
    assert len(_made_up(world, cells_of(world.scenario)[0], steps=1, size=8)) == 3


def test_a_study_of_properties_leaves_it_and_its_options_out() -> None:
    both = ('audit.properties=["bold"]', "attack_options.membership-stack.simulations=1")
    plans = dilution_plans(small(*both), participants=[2, 3], runs=2, whole_runs=4, whole_rounds=4)
    assert [plan.games for plan in plans.values()] == [["property", "membership"], ["property"]]
    assert plans["whole-run"].attack_options == {}


def test_a_scenario_that_asks_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="nothing is asked"):
        load_scenario("quickstart", ["audit.properties=[]"])


def test_words_are_not_asked_of_pictures(tmp_path: Path) -> None:
    """The attack fails, named; the others have their scores."""
    both = 'membership.attacks=["loss-trajectory", "embedding-rows"]'
    folder = run_audit(small(both, "runs=1", "audit.fractions=[1.0]"), tmp_path / "run", workers=1)
    cells = {cell.attack: cell for cell in read_content(folder).cells}
    assert cells["loss-trajectory"].auc is not None
    assert "no embedding of token ids" in cells["embedding-rows"].failures[0]
