"""The game reconstruction from the scenario to the verdict, on a run small enough for a test."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from html_check import read_page
from ledger_runs import run_command

import privaudit
from privaudit.audit import run_audit
from privaudit.custody.folder import RunFolder
from privaudit.errors import UserError
from privaudit.evaluation.rebuilt_cells import RebuiltCell
from privaudit.federation.partition import TARGET
from privaudit.games.reconstruction import _drawn, target_batches
from privaudit.observation.trace import Trace
from privaudit.report.content import Content, read_content
from privaudit.report.plain import report_json, report_markdown
from privaudit.report.verdict import verdicts
from privaudit.scenario.grid import Cell, cells_of
from privaudit.scenario.load import load_scenario
from privaudit.scenario.schema import Scenario
from privaudit.studies.dilution_curves import read_dilution
from privaudit.studies.dilution_report import all_answers, write_dilution
from privaudit.verify.data import check_data
from privaudit.verify.files import Subject
from privaudit.verify.records import check_records, check_truth
from privaudit.world import World, load_world

SMALL = (
    "runs=2",
    "data.records=1200",
    "federation.participants=3",
    "audit.participants=[2, 3]",
    "audit.fractions=[0.1, 1.0]",
    "audit.keep_traces=true",
    "reconstruction.batch_sizes=[1, 4]",
    "reconstruction.rounds=4",
    'reconstruction.attacks=["first-layer", "spear"]',
    "attack_options={}",
)


def small(*more: str) -> Scenario:
    return load_scenario("reconstruction", [*SMALL, *more])


def world_of(*more: str) -> World:
    return load_world(small(*more).model_dump_json(), None)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of two games."""
    properties = ('audit.properties=["bold"]', "audit.rounds=8", 'audit.attacks=["linear"]')
    place = tmp_path_factory.mktemp("reconstruction") / "run"
    return run_audit(small(*properties), place, workers=1)


@pytest.fixture(scope="module")
def content(finished: RunFolder) -> Content:
    return read_content(finished)


def cell_of(content: Content, name: str, participants: int, fraction: float) -> RebuiltCell:
    key = name, participants, fraction, "first-layer"
    (found,) = (
        c for c in content.rebuilt if (c.property, c.participants, c.fraction, c.attack) == key
    )
    return found


def test_batches_are_the_target_s_and_the_same_whatever_is_shared() -> None:
    world = world_of()
    by_size: dict[tuple[int, str], set[str]] = {}
    for cell in cells_of(world.scenario):
        batches = target_batches(world, cell)
        held = set(world.deal(cell.run).largest.clients[TARGET])
        assert len(batches) == 4
        for batch in batches:
            assert set(batch) <= held
            assert len(set(batch)) == len(batch) == int(cell.property.removeprefix("batch-"))
        by_size.setdefault((cell.run, cell.property), set()).add(json.dumps(batches))
    assert {len(found) for found in by_size.values()} == {1}
    assert len(set.union(*by_size.values())) == 4, "of each run and size other ones"


def test_a_record_is_rebuilt_and_said_to_be(content: Content) -> None:
    alone = cell_of(content, "batch-1", 2, 1.0)
    assert alone.beside["exact"].value == 1.0
    assert alone.found is not None
    assert alone.guess is not None
    assert alone.found.value == 60.0 > alone.guess.value
    assert alone.told
    assert alone.rounds == 8
    assert {c.property for c in content.cells} == {"bold"}, "what has no AUC is in no table of it"
    said = {
        v.property: v
        for v in verdicts(content.scenario, content.cells, content.troubles, content.rebuilt)
    }
    assert list(said) == ["bold", "batch-1", "batch-4"]
    assert said["batch-1"].outcome == "leak"
    assert "100 % of them within 1 %, PSNR ≥ 60.0 dB" in said["batch-1"].sentence
    lines = " ".join(content.notes)
    assert "of 8 records rebuilt within 1 %, by number of honest clients: 8 at 1, 8 at 2" in lines


def test_report_table_and_library_show_it(finished: RunFolder, content: Content) -> None:
    page = (finished.path / "report" / "index.html").read_text(encoding="utf-8")
    assert read_page(page).problems == []
    assert "Truth, rebuilt and nearest own: batch of 4" in page
    assert "rebuilding records" not in page, "not among what was not asked"
    assert "## Records rebuilt" in report_markdown(content, ())
    document = json.loads(report_json(content))
    assert len(document["rebuilt"]) == len(content.rebuilt) == 16
    table = pd.read_csv(finished.path / "report" / "rebuilt.csv")
    assert list(table["found"]) == [row["found"] for row in document["rebuilt"]]
    rows = [row for row in document["audit_entries"] if "rebuilt" in row]
    assert [row["rebuilt"] for row in rows] == pytest.approx(list(table["found"]), abs=1e-6)
    opened = privaudit.open_run(finished.path)
    assert list(opened.rebuilt["told"]) == list(table["told"])
    assert set(opened.cells["game"]) == {"property", "reconstruction"}
    tidy = opened.cells[opened.cells["game"] == "reconstruction"]
    assert list(tidy["value"]) == list(opened.rebuilt["found"])
    assert list(tidy["blind"]) == list(opened.rebuilt["guess"])
    assert set(tidy["statistic"]) == {"images"}


def test_the_command_line_prints_both_tables(
    finished: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command("table", str(finished.path)) == 0
    text = capsys.readouterr().out
    assert "| bold" in text
    assert "| batch " in text
    assert run_command("table", str(finished.path), "--format", "json") == 0
    assert len(json.loads(capsys.readouterr().out)) == 4 + 16, "bold, and both sizes by two"


def test_what_is_attacked_starts_from_trained_parameters(finished: RunFolder) -> None:
    cell = next(c for c in cells_of(finished.scenario()) if c.game == "reconstruction")
    trace = Trace.open(finished.file("traces", f"run-{cell.run}", cell.name))
    assert len(trace) == 4
    assert trace.manifest.stated["batch_size"] == 1
    first, second, *_ = trace
    assert second.before.equal(first.after), "the federation moves by what is sent"


def test_verify_judges_the_answers_again(finished: RunFolder, tmp_path: Path) -> None:
    assert run_command("verify", str(finished.path)) == 0
    forged = tmp_path / "forged"
    shutil.copytree(finished.path, forged)
    subject = Subject(RunFolder.open(forged))
    cell = next(c for c in cells_of(finished.scenario()) if c.property == "batch-4")
    truth = forged / "truth" / f"run-{cell.run}" / f"{cell.name}.json"
    batches = json.loads(truth.read_text())
    truth.write_text(json.dumps(batches[::-1]))
    shown = forged / "shown" / "batch-1.json"
    images = json.loads(shown.read_text())
    images["own"]["psnr"] = [60.0]
    shown.write_text(json.dumps(images))
    assert [line.split(":")[0] for line in check_truth(subject)] == [
        f"truth/run-{cell.run}/{cell.name}.json",
        "shown/batch-1.json",
    ]
    (forged / "shown" / "batch-9.json").write_text("{}")
    assert "shown/batch-9.json: nothing of it may be shown" in check_truth(subject)
    lines = [json.loads(line) for line in (forged / "records.jsonl").read_text().splitlines()]
    number = next(n for n, row in enumerate(lines) if row["game"] == "reconstruction")
    lines[number]["rebuilt"]["guess"][0] += 1.0
    (forged / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    (wrong,) = check_records(Subject(RunFolder.open(forged)))
    assert f"line {number + 1}: rebuilt not as" in wrong
    lines[number]["rebuilt"]["answered"][0] += 1
    (forged / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    (wrong,) = check_records(without_data(forged))
    assert f"line {number + 1}: status, scores, rebuilt not as" in wrong
    scores = forged / "scores" / f"run-{cell.run}" / f"{cell.name}.json"
    answers = json.loads(scores.read_text())
    good = answers["spear"]
    # More than stand behind what is seen; lists of other lengths; no numbers; one round less.
    for answers["spear"] in ([a * 100 for a in good], [[[1.0], []]] * len(good), "x", good[1:]):
        scores.write_text(json.dumps(answers | {"oracle": good}))
        for subject in (Subject(RunFolder.open(forged)), without_data(forged)):
            wrong = check_records(subject)
            assert any(cell.name in line and line.startswith("records") for line in wrong)
            assert any("'oracle' is no attack of the scenario" in line for line in wrong)
    assert not check_data(subject)


def without_data(path: Path) -> Subject:
    """As one sees the folder who has it and nothing else."""
    subject = Subject(RunFolder.open(path))
    vars(subject)["world"] = None
    return subject


def test_noise_takes_it_away(tmp_path: Path) -> None:
    noisy = small("federation.noise=1.0", "reconstruction.batch_sizes=[4]", "runs=2")
    folder = run_audit(noisy, tmp_path / "run", workers=1)
    found = read_content(folder)
    assert not any(cell.told for cell in found.rebuilt)
    (verdict,) = verdicts(noisy, found.cells, found.troubles, found.rebuilt)
    assert verdict.outcome in ("not told", "unknown")
    page = (folder.path / "report" / "index.html").read_text(encoding="utf-8")
    assert read_page(page).problems == []
    assert "Inference accuracy" not in page, "nothing was asked that has an AUC"


def test_to_a_server_more_clients_are_no_protection(tmp_path: Path) -> None:
    settings = ('audit.threat_model="server"', "audit.participants=[3]", "audit.fractions=[1.0]")
    folder = run_audit(small(*settings), tmp_path / "run", workers=1)
    cell = cell_of(read_content(folder), "batch-1", 3, 1.0)
    assert cell.beside["exact"].value == 1.0


def test_dilution_says_up_to_how_many_clients(finished: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(finished.path, tmp_path / "single-round")
    found = read_dilution(tmp_path, threshold=0.6)
    assert [curve.property for curve in found.curves] == ["bold"] * 2
    answers = all_answers(found, 0.6)
    assert any("Batches of 1: rebuilt better than by a guess at up to 2" in a for a in answers)
    write_dilution(RunFolder(tmp_path), found, threshold=0.6)
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert read_page(page).problems == []
    assert (tmp_path / "report" / "rebuilt.svg").is_file()
    assert run_command("table", str(tmp_path)) == 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("reconstruction.batch_sizes=[600]",), "takes 600 records of every client"),
        (("reconstruction.rounds=1",), "greater than or equal to 3"),
        (("federation.cohort=2",), "leave federation.cohort out"),
        (('audit.schedule="dataset"', "runs=4"), "no federation in two states"),
        (('reconstruction.attacks=["linear"]',), "the game 'property'"),
        (('reconstruction.attacks=["moved-words"]',), "no embedding of token ids"),
        (('reconstruction.of="labels"',), "reconstruction.of asks about labels"),
        (('reconstruction.attacks=["label-counts"]',), "'label-counts': rebuilds labels"),
        (("model.hidden=[3]",), "4 records a client and round"),
        (('model={name = "cnn"}',), "a dense one with biases; here it is Conv2d"),
    ],
)
def test_what_cannot_be_rebuilt_is_refused_before_anything_is_written(
    settings: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=said):
        run_audit(small(*settings), tmp_path / "run", workers=1)
    assert not (tmp_path / "run").exists()


def test_what_was_drawn_for_others_is_no_part_of_the_answer() -> None:
    world = world_of()
    cell = Cell(0, "batch-4", "all", 1.0, 3, "reconstruction")
    others = np.concatenate([_drawn(world, cell, client, 0).ravel() for client in (0, 2)])
    assert not set(others.tolist()) & set(target_batches(world, cell)[0])


def test_a_sweep_of_it_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("sweep", "reconstruction", "--over", "federation.lr=0.1,0.2") == 2
    assert "a sweep compares scores, and [reconstruction] has none" in capsys.readouterr().err
