"""A run of the version before the rooms were moved (commit 4b09d64) can still be read.

``run-before-the-rooms.tar.xz`` is the small run of ``tests/support/ledger_runs.py`` with
``audit.keep_traces=false``, made by that version.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from privaudit import open_run
from privaudit.custody.folder import RunFolder
from privaudit.ledger.statement import read_statement
from privaudit.report.content import read_content
from privaudit.report.write import write_report
from privaudit.verify.run import verify_run


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old") / "run"
    with tarfile.open(Path(__file__).with_name("run-before-the-rooms.tar.xz")) as archive:
        archive.extractall(folder, filter="data")
    return folder


def test_its_files_and_its_ledger_are_verified(old: Path) -> None:
    assert verify_run(old).holds


def test_its_table_layers_and_statement_are_read(old: Path) -> None:
    result = open_run(old)
    assert result.cells[["target", "runs"]].to_numpy().tolist() == [["bold", 1], ["bold", 1]]
    assert len(result.layers()) > 0
    assert len(read_statement(RunFolder(old)).audits) == len(result.cells) + 1


def test_its_report_is_written_anew(old: Path) -> None:
    folder = RunFolder(old)
    before = read_content(folder)
    write_report(folder)
    assert read_content(folder).records == before.records
    assert "bold" in folder.file("report", "index.html").read_text(encoding="utf-8")
