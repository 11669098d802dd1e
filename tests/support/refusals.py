"""What every refusal looks like: exit code 2, one line on stderr, nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest
from ledger_runs import run_command


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder, with its content."""
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
        for p in folder.rglob("*")
    }


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, unchanged: Path) -> str:
    """The one line of a command that must be refused and leave the folder as it was."""
    before = snapshot(unchanged)
    capsys.readouterr()
    code = run_command(*arguments)
    printed = capsys.readouterr()
    assert code == 2, printed
    assert printed.out == ""
    assert printed.err.startswith("privaudit: ")
    assert printed.err.endswith("\n")
    assert len(printed.err.splitlines()) == 1, printed.err
    assert "Traceback" not in printed.err
    assert snapshot(unchanged) == before
    return printed.err
