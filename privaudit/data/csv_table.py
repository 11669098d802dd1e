"""A .csv file as a table of texts: read whole, stripped of blanks, nothing guessed but numbers."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from privaudit.data import user_checks as checks
from privaudit.data.missing import states_nothing
from privaudit.errors import UserError

TEXT_LIMIT = 1024**3
"""Largest size of the unpacked text, in bytes."""

SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}


@dataclass(frozen=True, eq=False)
class CsvTable:
    """N records as stripped texts.

    Attributes:
        path: of the file.
        cells: [N, columns].
        lines: [N] line of the file that each record ends in, for error messages.
        decimal: ``.`` or ``,``.
        marks: cells (in lower case) that state nothing.
    """

    path: Path
    cells: pd.DataFrame
    lines: np.ndarray
    decimal: str
    marks: frozenset[str]

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def names(self) -> list[str]:
        """Of the columns."""
        return [str(name) for name in self.cells.columns]

    def column(self, name: str) -> pd.Series:
        """[N] texts.

        Raises:
            UserError: no such column (nearest match named).
        """
        if name not in self.cells.columns:
            raise checks.unknown_column(name, self.names, self.path)
        return self.cells[name]

    def missing(self, name: str) -> np.ndarray:
        """[N] booleans: which cells state nothing."""
        return states_nothing(self.column(name), self.marks)

    def numbers(self, name: str, decimal: str | None = None) -> np.ndarray:
        """[N] float64, NaN where the cell is no number."""
        column = self.column(name)
        if (decimal or self.decimal) == ",":  # then a point is no decimal mark
            column = column.where(~column.str.contains(".", regex=False), "")
            column = column.str.replace(",", ".", regex=False)
        return pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)

    def cell(self, name: str, record: int) -> str:
        """A cell and where it stands, for an error message."""
        return f"'{self.column(name).iloc[record][:40]}' in line {self.lines[record]}"


def read_table(
    path: Path, *, separator: str, encoding: str, decimal: str, marks: frozenset[str]
) -> CsvTable:
    """All cells as texts, under the column names of the first line.

    The csv module, not pandas, splits the lines: pandas fills rows that are too short, which would
    hide a cut-off file. A line ``sep=;`` above the names, as Excel writes it, goes before
    ``separator``.

    Raises:
        UserError: unreadable, not a table in this encoding, columns that occur twice, or a record
            with too few or too many cells.
    """
    text = _text(path, encoding)
    first, _, rest = text.partition("\n")
    skipped = 0
    if found := re.fullmatch(r"sep=(.)\r?", first):
        separator, text, skipped = found[1], rest, 1
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=separator,
        strict=True,
        skipinitialspace=separator != " ",
    )
    try:
        rows = [(reader.line_num + skipped, row) for row in reader if row]
    except (csv.Error, ValueError) as problem:
        raise UserError(f"{path} is not a table in {encoding.upper()}: {problem}") from None
    if len(rows) < 2:
        raise UserError("no records under the header line", where=str(path))
    names = [name.strip() for name in rows[0][1]]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise UserError(f"columns occur twice: {checks.listed(twice)}", where=str(path))
    _check_separator(names, separator, path)
    for record, (line, row) in enumerate(rows[1:], start=1):
        if len(row) != len(names):
            raise UserError(
                f"record {record} has {len(row)} cells, the header line {len(names)}",
                where=str(path),
                remedy=f"see line {line}",
            )
    cells = [[cell.strip() for cell in row] for _, row in rows[1:]]
    lines = np.array([line for line, _ in rows[1:]])
    return CsvTable(path, pd.DataFrame(cells, columns=names, dtype=str), lines, decimal, marks)


def _check_separator(names: list[str], separator: str, path: Path) -> None:
    """A header line that only another separator splits."""
    others = [other for other in SEPARATORS if other != separator and other in names[0]]
    if len(names) == 1 and others:
        raise UserError(
            f"the header line '{names[0][:60]}' is one column",
            where=str(path),
            remedy=f"{SEPARATORS[others[0]]} seems to separate them: set separator = "
            f"{others[0]!r} in [data]".replace("'", '"'),
        )


def _text(path: Path, encoding: str) -> str:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            content = stream.read(TEXT_LIMIT + 1)
    except (OSError, EOFError, zlib.error) as problem:
        raise UserError(f"cannot read {path}: {problem}") from None
    if len(content) > TEXT_LIMIT:
        raise UserError(f"{path} holds more than {TEXT_LIMIT:,} bytes of text")
    wrong = f"{path} is not a table in {encoding.upper()}"
    if encoding.lower() in ("utf-8", "utf8"):
        if content.startswith((b"\xff\xfe", b"\xfe\xff")) and not len(content) % 2:
            raise UserError(f"{wrong}: it starts like UTF-16", remedy='set encoding = "utf-16"')
        encoding = "utf-8-sig"
        if b"\0" in content:
            raise UserError(f"{wrong}: it holds zero bytes")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as problem:
        line = content.count(b"\n", 0, problem.start) + 1
        raise UserError(
            f"{wrong}: byte 0x{content[problem.start]:02x} in line {line}",
            remedy='save it as UTF-8, or name its encoding, e.g. encoding = "latin-1"',
        ) from None
    except LookupError:
        raise UserError(
            f"unknown encoding '{encoding}'", where=str(path), remedy="e.g. utf-8, latin-1, utf-16"
        ) from None
