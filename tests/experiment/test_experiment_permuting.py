"""Audits with the property on other records: what is permuted, what that changes, what it says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from privaudit.audit import run_audit
from privaudit.custody.manifest import MANIFEST
from privaudit.data.dataset import Dataset
from privaudit.errors import UserError
from privaudit.evaluation.permuted import repetition_file
from privaudit.experiment.permuting import check_permutations, permuted_dataset
from privaudit.randomness import Seed
from privaudit.report.content import read_content
from privaudit.report.notes import footnotes
from privaudit.scenario.load import load_scenario

N = 3
SMALL = (
    "runs=2",
    "data.records=900",
    "data.classes=digits",
    "model.channels=[3]",
    "model.hidden=6",
    "federation.participants=2",
    "federation.rounds=1",
    'audit.properties=["bold"]',
    "audit.fractions=[1.0]",
    "audit.rounds=12",
    "audit.batch_size=16",
    'audit.attacks=["linear"]',
    "report.devices=[]",
    "ledger.enabled=false",
)


def dataset(values: list[int], groups: list[int] | None) -> Dataset:
    n = len(values)
    return Dataset(
        name="made",
        kind="table",
        inputs=np.arange(n, dtype=np.float32)[:, None],
        labels=np.zeros(n, np.int64),
        class_names=("only",),
        properties={"p": np.array(values, np.int8)},
        groups=None if groups is None else np.array(groups, np.int64),
        group_kind="writer" if groups else "",
        checksum="0" * 64,
    )


def test_stated_values_change_places_and_nothing_else_does() -> None:
    data = dataset([1, 1, 0, 0, -1] * 40, None)
    made = permuted_dataset(data, 1, Seed(1))
    before, after = data.properties["p"], made.properties["p"]
    assert not np.array_equal(before, after)
    assert np.array_equal(before == -1, after == -1)
    assert after.sum() == before.sum()
    assert made.checksum != data.checksum
    assert made.inputs is data.inputs
    again, other = (permuted_dataset(data, n, Seed(1)).properties["p"] for n in (1, 2))
    assert np.array_equal(after, again)
    assert not np.array_equal(after, other)


def test_a_property_of_groups_goes_from_group_to_group() -> None:
    groups = list(np.repeat(np.arange(30), 5))
    data = dataset([int(g % 3 == 0) for g in groups], groups)
    after = permuted_dataset(data, 1, Seed(1)).properties["p"].reshape(30, 5)
    assert np.array_equal(after, np.repeat(after[:, :1], 5, axis=1))
    assert after[:, 0].sum() == 10
    # One that does not belong to them goes from record to record.
    data = dataset([0, 1] * 75, groups)
    after = permuted_dataset(data, 1, Seed(1)).properties["p"].reshape(30, 5)
    assert set(after.sum(axis=1)) - {2, 3}


@pytest.mark.parametrize(
    ("count", "writers", "reason"),
    [
        (0, 20, "must be from 1 to 999, got 0"),
        (1000, 20, "must be from 1 to 999, got 1000"),
        (6, 4, "on 2 of 4 writers: 6 ways to put it"),
    ],
)
def test_a_number_that_makes_no_sense_is_refused(count: int, writers: int, reason: str) -> None:
    groups = list(np.repeat(np.arange(writers), 5))
    data = dataset([g % 2 for g in groups], groups)
    with pytest.raises(UserError, match=reason):
        check_permutations(data, ["p"], count)
    check_permutations(data, ["p"], 5)


def test_a_refused_number_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="got 0"):
        run_audit(load_scenario("quickstart", SMALL), tmp_path / "run", workers=1, permute_all=0)
    assert not (tmp_path / "run").exists()


def test_repetitions_stand_beside_an_audit_that_is_the_same_without_them(tmp_path: Path) -> None:
    """What was planted is above all of them; a run that was stopped among them goes on."""
    scenario = load_scenario("quickstart", SMALL)
    plain = run_audit(scenario, tmp_path / "plain", workers=1)
    folder = run_audit(scenario, tmp_path / "run", workers=1, permute_all=N)
    records = folder.file("records.jsonl").read_bytes()
    assert records == plain.file("records.jsonl").read_bytes()

    content = read_content(folder)
    (cell,) = content.cells
    found = [folder.read_json(repetition_file(n))[0]["auc"] for n in range(1, N + 1)]
    assert cell.auc is not None
    hits = sum(auc >= cell.auc.value for auc in found)
    assert (cell.repeated, cell.repeated_p) == (N, (1 + hits) / (1 + N))
    assert hits == 0
    assert len(set(found)) > 1
    assert any("cannot be below 1/4 = 0.25" in note for note in footnotes(scenario, [cell]))
    page = folder.file("report", "index.html").read_text()
    assert "cannot be below 1/4 = 0.25" in page
    assert json.loads(folder.file("report", "report.json").read_text())
    assert read_content(plain).cells[0].repeated_p is None
    assert not any(path.is_dir() for path in folder.file("permuted").iterdir())

    page_before = folder.file(repetition_file(2)).read_bytes()
    folder.file(MANIFEST).unlink()
    folder.file("seal.json").unlink(missing_ok=True)
    folder.file(repetition_file(2)).unlink()
    run_audit(scenario, tmp_path / "run", workers=1, resume=True)
    assert folder.file(repetition_file(2)).read_bytes() == page_before
    assert folder.file("report", "index.html").read_text() == page
