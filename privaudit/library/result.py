"""A run as a program or a notebook looks at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from os import PathLike
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from privaudit.custody.folder import RunFolder
from privaudit.errors import UserError, unknown_name
from privaudit.evaluation.live import Live
from privaudit.evaluation.live_folder import is_live, read_live
from privaudit.report.content import Content, read_content
from privaudit.report.drawings import drawings
from privaudit.report.figures import as_svg
from privaudit.report.layers import layer_rows
from privaudit.report.live import live_figure, live_notes, live_table
from privaudit.report.plain import content_tables
from privaudit.report.rebuilt import long_rows
from privaudit.report.tables import as_text, long_table
from privaudit.report.tidy import tidy_cells


@dataclass(frozen=True)
class Picture:
    """A figure of a run; a notebook shows it.

    Attributes:
        figure: matplotlib's own, to be restyled: ``picture.figure.axes[0].set_title(...)``. What
            is changed there is in :attr:`svg`, in what :meth:`save` writes and in the notebook.
    """

    figure: Figure

    @property
    def svg(self) -> str:
        """As SVG text, as it is now."""
        return as_svg(self.figure)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write it, in the format that the name ends with: ``.svg``, ``.pdf``, ``.png``.

        Raises:
            UserError: matplotlib knows no such format, or the file cannot be written.
        """
        file = Path(path)
        try:
            if file.suffix in (".svg", ""):
                file.write_text(self.svg, encoding="utf-8")
            else:
                self.figure.savefig(file, dpi=200)
        except (OSError, ValueError) as error:
            raise UserError(f"cannot be written: {error}", where=str(file)) from error
        return file

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        width, height = self.figure.get_size_inches()
        return f"<figure, {width:g} by {height:g} inches; .figure is matplotlib's, .save(path)>"


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
    def cells(self) -> pd.DataFrame:
        """One row per cell of every game, unrounded, with the same columns for all of them.

        What each column holds: :data:`privaudit.report.tidy.COLUMNS`. :meth:`table` has the other
        metrics of games with an AUC, :attr:`rebuilt` those of rebuilt records.
        """
        return tidy_cells(self._content.cells, self._content.rebuilt)

    @property
    def figures(self) -> list[str]:
        """Names of the figures that :meth:`figure` knows."""
        return list(self._figures)

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
    def _figures(self) -> dict[str, Figure]:
        """Name -> what matplotlib draws."""
        return {drawing.name: drawing.figure for drawing in drawings(self._content)}

    @cached_property
    def _tables(self) -> Sequence[pd.DataFrame]:
        """As text, for people."""
        return content_tables(self._content)

    def __repr__(self) -> str:
        tables = (as_text(frame) for frame in self._tables)
        return "\n".join([*tables, str(self.report)])

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        names = ("auc_by_fraction", "rebuilt_by_fraction", "auc")
        figure = next((self.figure(name).svg for name in names if name in self._figures), "")
        drawn = figure[figure.index("<svg") :] if figure else ""
        tables = "".join(as_text(frame, "html") for frame in self._tables)
        return f"{tables}{drawn}<ul>{notes}</ul>"


class LiveResult(Result):
    """A judged live federation: no layers and no rebuilt records; one figure, ``auc``."""

    @cached_property
    def _live(self) -> Live:
        return read_live(RunFolder(self.path))

    @property
    def cells(self) -> pd.DataFrame:
        """As :attr:`Result.cells`."""
        return tidy_cells(self._live.cells, [])

    @property
    def rebuilt(self) -> pd.DataFrame:
        """Empty."""
        return pd.DataFrame()

    @property
    def notes(self) -> list[str]:
        """What a reader must know to read the table."""
        return live_notes(self._live)

    def table(self) -> pd.DataFrame:
        """As :meth:`Result.table`."""
        return long_table(self._live.cells)

    def layers(self) -> pd.DataFrame:
        """Empty."""
        return pd.DataFrame()

    @cached_property
    def _figures(self) -> dict[str, Figure]:
        return {"auc": live_figure(self._live.cells)}

    @cached_property
    def _tables(self) -> Sequence[pd.DataFrame]:
        return [live_table(self._live)]


def open_run(path: str | PathLike[str]) -> Result:
    """The result of a finished run in a folder, or of a live federation that was judged into one.

    Raises:
        UserError: no run there, or it is not finished or cannot be read.
    """
    folder = Path(path)
    result = (LiveResult if is_live(folder) else Result)(folder)
    if result.cells.empty:
        raise UserError("the run has no records", where=str(path))
    return result
