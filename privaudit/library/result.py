"""A run as a program or a notebook looks at it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from html import escape
from os import PathLike
from pathlib import Path

import pandas as pd

from privaudit.custody.folder import RunFolder
from privaudit.errors import UserError, unknown_name
from privaudit.evaluation.cells import TableCell
from privaudit.report.content import Content, read_content
from privaudit.report.drawings import drawings
from privaudit.report.layers import layer_rows
from privaudit.report.plain import content_tables
from privaudit.report.rebuilt import long_rows
from privaudit.report.tables import as_text, long_table


@dataclass(frozen=True)
class Picture:
    """A figure of a run; a notebook shows it."""

    svg: str

    def save(self, path: str | PathLike[str]) -> Path:
        """Write it as an SVG file."""
        file = Path(path)
        file.write_text(self.svg, encoding="utf-8")
        return file

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"<SVG figure, {len(self.svg)} characters; .save(path) writes it>"


@dataclass(frozen=True)
class Result:
    """A finished run: its table, figures, notes and report.

    Attributes:
        path: folder of the run.
    """

    path: Path

    @cached_property
    def _content(self) -> Content:
        return read_content(RunFolder.open(self.path))

    @property
    def cells(self) -> list[TableCell]:
        """One per property, rule, fraction, K and attack, with all metrics."""
        return list(self._content.cells)

    @property
    def rebuilt(self) -> pd.DataFrame:
        """One row per cell of the game reconstruction, unrounded: how much of batches was rebuilt.

        Empty where no records were to be rebuilt.
        """
        return pd.DataFrame(long_rows(self._content.rebuilt))

    @property
    def report(self) -> Path:
        """The page of the run."""
        return self.path / "report" / "index.html"

    @property
    def notes(self) -> list[str]:
        """What a reader must know to read the table."""
        return self._content.notes

    def table(self) -> pd.DataFrame:
        """One row per cell, unrounded: AUC with interval, p, q, and the other metrics."""
        return long_table(self._content.cells)

    def layers(self) -> pd.DataFrame:
        """One row per property and layer: AUC with interval from that layer's coordinates alone."""
        return pd.DataFrame(layer_rows(self._content.layers))

    def figure(self, name: str = "auc_by_fraction") -> Picture:
        """A figure of the report: ``auc_by_fraction``, ``accuracy_by_round``, ...

        Raises:
            UserError: this run has no figure of that name.
        """
        figures = self._figures
        if name not in figures:
            raise unknown_name("figure", name, figures, where=str(self.path))
        return Picture(figures[name])

    @cached_property
    def _figures(self) -> dict[str, str]:
        """Name -> SVG."""
        return {drawing.name: drawing.svg for drawing in drawings(self._content)}

    def __repr__(self) -> str:
        tables = (as_text(frame) for frame in content_tables(self._content))
        return "\n".join([*tables, str(self.report)])

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        names = ("auc_by_fraction", "rebuilt_by_fraction")
        figure = next((self._figures[name] for name in names if name in self._figures), "")
        drawn = figure[figure.index("<svg") :] if figure else ""
        tables = "".join(as_text(frame, "html") for frame in content_tables(self._content))
        return f"{tables}{drawn}<ul>{notes}</ul>"


def open_run(path: str | PathLike[str]) -> Result:
    """The result of a finished run in a folder.

    Raises:
        UserError: no run there, or it is not finished or cannot be read.
    """
    result = Result(Path(path))
    if not result.cells and result.rebuilt.empty:
        raise UserError("the run has no records", where=str(path))
    return result
