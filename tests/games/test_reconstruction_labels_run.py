"""Labels of a batch, from the scenario to the verdict, on runs small enough for a test."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from html_check import read_page
from ledger_runs import run_command

from privaudit.audit import run_audit
from privaudit.custody.folder import RunFolder
from privaudit.errors import UserError
from privaudit.report.content import Content, read_content
from privaudit.report.plain import report_markdown
from privaudit.report.verdict import verdicts
from privaudit.scenario.load import load_scenario
from privaudit.scenario.schema import Scenario
from privaudit.studies.dilution_curves import read_dilution
from privaudit.studies.dilution_report import all_answers, write_dilution
from privaudit.verify.files import Subject
from privaudit.verify.records import check_records

MLP = 'model={name="mlp", hidden=[16]}'


def small(*more: str) -> Scenario:
    settings = (
        "runs=2",
        "data.records=1200",
        MLP,
        "federation.participants=3",
        "audit.participants=[2, 3]",
        "audit.fractions=[1.0]",
        "reconstruction.batch_sizes=[1, 4]",
        "reconstruction.rounds=6",
    )
    return load_scenario("reconstruction-labels", [*settings, *more])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return run_audit(small(), tmp_path_factory.mktemp("labels") / "run", workers=1)


@pytest.fixture(scope="module")
def content(finished: RunFolder) -> Content:
    return read_content(finished)


def test_labels_are_counted_and_said_to_be(finished: RunFolder, content: Content) -> None:
    for cell in content.rebuilt:
        assert cell.found is not None
        assert cell.guess is not None
        assert cell.found.value > 0.9 > cell.guess.value
        assert cell.told
    found = verdicts(content.scenario, content.cells, content.troubles, content.rebuilt)
    assert {v.outcome for v in found} == {"leak"}
    assert "names labels of the target's batch of 1 from one round" in found[0].sentence
    notes = " ".join(content.notes)
    assert "of 12 labels named right, by number of honest clients: 12 at 1 (a guess" in notes
    page = (finished.path / "report" / "index.html").read_text(encoding="utf-8")
    assert read_page(page).problems == []
    assert "Labels of the batch" in page
    assert "rebuilding records" in page, "among what was not asked"
    assert "nearest own" not in page, "there is nothing to look at"
    assert "## Labels of the batch" in report_markdown(content, ())


def test_verify_counts_again(finished: RunFolder, tmp_path: Path) -> None:
    assert run_command("verify", str(finished.path)) == 0
    forged = tmp_path / "forged"
    shutil.copytree(finished.path, forged)
    scores = forged / "scores" / "run-0" / "batch-1_all_1_k2.json"
    answers = json.loads(scores.read_text())
    rounds = answers["label-counts"]
    another = (rounds[0][0][0] + 1) % 36
    for wrong in (99.0, another):
        rounds[0] = [[wrong]]
        scores.write_text(json.dumps(answers))
        assert any("rebuilt" in line for line in check_records(Subject(RunFolder.open(forged))))


def test_dilution_says_up_to_how_many_clients(finished: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(finished.path, tmp_path / "single-round")
    found = read_dilution(tmp_path, threshold=0.6)
    (line,) = (a for a in all_answers(found, 0.6) if a.startswith("Batches of 4"))
    assert "labels named better than by a guess at up to 2 honest clients" in line
    write_dilution(RunFolder(tmp_path), found, threshold=0.6)
    assert (tmp_path / "report" / "rebuilt.svg").is_file()


def test_noise_takes_it_away(tmp_path: Path) -> None:
    noisy = small("federation.noise=0.2", "audit.participants=[2]")
    found = read_content(run_audit(noisy, tmp_path / "run", workers=1))
    assert not any(cell.told for cell in found.rebuilt)
    said = verdicts(noisy, found.cells, found.troubles, found.rebuilt)
    assert "No labels of the target's batch of 1 were named better" in said[0].sentence


def test_a_model_without_a_last_layer_that_counts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no dense layer .*leave 'label-counts' out"):
        run_audit(small("model={name='small_models:Convolutions'}"), tmp_path / "run", workers=1)
    assert not (tmp_path / "run").exists()
