"""Two audits side by side: what differs in what was asked, and by how much the leak changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from privaudit.custody.folder import RunFolder
from privaudit.errors import UserError
from privaudit.evaluation.comparing import Compared, compared, least_excluded
from privaudit.evaluation.gate import EXCLUDED, FOUND, OPEN, Gate
from privaudit.evaluation.records import Record, parse_records
from privaudit.report.provenance import flat, record_facts
from privaudit.report.rebuilt import amount
from privaudit.report.tables import interval_text
from privaudit.statistics.intervals import Interval

NOT_ASKED = ("name", "title", "report.", "ledger.")
"""Settings that change no delta and no score."""

MOST_SHOWN = 8
CAPTION = "AUC of both audits, or how much they rebuilt, and the difference, with 95 % intervals"


@dataclass(frozen=True)
class Comparison:
    """What two audits have in common, and what not.

    Attributes:
        cells: that both have.
        left_out: cells that only one of them has.
        settings: (setting, in the first, in the second) where they differ.
        facts: (what, in the first, in the second) of versions, commits and code, likewise.
        runs: of the second.
    """

    cells: Sequence[Compared]
    left_out: int
    settings: Sequence[tuple[str, str, str]]
    facts: Sequence[tuple[str, str, str]]
    runs: int = 1


def read_comparison(first: Path, second: Path) -> Comparison:
    """Two run folders, from their records alone.

    Raises:
        UserError: the same folder twice, a folder without records, other data, or not one cell
            that both have.
    """
    if first.resolve() == second.resolve():
        raise UserError("the same folder twice", where=str(first), remedy="name two audits")
    records = [_records(path) for path in (first, second)]
    _refuse_other_data(first, second, records)
    cells = compared(*records)
    if not cells:
        asked = (_asked(of) for of in records)
        raise UserError(
            f"have no cell in common that has scores in both: {' against '.join(asked)}",
            where=f"{first} and {second}",
            remedy="compare audits of the same questions, attacks, shares and numbers of clients",
        )
    flats = [
        flat(RunFolder.open(path).scenario().model_dump(mode="json")) for path in (first, second)
    ]
    settings = [
        (name, _said(flats[0].get(name)), _said(flats[1].get(name)))
        for name in dict.fromkeys([*flats[0], *flats[1]])
        if flats[0].get(name) != flats[1].get(name) and not name.startswith(NOT_ASKED)
    ]
    known = [dict(record_facts(of)) for of in records]
    facts = [
        (name, known[0].get(name, "–"), known[1].get(name, "–"))
        for name in dict.fromkeys([*known[0], *known[1]])
        if known[0].get(name) != known[1].get(name)
    ]
    most = max(len({_place(r) for r in of}) for of in records)
    return Comparison(cells, most - len(cells), settings, facts, flats[1]["runs"])


def _records(path: Path) -> list[Record]:
    folder = RunFolder.open(path)
    rows = folder.read_lines("records.jsonl")
    return parse_records(rows, where=str(folder.file("records.jsonl")))


def _place(record: Record) -> tuple[Any, ...]:
    return (
        record.property,
        record.rule,
        record.fraction,
        record.participants,
        record.attack,
        record.defence,
    )


def _refuse_other_data(first: Path, second: Path, records: Sequence[Sequence[Record]]) -> None:
    data = [{json.dumps(r.dataset, sort_keys=True): r.dataset for r in of} for of in records]
    if set(data[0]) != set(data[1]):
        names = [next(iter(of.values()), {}) for of in data]
        said = " against ".join(
            f"'{one.get('name', '?')}' {one.get('checksum', '')[:12]}" for one in names
        )
        raise UserError(
            f"are of other data ({said}): a difference would be that of the data",
            where=f"{first} and {second}",
            remedy="compare audits of one data set; data.* and the seed of generated data count",
        )


def _asked(records: Sequence[Record]) -> str:
    """What an audit asks, in a few words."""
    return ", ".join(dict.fromkeys(f"{r.game} {r.property} by {r.attack}" for r in records[:200]))


def _said(value: Any) -> str:
    return "unset" if value is None else json.dumps(value, ensure_ascii=False).strip('"')


def comparison_table(found: Comparison) -> pd.DataFrame:
    """One row per cell, as text; ``*`` marks a difference that is told from none."""
    several = len({cell.participants for cell in found.cells}) > 1
    rows = []
    for cell in found.cells:
        row = {"property": cell.property, "attack": cell.attack}
        row |= {"K": str(cell.participants)} if several else {}
        row["shared"] = _share(cell)
        row["first"] = _value(cell, cell.before)
        row["second"] = _value(cell, cell.after)
        row["difference"] = _difference(cell)
        rows.append(row)
    return pd.DataFrame(rows)


def _share(cell: Compared) -> str:
    rule = "" if cell.sent == "all" else f" ({cell.sent})"
    return f"{100 * cell.fraction:g} %{rule}"


def _value(cell: Compared, value: Interval) -> str:
    return interval_text(value) if cell.measure is None else amount(cell.measure, value)


def _number(cell: Compared, value: Interval) -> str:
    if cell.measure is None:
        return f"AUC {value.value:.2f}"
    return f"{cell.measure.name} {amount(cell.measure, value, limits=False)}"


def _difference(cell: Compared) -> str:
    found = cell.difference
    if found is None:
        return "too few runs"
    star = "*" if cell.more or cell.less else ""
    if cell.measure is not None and cell.measure.unit:
        return f"{found.value:+.1f} {cell.measure.unit} [{found.low:+.1f}, {found.high:+.1f}]{star}"
    return f"{found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}]{star}"


def answer(found: Comparison) -> str:
    """In one sentence whether the second audit leaks more, less, or neither is told."""
    more = [cell for cell in found.cells if cell.more]
    less = [cell for cell in found.cells if cell.less]
    told = [
        f"{word} than the first in {_count(cells, found)} (most: {_named(cells)})"
        for word, cells in (("more", more), ("less", less))
        if cells
    ]
    rest = len(found.cells) - len(more) - len(less)
    if all(cell.same for cell in found.cells):
        return f"Both audits have the same scores in all {len(found.cells)} cells."
    if not told:
        return f"No difference is told in {_count(found.cells, found)}; {_excluded(found)}."
    left = f"; in {rest} no difference is told, and {_excluded(found)}" if rest else ""
    return f"The second leaks {' and '.join(told)}{left}."


def _count(cells: Sequence[Compared], found: Comparison) -> str:
    return f"{len(cells)} of {len(found.cells)} cells"


def _named(cells: Sequence[Compared]) -> str:
    most = max(cells, key=lambda cell: abs(cell.difference.value) if cell.difference else 0.0)
    return (
        f"'{most.property}' by {most.attack}, K = {most.participants}, {_share(most)}: "
        f"{_number(most, most.before)} before, {_number(most, most.after)} after, "
        f"{_difference(most).rstrip('*')}"
    )


def _excluded(found: Comparison) -> str:
    shares = [c for c in found.cells if c.measure is None or not c.measure.unit]
    if not shares:
        return "how large one may be stands in the table"
    least = least_excluded(shares)
    if least is None:
        return "the runs are too few for an interval"
    return f"a difference of up to {least:.2f} is not excluded there"


def notes(found: Comparison) -> list[str]:
    """How to read the table, and what differs in what was asked."""
    paired = [cell for cell in found.cells if cell.paired]
    lines = [
        f"Paired run by run (the same seed, federations and rounds): {_count(paired, found)}"
        + (
            "; the others as audits whose runs have nothing in common (Welch)."
            if len(paired) < len(found.cells)
            else "."
        ),
        "* = told from no difference at a false discovery rate of 5 % over the table "
        "(Benjamini-Hochberg). Intervals are 95 % each, over runs.",
    ]
    if found.left_out:
        lines.append(f"Not compared: {found.left_out} cells that the other does not have.")
    lines += [f"{name}: {a} → {b}" for name, a, b in found.settings[:MOST_SHOWN]]
    more = len(found.settings) - MOST_SHOWN
    lines += [f"and {more} more settings that differ"] if more > 0 else []
    if not found.settings:
        lines.append("No setting differs that an attack could notice.")
    return lines + [f"{name}: {a} → {b}" for name, a, b in found.facts]


def gate_of_comparison(found: Comparison) -> Gate:
    """Whether no cell is told to leak more; one without an interval does not pass."""
    more = [cell for cell in found.cells if cell.more]
    if more:
        return Gate(FOUND, f"the second leaks more in {_count(more, found)}: {_named(more)}")
    open_ = [cell for cell in found.cells if cell.difference is None]
    if open_:
        many = _count(open_, found)
        return Gate(OPEN, f"more could not be excluded: too few runs for an interval in {many}")
    return Gate(EXCLUDED, f"no increase is told in any of {len(found.cells)} cells")


def comparison_json(found: Comparison) -> list[dict[str, Any]]:
    """One object per cell, unrounded; None for what is not there."""
    rows = []
    for cell in found.cells:
        difference = cell.difference
        rows.append(
            {
                "game": cell.game,
                "property": cell.property,
                "statistic": "auc" if cell.measure is None else cell.measure.name,
                "attack": cell.attack,
                "rule": cell.rule,
                "shared_fraction": cell.fraction,
                "participants": cell.participants,
                "defence_first": cell.defences[0] or None,
                "defence_second": cell.defences[1] or None,
                "first": cell.before.value,
                "second": cell.after.value,
                "difference": difference.value if difference else None,
                "low": difference.low if difference else None,
                "high": difference.high if difference else None,
                "p_value": difference.p_value if difference else None,
                "q_value": cell.q_value,
                "runs": difference.n_runs if difference else None,
                "paired": cell.paired,
                "more": cell.more,
                "less": cell.less,
            }
        )
    return rows
