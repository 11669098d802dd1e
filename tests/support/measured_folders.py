"""Folders of a sweep and of a dilution measurement as runs leave them, with made-up scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from report_content import record, scenario

from privaudit.custody.folder import RunFolder
from privaudit.scenario.grid import cells_of
from privaudit.scenario.load import variants
from privaudit.scenario.schema import Scenario
from privaudit.studies.sweep import Sweep, read_sweep

AUDIT = {
    "properties": ["bold", "a-property-with-a-rather-long-name-" + "x" * 60],
    "fractions": [1.0],
    "rounds": 12,
    "attacks": ["linear", "melis-rf"],
}


def finished_run(path: Path, made: Scenario) -> RunFolder:
    """What reports of several runs read of one: scenario, records, training metrics."""
    folder = RunFolder(path)
    folder.write_json("scenario.json", made.model_dump(mode="json"))
    rows = [
        record(made, c.run, c.property, c.rule, c.fraction, c.participants, attack)
        for c in cells_of(made)
        for attack in made.audit.attacks
    ]
    folder.write_lines("records.jsonl", [row.model_dump(mode="json") for row in rows])
    for run in range(made.runs):
        folder.write_lines(f"training/run-{run}.jsonl", [])
    return folder


def sweep_folder(path: Path, **sections: Any) -> Sweep:
    """A finished sweep over the batch size."""
    swept = {"key": "audit.batch_size", "values": [8, 16, 32]}
    made = scenario(audit=AUDIT, federation={"rounds": 0}, sweep=swept, **sections)
    RunFolder(path).write_json("scenario.json", made.model_dump(mode="json"))
    for number, (value, variant) in enumerate(zip(swept["values"], variants(made), strict=True)):
        finished_run(path / f"{number:02d}-{value}", variant)
    return read_sweep(path)


def dilution_folder(path: Path, **sections: Any) -> Path:
    """A finished measurement, without its report."""
    audit = AUDIT | {"participants": [2, 5, 17]}
    finished_run(path / "single-round", scenario(audit=audit, **sections))
    whole = scenario(audit=audit | {"schedule": "dataset"}, runs=6, **sections)
    folder = finished_run(path / "whole-run", whole)
    rows = folder.read_lines("records.jsonl")
    for row in rows:  # half of the runs hold the property throughout, the others are controls
        row["present"] = [row["run"] % 2 == 0] * len(row["present"])
        row["pair"] = row["run"] // 2
    folder.write_lines("records.jsonl", rows)
    return path
