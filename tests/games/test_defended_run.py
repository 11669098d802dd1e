"""Runs with defences: what they share, what is written of each, and that it can be verified."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from privaudit.audit import run_audit
from privaudit.custody.folder import RunFolder, trace_folder
from privaudit.evaluation.cells import TableCell
from privaudit.games.ending import BYTES_UP, DEFENDED
from privaudit.observation.trace import Trace
from privaudit.report.content import read_content
from privaudit.report.plain import report_json, report_markdown
from privaudit.scenario.grid import Cell, cells_of
from privaudit.scenario.load import load_scenario
from privaudit.scenario.schema import Scenario
from privaudit.verify.run import verify_run

SMALL = (
    "runs=2",
    "data.records=1500",
    "model.channels=[3]",
    "model.hidden=6",
    "federation.participants=4",
    "federation.rounds=1",
    'audit.properties=["bold"]',
    "audit.fractions=[1.0]",
    'audit.rules=["all"]',
    "audit.rounds=6",
    "audit.batch_size=8",
    "audit.shadows=2",
    'audit.attacks=["linear"]',
    "ledger.enabled=false",
    "report.devices=[]",
)
PRIVATE = 'defences.private=[{kind="dp-fedavg", bound=0.1, multiplier=0.5}]'


def scenario(*settings: str) -> Scenario:
    return load_scenario("quickstart", [*SMALL, *settings])


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return run_audit(scenario(), tmp_path_factory.mktemp("plain") / "run", workers=1)


@pytest.fixture(scope="module")
def defended(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    made = scenario(PRIVATE, 'audit.defences=["none", "private", "quantise"]')
    return run_audit(made, tmp_path_factory.mktemp("defended") / "run", workers=1)


def test_a_cell_without_a_defence_is_as_without_others_beside_it(
    plain: RunFolder, defended: RunFolder
) -> None:
    """Byte for byte: training, observation, shadows and scores are shared, not changed."""
    cell = Cell(1, "bold", "all", 1.0, 4)
    for name in ("scores", "truth"):
        file = f"{name}/run-1/{cell.name}.json"
        assert plain.file(file).read_bytes() == defended.file(file).read_bytes()
    one, other = (trace_folder(folder, cell) for folder in (plain, defended))
    for file in sorted(path.name for path in one.iterdir()):
        assert (one / file).read_bytes() == (other / file).read_bytes(), file


def test_the_trace_holds_what_the_defence_made_of_the_same_deltas(defended: RunFolder) -> None:
    names = ("", "private", "quantise")
    traces = {
        d: Trace.open(trace_folder(defended, Cell(0, "bold", "all", 1.0, 4, defence=d)))
        for d in names
    }
    for bare, private, quantised in zip(*(traces[d] for d in names), strict=True):
        own = bare.own_delta
        clipped = own * min(1.0, 0.1 / float(own.norm()))
        assert np.allclose(private.own_delta, clipped, atol=1e-7)
        noise = private.global_delta.std()
        assert float(noise) == pytest.approx(0.5 * 0.1 / 4, rel=0.1)
        assert np.array_equal(bare.before, private.before)
        assert len(quantised.own_delta.unique()) <= 255
    rules = traces["private"].manifest.rules
    assert rules["defences"] == [{"kind": "dp-fedavg", "bound": 0.1, "multiplier": 0.5}]
    assert "defences" not in traces[""].manifest.rules


def problems(folder: RunFolder) -> list[str]:
    return [problem for check in verify_run(folder.path).checks for problem in check.problems]


def cells(folder: RunFolder) -> dict[str, TableCell]:
    return {cell.defence: cell for cell in read_content(folder).cells}


def test_records_tables_and_report_say_what_each_promises(defended: RunFolder) -> None:
    content, found = read_content(defended), cells(defended)
    assert list(found) == ["", "private", "quantise"]
    private = found["private"]
    assert private.claim.epsilon == pytest.approx(88.96, abs=0.01)
    assert private.ceiling.auc == pytest.approx(0.9977, abs=1e-4)
    assert found["quantise"].claim.none == "no noise is added"
    assert found[""].claim is None
    assert {d: c.facts[BYTES_UP] for d, c in found.items()}["quantise"] < found[""].facts[BYTES_UP]
    assert all(0 <= cell.facts[DEFENDED] <= 1 for cell in found.values())
    text, document = report_markdown(content, []), json.loads(report_json(content))
    assert "## Defences" in text
    assert "ε = 89 at δ = 1e-05" in text
    parameters = Trace.open(trace_folder(defended, Cell(0, "bold", "all", 1.0, 4))).layout.size
    assert f"{parameters:,} parameters" in text
    rows = {row["defence"]: row for row in document["cells"]}
    assert rows["private"]["epsilon"] == pytest.approx(private.claim.epsilon)
    assert rows["private"]["unit"] == "participant"
    assert rows["quantise"]["no_epsilon_because"] == "no noise is added"
    assert 'id="defences"' in defended.file("report/index.html").read_text()
    line = json.loads(defended.file("records.jsonl").read_text().splitlines()[1])
    assert line["claim"]["neighbours"] == "replace-one"


def test_a_run_without_defences_says_nothing_of_them(plain: RunFolder) -> None:
    content = read_content(plain)
    assert content.defence_lines == []
    assert "defence" not in json.loads(plain.file("records.jsonl").read_text().splitlines()[0])
    assert "ceiling" not in plain.file("report/index.html").read_text()


def test_it_can_be_verified_and_another_promise_is_found(defended: RunFolder) -> None:
    assert problems(defended) == []
    records = defended.file("records.jsonl")
    kept = records.read_text()
    try:
        records.write_text(kept.replace('"epsilon": 88.9', '"epsilon": 8.9'))
        assert any("claim" in problem for problem in problems(defended))
    finally:
        records.write_text(kept)


def test_defences_with_memory_run_on_trajectories_of_their_own(tmp_path: Path) -> None:
    made = scenario(
        'defences.follows=[{kind="dp-adaptive", bound=0.05, multiplier=0.5, count_deviation=0.3}]',
        'audit.defences=["sign", "follows"]',
        "audit.trajectory=own",
        "runs=1",
    )
    folder = run_audit(made, tmp_path / "run", workers=1)
    told = {}
    for cell in cells_of(made):
        told[cell.defence] = [o.told for o in Trace.open(trace_folder(folder, cell))]
    assert told["sign"] == [{}] * 6
    bounds = [numbers["bound"] for numbers in told["follows"]]
    assert bounds[0] == 0.05
    assert len(set(bounds)) == 6
    assert problems(folder) == []


def test_membership_under_a_poisson_sampler(tmp_path: Path) -> None:
    pytest.importorskip("dp_accounting")
    made = scenario(
        PRIVATE,
        'audit.defences=["private"]',
        "federation.defence=private",
        "federation.sampler=poisson",
        "federation.cohort=2",
        "federation.rounds=8",
        "membership={candidates=40, attacks=['loss-trajectory']}",
        "audit.properties=[]",
        "runs=1",
    )
    folder = run_audit(made, tmp_path / "run", workers=1)
    (cell,) = read_content(folder).cells
    assert (cell.claim.sampler, cell.claim.share) == ("poisson", 0.5)
    seen = [o.participants for o in Trace.open(trace_folder(folder, cells_of(made)[0]))]
    assert len(set(seen)) > 1, "each client takes part by itself"
