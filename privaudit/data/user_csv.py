"""The user's own table, from a .csv or .csv.gz file with a header line.

In a scenario::

    [data]
    name = "csv"
    path = "mine.csv"
    label = "outcome"
    group = "hospital"                       # optional
    properties = {smoker = {column = "smokes", present = "yes", unknown = ["", "?"]}}
    numeric = ["age", "weight"]              # optional; else every named column that is left: as
    categorical = ["ward"]                   # numeric if it holds numbers, else as categorical

A property is present where its column holds ``present`` (a value or a list of them), unknown where
it holds one of ``unknown`` (default: an empty cell), else absent. Columns of label, group and
properties are inputs only if listed. Numbers are standardised, categories one-hot; an empty cell
is a category of its own, but an error among numbers and labels.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from privaudit.data import user_checks as checks
from privaudit.data.dataset import UNKNOWN, Dataset
from privaudit.data.files import sha256_of
from privaudit.data.options import Options
from privaudit.data.tables import one_hot_values, standardise
from privaudit.errors import UserError
from privaudit.randomness import Seed

TEXT_LIMIT = 1024**3
"""Largest size of the unpacked text, in bytes."""

INPUT_LIMIT = 4 * 1024**3
"""Largest size of the encoded inputs, in bytes."""

LARGEST = float(np.finfo(np.float32).max)

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})
"""Cells (in lower case) that state no number and no class."""


class PropertyColumn(Options):
    """Where a property stands in the table, and what counts as present and unknown."""

    column: str
    present: str | int | list[str]
    unknown: list[str] = Field([""])

    def values_present(self) -> list[str]:
        """The cells that count as present, as text."""
        return self.present if isinstance(self.present, list) else [str(self.present)]


class CsvOptions(Options):
    """Options of ``csv``."""

    path: str = Field(description="the name of a .csv or .csv.gz file")
    label: str = Field(description="the name of a column")
    group: str | None = Field(None, description="the name of a column")
    properties: dict[str, PropertyColumn] = Field(
        {}, description='property = {column = "...", present = "...", unknown = ["..."]}'
    )
    numeric: list[str] | None = Field(None, description="a list of columns")
    categorical: list[str] | None = Field(None, description="a list of columns")
    separator: str = Field(",", min_length=1, max_length=1, description="one character")


OPTIONS = CsvOptions


def load(options: CsvOptions, data_dir: Path, seed: Seed) -> Dataset:
    """Read and encode the table; ``data_dir`` and ``seed`` are not used.

    Raises:
        UserError: the file is missing, empty, a folder or not a table; a column is missing
            (nearest match named); a number or label is missing (column and count); a property has
            one value only; a categorical column has too many values.
    """
    del data_dir, seed
    path = checks.user_file(options.path)
    table = _read(path, options.separator)
    labels, class_names = _labels(table, options.label, path)
    groups = None
    if options.group is not None:
        column = _column(table, options.group, path)
        checks.refuse_missing(_missing(column), options.group, path)
        groups = checks.as_groups(column.to_numpy(str), options.group, path)
    return Dataset(
        name="csv",
        kind="table",
        inputs=_encode(table, options, path),
        labels=labels,
        class_names=class_names,
        properties={
            name: _property(table, name, wanted, path)
            for name, wanted in options.properties.items()
        },
        groups=groups,
        group_kind=options.group or "",
        checksum=sha256_of(path),
        notes=_notes(options),
    )


def _read(path: Path, separator: str) -> pd.DataFrame:
    """All cells as text, under the column names of the first line.

    The csv module, not pandas, splits the lines: pandas fills rows that are too short, which would
    hide a cut-off file.
    """
    text = io.TextIOWrapper(io.BytesIO(_content(path)), encoding="utf-8-sig", newline="")
    try:
        rows = [row for row in csv.reader(text, delimiter=separator, strict=True) if row]
    except (csv.Error, ValueError) as problem:
        raise UserError(f"{path} is not a table in UTF-8: {problem}") from None
    if len(rows) < 2:
        raise UserError("no records under the header line", where=str(path))
    names = rows[0]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"columns occur twice: {checks.listed(twice)}", where=str(path))
    for record, row in enumerate(rows[1:], start=1):
        if len(row) != len(names):
            raise UserError(
                f"record {record} has {len(row)} cells, the header line {len(names)}",
                where=str(path),
            )
    return pd.DataFrame(rows[1:], columns=names, dtype=str)


def _content(path: Path) -> bytes:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            content = stream.read(TEXT_LIMIT + 1)
    except (OSError, EOFError, zlib.error) as problem:
        raise UserError(f"cannot read {path}: {problem}") from None
    if b"\0" in content:
        raise UserError(f"{path} is not a table in UTF-8: it holds zero bytes")
    if len(content) > TEXT_LIMIT:
        raise UserError(f"{path} holds more than {TEXT_LIMIT:,} bytes of text")
    return content


def _column(table: pd.DataFrame, name: str, path: Path) -> pd.Series:
    if name not in table.columns:
        raise checks.unknown_column(name, table.columns.tolist(), path)
    return table[name]


def _missing(column: pd.Series) -> np.ndarray:
    return column.str.strip().str.lower().isin(MISSING).to_numpy(bool)


def _labels(table: pd.DataFrame, name: str, path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    column = _column(table, name, path)
    checks.refuse_missing(_missing(column), name, path)
    order = sorted(set(column), key=lambda cell: (len(cell) if cell.isdigit() else 0, cell))
    positions = column.map({cell: i for i, cell in enumerate(order)})
    labels, _ = checks.as_classes(positions.to_numpy(np.int64), name, path)
    return labels, tuple(order)  # 2 stands before 10


def _property(table: pd.DataFrame, name: str, wanted: PropertyColumn, path: Path) -> np.ndarray:
    column = _column(table, wanted.column, path)
    present = column.isin(wanted.values_present()).to_numpy(bool)
    if not present.any():
        raise UserError(
            f"property '{name}': column '{wanted.column}' never holds "
            f"{checks.listed(wanted.values_present())}",
            where=str(path),
            remedy=f"it holds {checks.listed(column.unique())}",
        )
    unknown = column.isin(wanted.unknown).to_numpy(bool) & ~present
    values = np.where(unknown, UNKNOWN, present.astype(np.int8))
    return checks.as_property(values, name, path)


def _encode(table: pd.DataFrame, options: CsvOptions, path: Path) -> np.ndarray:
    """The input columns as [N, F] float32, numeric ones first."""
    numeric, categorical = _input_columns(table, options)
    if options.label in (*numeric, *categorical):
        raise UserError(f"the label '{options.label}' is among the inputs", where=str(path))
    columns = [_column(table, name, path) for name in (*numeric, *categorical)]
    widths = [1] * len(numeric) + [column.nunique() for column in columns[len(numeric) :]]
    if not 0 < sum(widths) * len(table) * 4 <= INPUT_LIMIT:
        raise UserError(
            f"{len(columns)} columns make inputs of {sum(widths)} numbers a record",
            where=str(path),
            remedy=f"1 number to {INPUT_LIMIT:,} bytes in all are possible",
        )
    blocks = [_numbers(column, path) for column in columns[: len(numeric)]]
    blocks += [_categories(column, path) for column in columns[len(numeric) :]]
    return np.concatenate(blocks, axis=1)


def _input_columns(table: pd.DataFrame, options: CsvOptions) -> tuple[list[str], list[str]]:
    """Names of the numeric and of the categorical input columns."""
    if options.numeric is not None or options.categorical is not None:
        return options.numeric or [], options.categorical or []
    used = {options.label, options.group, *(p.column for p in options.properties.values())}
    left = [name for name in table.columns if name and name not in used]
    numeric = [name for name in left if _looks_numeric(table[name])]
    return numeric, [name for name in left if name not in numeric]


def _looks_numeric(column: pd.Series) -> bool:
    """Whether every cell that states something states a number (and at least one does)."""
    stated = column[~_missing(column)]
    return len(stated) > 0 and bool(pd.to_numeric(stated, errors="coerce").notna().all())


def _numbers(column: pd.Series, path: Path) -> np.ndarray:
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    checks.refuse_missing(~(np.abs(numbers) <= LARGEST), str(column.name), path)
    return standardise(numbers)


def _categories(column: pd.Series, path: Path) -> np.ndarray:
    distinct = column.nunique()
    if distinct > checks.CLASS_LIMIT:
        raise UserError(
            f"column '{column.name}' has {distinct} categories",
            where=str(path),
            remedy=f"at most {checks.CLASS_LIMIT} are possible; list the inputs without it",
        )
    return one_hot_values(column.to_numpy(str))


def _notes(options: CsvOptions) -> tuple[str, ...]:
    inputs = {*(options.numeric or ()), *(options.categorical or ())}
    fed = sorted(name for name, p in options.properties.items() if p.column in inputs)
    if not fed:
        return ()
    return (f"Among the inputs, so that a leak of it is a leak of an input: {', '.join(fed)}.",)
