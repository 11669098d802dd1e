"""What the data were, in words: for the page, its other forms, and the dry run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from privaudit.report.troubles import almost_the_label

CLASSES_SHOWN = 6


def data_rows(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(what, how) from the counts of :func:`privaudit.experiment.data_sheet.describe_data`."""
    if not data:
        return []
    shape = " x ".join(map(str, data["input_shape"]))
    kind = {"image": "pixels", "text": "tokens", "table": "numbers"}[data["kind"]]
    rows = [
        ("Data set", f"{data['name']}, file {data['file']}" if data["file"] else data["name"]),
        ("Records", f"{data['records']:,}, each of {shape} {kind}"),
        ("Classes", _classes(data["classes"], data["records"])),
    ]
    if data["groups"] is not None:
        rows.append(("Groups", f"{data['groups']:,} ({data['group_kind']})"))
    rows += [
        (f"Property '{name}'", counts_text(counts) + _left_out(counts) + _label(name, counts))
        for name, counts in data["properties"].items()
    ]
    rows.append(("Held out to test the model", f"{_span(data['test_records'])} records"))
    rows += [(f"The {role} holds", _holding(entries)) for role, entries in data["holdings"].items()]
    return rows + [("Note", note) for note in data["notes"]]


def column_table(data: Mapping[str, Any]) -> pd.DataFrame:
    """What each column or array of the user's file became, one row each."""
    rows = [
        {
            "column": column["name"] or "(no name)",
            "became": column["role"],
            "numbers of the input": f"{column['inputs'] or ''}",
            "what to know": column["detail"],
        }
        for column in data.get("columns", [])
    ]
    return pd.DataFrame(rows, dtype=str)


def counts_text(counts: Mapping[str, Any]) -> str:
    """Present with its share of the records that state it, absent, unknown."""
    present, absent, unknown = (counts[key] for key in ("present", "absent", "unknown"))
    stated = present + absent
    share = f" ({100 * present / stated:.1f} % of those that state it)" if stated else ""
    return f"present {present:,}{share}, absent {absent:,}, unknown {unknown:,}"


def _left_out(counts: Mapping[str, Any]) -> str:
    return f"; not audited: {counts['left_out']}" if counts["left_out"] else ""


def _label(name: str, counts: Mapping[str, Any]) -> str:
    found = almost_the_label(name, counts.get("label_agreement", 0.5))
    return f"; no leak of it will be claimed: {found}" if found else ""


def _classes(classes: Sequence[tuple[str, int]], records: int) -> str:
    if len(classes) <= CLASSES_SHOWN:
        return ", ".join(f"{name} {n:,} ({100 * n / records:.1f} %)" for name, n in classes)
    counts = [count for _, count in classes]
    return f"{len(classes)}, of {min(counts):,} to {max(counts):,} records"


def _holding(entries: Sequence[Mapping[str, Any]]) -> str:
    """Over the runs, whose deals differ."""
    parts = [f"{_span([entry['records'] for entry in entries])} records"]
    for name in entries[0]["properties"]:
        counts = [entry["properties"][name] for entry in entries]
        with_, without, unknown = (
            _span([count[key] for count in counts]) for key in ("present", "absent", "unknown")
        )
        silent = f", {unknown} that do not state it" if unknown != "0" else ""
        parts.append(f"'{name}': {with_} with, {without} without{silent}")
    return "; ".join(parts)


def _span(counts: Sequence[int]) -> str:
    first, last = min(counts), max(counts)
    return f"{first:,}" if first == last else f"{first:,} to {last:,}"
