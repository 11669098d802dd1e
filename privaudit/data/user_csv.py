"""The user's own table, from a .csv or .csv.gz file with a header line.

In a scenario::

    [data]
    name = "csv"
    path = "mine.csv"                        # relative to the scenario file
    label = "outcome"
    group = "hospital"                       # optional
    properties = {smoker = {column = "smokes", present = "yes"},
                  old = {column = "age", present = "> 60"}, ward = {column = "ward", each = true}}
    categorical = ["job"]                    # what a column is where its cells do not say it:
    numeric = ["age"]                        # numeric, categorical, text (tokens, the only
    drop = ["patient"]                       # input), drop (not an input)
    decimal = ","                            # and separator, encoding, missing

A property is present where its column holds ``present``, not stated where the cell states nothing
(empty, NA, ?, ...: :mod:`privaudit.data.missing`, or the option ``missing``) or is one of
``unknown``, else absent. Columns of label, group and properties are inputs only if listed. Of the
others, those whose stated cells are numbers become numbers (standardised), those with up to 100
texts categories (one-hot; cells that state nothing are a category of their own); ids and dates are
dropped, and what is nearly one of these is refused. What each column became is in the dry run and
in the report.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from privaudit.data import user_checks as checks
from privaudit.data.csv_inputs import Wanted, read_inputs
from privaudit.data.csv_properties import PropertyColumn, absent_note, read_property
from privaudit.data.csv_table import CsvTable, read_table
from privaudit.data.dataset import Dataset
from privaudit.data.files import sha256_of
from privaudit.data.missing import MARKS
from privaudit.errors import UserError
from privaudit.options import Options
from privaudit.randomness import Seed


class CsvOptions(Options):
    """Options of ``csv``."""

    path: str = Field(
        description="the name of a .csv or .csv.gz file; its first line names the columns",
        examples=["mine.csv"],
    )
    label: str = Field(
        description="the name of the column with the classes of the task", examples=["outcome"]
    )
    group: str | None = Field(
        None,
        description="the name of the column with the natural client of a record",
        examples=["hospital"],
    )
    properties: dict[str, PropertyColumn] = Field(
        {},
        description='private properties: name = {column = "...", present = "...", unknown = '
        '["..."]}, or {column = "...", each = true}',
    )
    numeric: list[str] = Field(
        [], description="a list of columns that are numbers, whatever their cells look like"
    )
    categorical: list[str] = Field(
        [], description="a list of columns that are categories, likewise"
    )
    text: list[str] = Field(
        [],
        description="a list of columns whose words are the input, joined; then there is no other",
    )
    drop: list[str] = Field([], description="a list of columns that are no inputs")
    separator: str = Field(
        ",",
        min_length=1,
        max_length=1,
        description="one character between cells; a line sep=; as of Excel is understood",
    )
    decimal: Literal[".", ","] = Field(".", description='the mark in numbers: "." or ","')
    encoding: str = Field("utf-8", description="of the file: utf-8, latin-1, utf-16 ...")
    missing: list[str] | None = Field(
        None,
        description="a list of cells that state nothing; unset = empty, NA, ? and the like",
        examples=[["", "-9"]],
    )
    vocabulary: int = Field(4_000, ge=10, le=20_000, description="10 to 20,000 ids of a text")
    length: int = Field(300, ge=5, le=1_000, description="5 to 1,000 tokens of a text")


OPTIONS = CsvOptions

FEW_CLASSES, RECORDS_A_CLASS = 20, 10
"""A label of more different numbers needs so many records of each to be one of classes."""


def load(options: CsvOptions, data_dir: Path, seed: Seed) -> Dataset:
    """Read and encode the table; ``data_dir`` and ``seed`` are not used.

    Raises:
        UserError: the file is missing, empty, a folder or not a table; a column is missing
            (nearest match named); a number, label or group is missing; a column is nearly numbers
            or has too many values; a property has one value only.
    """
    del data_dir, seed
    path = checks.user_file(options.path)
    table = read_table(
        path,
        separator=options.separator,
        encoding=options.encoding,
        decimal=options.decimal,
        marks=MARKS
        if options.missing is None
        else frozenset(m.strip().lower() for m in options.missing),
    )
    labels, class_names = _labels(table, options.label)
    groups = None
    if options.group is not None:
        cells = table.column(options.group).to_numpy(str)
        checks.refuse_missing(table.missing(options.group), options.group, path)
        groups = checks.as_groups(cells, options.group, path)
    properties: dict[str, np.ndarray] = {}
    for name, wanted in options.properties.items():
        properties |= read_property(table, name, wanted)
    absent = [
        note for name, p in options.properties.items() if (note := absent_note(table, name, p))
    ]
    inputs = read_inputs(
        table, _wanted(options), vocabulary=options.vocabulary, length=options.length
    )
    return Dataset(
        name="csv",
        kind="text" if options.text else "table",
        inputs=inputs.values,
        labels=labels,
        class_names=class_names,
        properties=properties,
        groups=groups,
        group_kind=options.group or "",
        checksum=sha256_of(path),
        vocabulary=inputs.vocabulary,
        notes=(*inputs.notes, *_label_notes(table, options.label), *absent),
        file=path.name,
        columns=inputs.columns,
    )


def _label_notes(table: CsvTable, name: str) -> list[str]:
    """That a label of numbers is taken as classes.

    Raises:
        UserError: numbers that are measured rather than classes.
    """
    numbers = table.numbers(name)
    if np.isnan(numbers).any():
        return []
    distinct = len(np.unique(numbers))
    if distinct > FEW_CLASSES and (
        (numbers != np.floor(numbers)).any() or distinct * RECORDS_A_CLASS > len(table)
    ):
        raise UserError(
            f"the label '{name}' holds {distinct} different numbers, each of them a class",
            where=str(table.path),
            remedy="the task is to tell classes: make a column of a few of them, e.g. low and high",
        )
    return [f"The label '{name}' holds numbers; they are taken as {distinct} classes."]


def _wanted(options: CsvOptions) -> Wanted:
    return Wanted(
        label=options.label,
        group=options.group,
        properties={name: p.column for name, p in options.properties.items()},
        numeric=options.numeric,
        categorical=options.categorical,
        text=options.text,
        drop=options.drop,
    )


def _labels(table: CsvTable, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    column = table.column(name)
    missing = table.missing(name)
    checks.refuse_missing(
        missing, name, table.path, remedy="leave these records out, or set the option missing"
    )
    order = sorted(set(column), key=lambda cell: (len(cell) if cell.isdigit() else 0, cell))
    positions = column.map({cell: i for i, cell in enumerate(order)})
    labels, _ = checks.as_classes(positions.to_numpy(np.int64), name, table.path)
    return labels, tuple(order)  # 2 stands before 10
