"""How a run is made again: the command, the versions, the checksums, read from its records."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from typing import Any

from privaudit.custody.plan import PLAN
from privaudit.evaluation.records import Record
from privaudit.report.content import Content
from privaudit.scenario.load import bundled, load_scenario
from privaudit.scenario.schema import Scenario

_ABSENT = object()
PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
SCENARIO = "scenario.toml"
FILES = (
    ("index.html", "this page"),
    ("report.md", "the same as Markdown"),
    ("report.json", "the same for machines"),
    ("table.csv", "every cell, unrounded"),
    ("table.tex", "the table for LaTeX (booktabs)"),
    ("table.md", "the table and its notes"),
    ("../records.jsonl", "the records: scores and ground truth of every cell and run"),
    ("../layers.jsonl", "scores from each layer alone"),
    ("../scenario.toml", "the scenario, every setting included, to run again"),
    ("../scenario.json", "the same as JSON"),
    ("../plan.json", "the plan: scenario, data, versions, whose code"),
    ("../data.json", "the data in counts, and what each column became"),
    ("../timings.jsonl", "seconds"),
    ("../manifest.json", "SHA-256 of every file of the run"),
)


def files_beside(content: Content) -> list[tuple[str, str]]:
    """(path relative to the report, what it is)."""
    paid = [("rewards.csv", "payments by ledger round and client")] if content.book else []
    rebuilt = [("rebuilt.csv", "what was rebuilt, unrounded")] if content.rebuilt else []
    kept = [
        (name, what)
        for name, what in FILES[6:]
        if name != f"../{PLAN}" or content.plan_file == PLAN
    ]
    first = [row for row in FILES[:6] if content.cells or row[0] != "table.csv"]
    return [*first, *rebuilt, *paid, *kept]


def command(scenario: Scenario) -> str:
    """The command that makes this run again.

    For a bundled scenario with every value that differs from it as ``--set``; otherwise with the
    file that a run keeps of its scenario.
    """
    if scenario.name not in bundled():
        return f"privaudit run RUN/{SCENARIO}"
    base = load_scenario(scenario.name).model_dump(mode="json")
    resolved = scenario.model_dump(mode="json")
    settings = [
        f"--set {shlex.quote(f'{key}={toml_value(value)}')}"
        for key, value in sorted(flat(resolved).items())
        if flat(base).get(key, _ABSENT) != value
    ]
    return " ".join(["privaudit run", scenario.name, *settings])


def facts(content: Content) -> list[tuple[str, str]]:
    """(what, value): versions, commits and checksums behind the numbers; all values seen."""
    return [
        ("Scenario", content.scenario.name),
        ("Root seed", str(content.scenario.seed)),
        *record_facts(content.records),
        (f"{content.plan_file}, SHA-256", content.plan_sha256),
    ]


def record_facts(records: Sequence[Record]) -> list[tuple[str, str]]:
    """(what, value): versions, commits and data sets of the records; all values seen."""
    versions: dict[str, set[str]] = {}
    for record in records:
        for name, version in record.versions.items():
            versions.setdefault(name, set()).add(version)
    commits = sorted({_commit(record) for record in records})
    code = {(f"Code of attack '{r.attack}'", _origin(r.attack_source)) for r in records}
    code |= {("Code of the model", _origin(r.model_source)) for r in records}
    data = sorted({(r.dataset.get("name", "?"), r.dataset.get("checksum", "?")) for r in records})
    shown = ", ".join(f"{name} {' / '.join(sorted(v))}" for name, v in versions.items())
    return [
        ("Versions", shown),
        ("Git commit", ", ".join(commits)),
        *((what, origin) for what, origin in sorted(code) if origin),
        *((f"Data set '{name}', SHA-256", checksum) for name, checksum in data),
    ]


def _commit(record: Record) -> str:
    if record.commit is None:
        return "none (not run from a checkout)"
    return (
        f"{record.commit} (with changes that are in no commit)" if record.dirty else record.commit
    )


def _origin(source: dict[str, str]) -> str:
    """Whose code it is; empty for a record of before that was kept."""
    if not source:
        return ""
    owner = f"{source['distribution']} {source['version']}".strip() or "no distribution"
    return f"{owner}, SHA-256 {source['digest']}"


def flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"audit.rounds": 40, ...}``; a table with a name that is no plain key stays whole."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict) and value and all(PLAIN_KEY.fullmatch(name) for name in value):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def toml_value(value: Any) -> str:
    """As ``--set`` reads it: TOML, whose texts, numbers and lists are those of JSON."""
    if value is None:
        return "null"
    if isinstance(value, dict):
        pairs = (f"{toml_value(name)} = {toml_value(inner)}" for name, inner in value.items())
        return f"{{{', '.join(pairs)}}}"
    return json.dumps(value, ensure_ascii=False)
