"""Cells of the inference table as audit entries of the contract, which knows numbers only."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from privaudit.chain.abi import Event
from privaudit.chain.client import AuditEntry
from privaudit.custody.folder import RunFolder
from privaudit.custody.plan import PLAN
from privaudit.evaluation.records import Record
from privaudit.scenario.grid import how_sent
from privaudit.scenario.schema import NO_DEFENCE, RECONSTRUCTION, Scenario

if TYPE_CHECKING:
    import pandas as pd

    from privaudit.evaluation.cells import TableCell
    from privaudit.evaluation.rebuilt_cells import RebuiltCell
    from privaudit.statistics.intervals import Interval

AUDITS = "ledger/audits.jsonl"
"""The entries of the records as the ledger took them; what the report shows."""

FILES_METRIC = 0
"""Metric code of the entry that stands for the files of the run: its value counts them."""

AUDITS_NOTE = (
    "The entry with the hash of manifest.json, which covers this report, can only follow it. "
    "privaudit ledger RUN prints that one too; privaudit verify RUN compares all of them with the "
    "files."
)

MILLION = 1_000_000
FULL = 10_000


@dataclass(frozen=True)
class Meaning:
    """What the ids and codes of entries stand for; it follows from the plan.

    Attributes:
        codes: (rule with defence, attack) -> metric code, from 1.
        targets: names of properties -> what is told of one: ``auc``, or ``rebuilt``.
        participants: most there are in a federation.
        runs: of the audit.
        salt: of property ids; empty = anybody can hold a name against an id.
    """

    codes: Mapping[tuple[str, str], int]
    targets: Mapping[str, str]
    participants: int
    runs: int
    salt: bytes = b""

    @classmethod
    def of(cls, scenario: Scenario, salt: bytes = b"") -> Meaning:
        """Of the entries of a run."""
        return cls(
            metric_codes(scenario),
            {
                name: "rebuilt" if scenario.game_of(name) == RECONSTRUCTION else "auc"
                for name in scenario.targets
            },
            max(scenario.participants),
            scenario.runs,
            salt,
        )


def plan_file(folder: RunFolder) -> str:
    """``plan.json``, or ``scenario.json`` for a run of before plans were kept."""
    return PLAN if folder.file(PLAN).is_file() else "scenario.json"


def plan_hash(folder: RunFolder) -> bytes:
    """SHA-256 of the plan: what will be measured, on what and by whose code, before it is."""
    return hashlib.sha256(folder.file(plan_file(folder)).read_bytes()).digest()


def metric_codes(scenario: Scenario) -> dict[tuple[str, str], int]:
    """(rule with defence, attack) -> metric code, from 1: the result of that attack under both.

    Its AUC; of attacks that rebuild records how much of the batch they do.

    The codes follow from the scenario alone, so the registered plan says what they mean.
    """
    rules = ["all", *(rule for rule in scenario.audit.rules if rule != "all")]
    named = [name.replace(NO_DEFENCE, "") for name in scenario.audit.defences]
    sent = [how_sent(rule, defence) for rule in rules for defence in named]
    pairs = [(way, attack) for way in sent for attack in scenario.attacks]
    return {pair: code for code, pair in enumerate(pairs, start=1)}


def property_id(name: str, salt: bytes = b"") -> bytes:
    """The id of a property; with a salt the ledger does not tell which one it is."""
    return hashlib.sha256(b"privaudit.property.v1\0" + salt + name.encode()).digest()


def entries_of(records: Sequence[Record], meaning: Meaning) -> list[AuditEntry]:
    """One entry per cell of the tables, in their order; a failed cell is there as failed.

    The AUC and its limits are in millionths, or those of what was rebuilt (a share, or dB). A cell
    that failed in every run has 0 runs and no numbers; one that failed in some has the number of
    runs that did not.
    """
    # A ledger is opened before anything is trained; statistics are slow to import, and come later.
    from privaudit.evaluation.cells import auc_cells
    from privaudit.evaluation.rebuilt_cells import rebuilt_cells

    areas = [_entry(cell, cell.auc, meaning) for cell in auc_cells(records)]
    return areas + [_entry(cell, cell.found, meaning) for cell in rebuilt_cells(records)]


def files_entry(count: int, meaning: Meaning) -> AuditEntry:
    """The entry whose batch carries the hash of ``manifest.json`` in place of the records' hash."""
    return AuditEntry(
        property_id=property_id("files of the run"),
        fraction=FULL,
        metric=FILES_METRIC,
        value=count,
        low=count,
        high=count,
        participants=meaning.participants,
        runs=meaning.runs,
    )


def audit_rows(events: Sequence[Event], meaning: Meaning) -> list[dict[str, Any]]:
    """The recorded entries, with names in place of ids and codes; AUC None for a failed cell."""
    names = {property_id(name, meaning.salt): name for name in meaning.targets}
    codes = {code: pair for pair, code in meaning.codes.items()}
    rows = []
    for event in (e for e in events if e.name == "AuditsRecorded"):
        for offset, entry in enumerate(event.args["entries"]):
            identity = {
                "entry": event.args["first_index"] + offset,
                "round": event.args["round_id"],
                "sha256": event.args["records_sha256"].hex(),
            }
            if entry.metric == FILES_METRIC:
                rows.append(identity | {"what": "manifest", "files": entry.value})
                continue
            rule, attack = codes.get(entry.metric, ("?", "?"))
            name = names.get(entry.property_id, entry.property_id.hex())
            result = meaning.targets.get(name, "auc")
            numbers = (entry.value, entry.low, entry.high)
            value, low, high = (n / MILLION if entry.runs else None for n in numbers)
            rows.append(
                identity
                | {
                    "what": "cell",
                    "property": name,
                    "fraction": entry.fraction / 10_000,
                    "rule": rule,
                    "attack": attack,
                    result: value,
                    "low": low,
                    "high": high,
                    "participants": entry.participants,
                    "runs": entry.runs,
                }
            )
    return rows


def shown_audit(row: dict[str, Any]) -> dict[str, str]:
    """A row of :func:`audit_rows` as text; hashes cut short."""
    start = {"entry": str(row["entry"]), "round": str(row["round"])}
    if row["what"] == "manifest":
        text = f"{row['files']} files, manifest {row['sha256'][:16]}…"
        return start | {"property": "files of the run", "AUC": text}
    name = "rebuilt" if "rebuilt" in row else "auc"
    result = (
        "failed" if row[name] is None else f"{row[name]:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
    )
    return start | {
        "property": row["property"],
        "shared": f"{100 * row['fraction']:g} %",
        "rule": row["rule"],
        "attack": row["attack"],
        name.replace("auc", "AUC"): result,
        "K": str(row["participants"]),
        "runs": str(row["runs"]),
        "records": row["sha256"][:16] + "…",
    }


def audit_table(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Rows of :func:`audit_rows` as text."""
    import pandas as pd

    return pd.DataFrame([shown_audit(row) for row in rows]).fillna("")


def audit_facts(
    file: str, plan: str, rows: Sequence[dict[str, Any]], when: str = "before the first round"
) -> list[tuple[str, str]]:
    """(what, value): what the ledger has of an audit when its report is written."""
    return [
        (f"Plan, SHA-256 of {file}", f"{plan} (registered {when})"),
        ("Results, SHA-256 of records.jsonl", f"{rows[0]['sha256']} ({len(rows)} entries)"),
    ]


def _entry(cell: TableCell | RebuiltCell, result: Interval | None, meaning: Meaning) -> AuditEntry:
    value, low, high = (result.value, result.low, result.high) if result else (0.0, 0.0, 0.0)
    return AuditEntry(
        property_id=property_id(cell.property, meaning.salt),
        fraction=round(FULL * cell.fraction),
        metric=meaning.codes[cell.sent, cell.attack],
        value=round(MILLION * value),
        low=round(MILLION * low),
        high=round(MILLION * high),
        participants=cell.participants,
        runs=cell.runs if result else 0,
    )
