"""Several adversaries who pool what they own and see: what is left are the honest clients."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from ledger_runs import run_command
from measured_folders import finished_run
from report_content import scenario as made_scenario

from privaudit.audit import run_audit
from privaudit.custody.folder import RunFolder, trace_folder
from privaudit.errors import UserError
from privaudit.experiment.holdings import holdings_of
from privaudit.experiment.training import train_run
from privaudit.federation.partition import TARGET
from privaudit.games import GAMES
from privaudit.observation.trace import Trace
from privaudit.observation.views import Observation
from privaudit.report.content import read_content
from privaudit.report.plain import report_markdown
from privaudit.scenario.grid import cells_of
from privaudit.scenario.load import load_scenario
from privaudit.scenario.schema import Scenario
from privaudit.studies.dilution import dilution_plans
from privaudit.studies.dilution_curves import dilution_curves, orders, read_dilution
from privaudit.studies.dilution_report import dilution_csv
from privaudit.world import World, load_world

SMALL = (
    "runs=2",
    "data.records=1500",
    "model.channels=[3]",
    "model.hidden=6",
    "federation.participants=5",
    "federation.rounds=2",
    'audit.properties=["bold"]',
    "audit.fractions=[0.1, 1.0]",
    "audit.rounds=4",
    "audit.batch_size=8",
    "audit.shadows=2",
    'audit.attacks=["magnitude-stack"]',
    "report.devices=[]",
)
MEMBERSHIP = ("membership.candidates=20", 'membership.attacks=["membership-stack"]')


def scenario(*more: str) -> Scenario:
    return load_scenario("quickstart", [*SMALL, *more])


def observed(place: Path, *more: str) -> tuple[World, dict[str, list[Observation]]]:
    """Name of a cell of the first run -> what was seen."""
    chosen = scenario("runs=1", "ledger.enabled=false", *more)
    world = load_world(chosen.model_dump_json(), None)
    cells = cells_of(chosen)
    with RunFolder.create(place, chosen, resume=False) as folder:
        train_run(world, folder, 0)
        for game in chosen.games:
            GAMES[game].observe(world, folder, [c for c in cells if c.game == game])
        return world, {cell.name: list(Trace.open(trace_folder(folder, cell))) for cell in cells}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    place = tmp_path_factory.mktemp("colluders") / "run"
    return run_audit(scenario("audit.colluders=2", *MEMBERSHIP), place, workers=1)


@pytest.mark.parametrize("trajectory", ["common", "own"])
def test_with_all_but_the_target_colluding_its_delta_is_seen(
    tmp_path: Path, trajectory: str
) -> None:
    given = (f"audit.trajectory={trajectory}", *MEMBERSHIP)
    _, pooled = observed(tmp_path / "pooled", "audit.colluders=3", *given)
    plain = tuple(one for one in given if "membership" not in one)
    _, single = observed(tmp_path / "single", "audit.threat_model=server", *plain)
    for name, rounds in single.items():
        for seen, of_server in zip(pooled[name], rounds, strict=True):
            target = of_server.client_deltas[TARGET]
            assert seen.contributors == 1
            assert sorted(seen.client_deltas) == [2, 3, 4]
            close = 1e-5 * seen.known + 1e-6 * target.abs()
            assert bool(((seen.signal - target).abs() <= close).all())
            for client, delta in seen.client_deltas.items():
                assert torch.equal(delta, of_server.client_deltas[client])
    members = next(rounds for name, rounds in pooled.items() if name.startswith("membership"))
    assert {seen.contributors for seen in members} == {1}


def test_what_they_own_is_pooled_and_only_honest_clients_are_in_the_sum(tmp_path: Path) -> None:
    alone, with_others = (
        load_world(scenario(f"audit.colluders={n}", *MEMBERSHIP).model_dump_json(), None)
        for n in (0, 2)
    )
    deal = alone.deal(0).largest.clients
    assert [len(one) for one in deal] == [len(one) for one in with_others.deal(0).largest.clients]
    pooled = np.sort(np.concatenate([deal[0], deal[2], deal[3]]))
    for game in ("property", "membership"):
        cell = next(c for c in cells_of(with_others.scenario) if c.game == game)
        given = GAMES[game].given(with_others, [cell])[cell]
        samples = given.auxiliary.samples if game == "property" else given.own
        assert torch.equal(samples.labels, with_others.samples.labels[pooled])
    held = [holdings_of(world)[0, "bold", 5][0] for world in (alone, with_others)]
    assert [one.others for one in held] == [3, 1]
    expected = len(set(deal[4]) & set(np.flatnonzero(alone.dataset.properties["bold"] == 0)))
    assert held[1].other_records == pytest.approx(expected)


def test_report_ledger_and_verify_say_it(
    finished: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    content = read_content(finished)
    assert {cell.colluders for cell in content.cells} == {2}
    page = report_markdown(content, ()) + "".join(content.notes)
    for wanted in (
        "K = 5 (2 collude)",
        "2 besides the adversary (K = 5: 2, so 2 honest)",
        "the target, and 2 who collude",
        "records and deltas of its colluders",
    ):
        assert wanted in page.replace("\\", "")
    assert json.loads(finished.file("plan.json").read_text())["scenario"]["audit"]["colluders"] == 2
    assert run_command("ledger", str(finished.path), "--csv") == 0
    roles = {tuple(row.split(",")[3:5]) for row in capsys.readouterr().out.splitlines()[1:]}
    assert roles == {
        ("0", "adversary"),
        ("1", "target"),
        ("2", "colluder"),
        ("3", "colluder"),
        ("4", "honest"),
    }
    assert run_command("verify", str(finished.path)) == 0
    # What a colluder sent is in the trace, and held against the evidence.
    trace = finished.path / "traces" / "run-0" / "bold_all_1_k5"
    seen = next(iter(Trace.open(trace)))
    assert set(seen.client_deltas) == {2, 3}
    assert "colluders" not in scenario().model_dump()["audit"]


def test_dilution_counts_honest_clients(tmp_path: Path) -> None:
    audit = {"properties": ["bold"], "fractions": [1.0], "rounds": 12, "attacks": ["linear"]}
    audit |= {"participants": [5, 9, 17], "colluders": "25%"}
    finished_run(tmp_path / "single-round", made_scenario(audit=audit))
    (curve,) = dilution_curves(tmp_path, threshold=0.6)
    assert curve.participants == (5, 9, 17)
    assert curve.honest == (3, 6, 12) == tuple(curve.scores)
    assert dilution_csv(read_dilution(tmp_path, threshold=0.6)).count("\n") == 4
    assert not orders([curve, curve])[0].told


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("audit.colluders=4",), "4 colluders of 5 participants leave no target: at most 3"),
        (("audit.colluders=80%",), "4 colluders of 5 participants"),
        (("audit.colluders=2", "audit.participants=[3, 5]"), "2 colluders of 3 participants"),
        (("audit.colluders=-1",), "a number of clients, or a share of K"),
        (("audit.colluders=100%",), "a number of clients, or a share of K"),
        (("audit.colluders=few",), "a number of clients, or a share of K"),
        (("audit.colluders=true",), "a number of clients, or a share of K"),
        (("audit.colluders=1", "audit.threat_model=server"), "does not go with a server"),
        (
            ("audit.colluders=1", "audit.targets=rotate", "audit.rounds=8"),
            "a target must be honest",
        ),
        (("audit.colluders=1", "federation.cohort=3"), "does not go with federation.cohort"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(settings: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        scenario(*settings)
    assert "\n" not in str(caught.value)


def test_sizes_with_equal_numbers_of_honest_clients_are_refused() -> None:
    asked = {"runs": 2, "whole_runs": 0, "whole_rounds": 4}
    with pytest.raises(UserError, match=r"do not increase: \[2, 2\]"):
        dilution_plans(scenario("audit.colluders=25%"), participants=[3, 4], **asked)
