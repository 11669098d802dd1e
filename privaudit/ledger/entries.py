"""Cells of the inference table as audit entries of the contract, which knows numbers only."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from privaudit.evaluation.cells import TableCell
from privaudit.experiment.folder import RunFolder
from privaudit.ledger.client import AuditEntry
from privaudit.scenario.schema import Scenario

FILES_METRIC = 0
"""Metric code of the entry that stands for the files of the run: its value counts them."""

MILLION = 1_000_000
FULL = 10_000


def plan_hash(folder: RunFolder) -> bytes:
    """SHA-256 of ``scenario.json``: what will be measured, stated before it is."""
    return hashlib.sha256(folder.file("scenario.json").read_bytes()).digest()


def metric_codes(scenario: Scenario) -> dict[tuple[str, str], int]:
    """(rule, attack) -> metric code, from 1: the AUC of that attack under that sharing rule.

    The codes follow from the scenario alone, so the registered plan says what they mean.
    """
    rules = ["all", *(rule for rule in scenario.audit.rules if rule != "all")]
    pairs = [(rule, attack) for rule in rules for attack in scenario.audit.attacks]
    return {pair: code for code, pair in enumerate(pairs, start=1)}


def property_id(name: str, salt: bytes = b"") -> bytes:
    """The id of a property; with a salt the ledger does not tell which one it is."""
    return hashlib.sha256(b"privaudit.property.v1\0" + salt + name.encode()).digest()


def entries_of(
    cells: Sequence[TableCell], scenario: Scenario, salt: bytes = b""
) -> list[AuditEntry]:
    """One entry per cell of the table, in its order; a failed cell is there as failed.

    The AUC and its limits are in millionths. A cell that failed in every run has 0 runs and no
    numbers; one that failed in some has the number of runs that did not.
    """
    codes = metric_codes(scenario)
    return [_entry(cell, codes[cell.rule, cell.attack], salt) for cell in cells]


def files_entry(count: int, scenario: Scenario) -> AuditEntry:
    """The entry whose batch carries the hash of ``manifest.json`` in place of the records' hash."""
    return AuditEntry(
        property_id=property_id("files of the run"),
        fraction=FULL,
        metric=FILES_METRIC,
        value=count,
        low=count,
        high=count,
        participants=max(scenario.participants),
        runs=scenario.runs,
    )


def _entry(cell: TableCell, metric: int, salt: bytes) -> AuditEntry:
    auc = cell.auc
    value, low, high = (auc.value, auc.low, auc.high) if auc else (0.0, 0.0, 0.0)
    return AuditEntry(
        property_id=property_id(cell.property, salt),
        fraction=round(FULL * cell.fraction),
        metric=metric,
        value=round(MILLION * value),
        low=round(MILLION * low),
        high=round(MILLION * high),
        participants=cell.participants,
        runs=cell.runs if auc else 0,
    )
