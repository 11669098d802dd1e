"""Private properties of a table: what counts as present, as absent and as not stated."""

from __future__ import annotations

import re

import numpy as np
from pydantic import Field, model_validator

from privaudit.data import user_checks as checks
from privaudit.data.csv_table import CsvTable
from privaudit.data.dataset import UNKNOWN
from privaudit.errors import UserError
from privaudit.options import Options

Value = str | bool | int | float

EACH_LIMIT = 50
"""Most values of a column of which each becomes a property."""

ABSENT_SHOWN = 6
"""Values counted as absent that are named."""

NOT_IN_NAMES = re.compile(r"[^\w .,+()=-]")
"""Properties are part of file names."""

COMPARISON = re.compile(r"(>=|<=|>|<)\s*([-+]?\d*\.?\d+(?:[eE][-+]?\d+)?)")
DECIMAL_COMMA = re.compile(r"(>=|<=|>|<)\s*[-+]?\d+,\d+")
COMPARE = {
    ">": np.greater,
    ">=": np.greater_equal,
    "<": np.less,
    "<=": np.less_equal,
}


class PropertyColumn(Options):
    """Where a property stands in the table, and what counts as present and as not stated."""

    column: str = Field(description="its name")
    present: Value | list[Value] | None = Field(
        None,
        description='a value, a list of them, or comparisons that must all hold: "> 60", ">= 18, '
        '< 65". Numbers match by value (1 is 1.0), true matches true and 1',
    )
    each: bool = Field(
        False, description="one property for each value of the column instead, against all others"
    )
    unknown: list[Value] = Field(
        [], description="values that do not state it, besides those that state nothing anywhere"
    )

    @model_validator(mode="after")
    def _present_or_each(self) -> PropertyColumn:
        if (self.present is None) != self.each:
            raise ValueError("say either present = ... or each = true")
        return self


def read_property(table: CsvTable, name: str, wanted: PropertyColumn) -> dict[str, np.ndarray]:
    """Property -> [N] int8, 1 present, 0 absent, -1 not stated.

    One of this ``name``; with ``each`` one ``name=value`` per value, in sorted order.

    Raises:
        UserError: no such column, nothing is present or nothing absent, a comparison on cells that
            are no numbers, or too many values for ``each``.
    """
    table.column(wanted.column)
    unknown = table.missing(wanted.column) | _matches(table, wanted.column, wanted.unknown)
    if wanted.each:
        return _each(table, name, wanted.column, unknown)
    if wanted.present is None:
        raise AssertionError(name)
    values = wanted.present if isinstance(wanted.present, list) else [wanted.present]
    present = _matches(table, wanted.column, values)
    if not present.any() and len(values) == 1 and (rules := _comparisons(values[0])):
        present = _compared(table, name, wanted.column, rules, unknown)
        unknown = unknown | np.isnan(table.numbers(wanted.column))
    stated = table.column(wanted.column)[~unknown]
    if not present.any() and (comma := DECIMAL_COMMA.search(str(values[0]))):
        raise UserError(
            f"property '{name}': '{values[0]}' is no threshold",
            where=str(table.path),
            remedy="thresholds are written with a point, whatever the table has: "
            f"{comma[0].replace(',', '.')}",
        )
    if not present.any():
        raise UserError(
            f"property '{name}': column '{wanted.column}' never holds {checks.listed(values)}",
            where=str(table.path),
            remedy=f"it holds {checks.listed(stated.unique())}: name those that are present"
            if len(stated)
            else "no cell states anything",
        )
    # What is named as present is present, even where it looks like a mark of nothing.
    found = np.where(unknown & ~present, UNKNOWN, present.astype(np.int8))
    return {name: checks.as_property(found, name, table.path)}


def absent_note(table: CsvTable, name: str, wanted: PropertyColumn) -> str:
    """Which cells count as absent, the most frequent first; empty where that needs no word.

    Of thresholds it is plain, of ``each`` all the others, and a single value is what was meant.
    """
    if wanted.present is None:
        return ""
    values = wanted.present if isinstance(wanted.present, list) else [wanted.present]
    present = _matches(table, wanted.column, values)
    if not present.any():
        return ""
    unknown = table.missing(wanted.column) | _matches(table, wanted.column, wanted.unknown)
    counts = table.column(wanted.column)[~present & ~unknown].value_counts()
    if len(counts) < 2:
        return ""
    shown = [f"'{cell[:40]}' {count:,}" for cell, count in counts.head(ABSENT_SHOWN).items()]
    more = f" and {len(counts) - ABSENT_SHOWN} more values" if len(counts) > ABSENT_SHOWN else ""
    return f"Property '{name}' counts as absent: {', '.join(shown)}{more}."


def _each(table: CsvTable, name: str, column: str, unknown: np.ndarray) -> dict[str, np.ndarray]:
    cells = table.column(column).to_numpy(str)
    values = sorted(set(cells[~unknown].tolist()))
    if not 2 <= len(values) <= EACH_LIMIT:
        raise UserError(
            f"property '{name}': column '{column}' has {len(values)} values, too "
            f"{'few' if len(values) < 2 else 'many'} to ask about each",
            where=str(table.path),
            remedy=f'2 to {EACH_LIMIT} are possible; numbers take present = "> 60"',
        )
    named = {f"{name}={NOT_IN_NAMES.sub('_', value)}": value for value in values}
    if len(named) < len(values):
        raise UserError(
            f"property '{name}': values of column '{column}' differ in punctuation alone",
            where=str(table.path),
            remedy="rename them, or name properties one by one",
        )
    return {
        key: np.where(unknown, UNKNOWN, cells == value).astype(np.int8)
        for key, value in named.items()
    }


def _matches(table: CsvTable, column: str, values: list[Value]) -> np.ndarray:
    """[N] booleans: which cells are one of the values, as text or as number."""
    cells = table.column(column)
    found = np.zeros(len(table), dtype=bool)
    for value in values:
        if isinstance(value, bool):
            found |= (cells.str.lower() == str(value).lower()).to_numpy(bool)
        else:
            found |= (cells == str(value).strip()).to_numpy(bool)
        number = _number(value, table.decimal)
        if number is not None:
            found |= table.numbers(column) == number
    return found


def _number(value: Value, decimal: str) -> float | None:
    try:
        return float(value.replace(decimal, ".") if isinstance(value, str) else value)
    except ValueError:
        return None


def _comparisons(value: Value) -> list[tuple[str, float]]:
    """``">= 18, < 65"`` as pairs; empty if it is no comparison."""
    parts = [COMPARISON.fullmatch(part.strip()) for part in str(value).split(",")]
    return [(part[1], float(part[2])) for part in parts if part] if all(parts) else []


def _compared(
    table: CsvTable, name: str, column: str, rules: list[tuple[str, float]], unknown: np.ndarray
) -> np.ndarray:
    numbers = table.numbers(column)
    bad = np.isnan(numbers) & ~unknown
    if bad.any():
        raise UserError(
            f"property '{name}': column '{column}' holds {int(bad.sum())} cells that are no "
            f"numbers, e.g. {table.cell(column, int(bad.argmax()))}",
            where=str(table.path),
            remedy='correct them, or list them: unknown = ["..."]',
        )
    holds = [COMPARE[sign](numbers, bound) for sign, bound in rules]
    return np.all(holds, axis=0) & ~np.isnan(numbers)
