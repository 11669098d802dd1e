"""One finished run for the whole session; tests work on copies of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from ledger_runs import copy_of, small_scenario

from privaudit.audit import run_audit
from privaudit.custody.folder import RunFolder


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with its ledger; look, do not touch."""
    out = tmp_path_factory.mktemp("ledger-run") / "run"
    run_audit(small_scenario(), out, workers=1)
    return out


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> RunFolder:
    """A copy of the finished run."""
    return copy_of(finished, tmp_path / "copy")
