"""What a folder is of, told from the files in it."""

from __future__ import annotations

import json
from pathlib import Path

from privaudit.evaluation.live_folder import is_live
from privaudit.studies.canaries import RECORDS
from privaudit.studies.dilution import FOLDERS
from privaudit.studies.policies import is_measurement


def kind_of(path: Path) -> str:
    """``sweep``, ``dilution``, ``policies``, ``canaries``, ``live`` or ``run``."""
    file = path / "scenario.json"
    if (path / RECORDS).is_file():
        return "canaries"
    if not file.is_file():
        if is_live(path):
            return "live"
        if is_measurement(path):
            return "policies"
        several = any((path / name / "scenario.json").is_file() for name in FOLDERS.values())
        return "dilution" if several else "run"
    try:
        table = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return "run"  # whoever reads it says what is wrong with it
    return "sweep" if isinstance(table, dict) and table.get("sweep") else "run"


def is_audit(path: Path) -> bool:
    """Whether an audit of any kind lies in a folder, finished or not."""
    return (path / "scenario.json").is_file() or kind_of(path) != "run"
