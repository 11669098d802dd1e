"""The page: one HTML file that needs no network, no scripts and no other file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from privaudit.evaluation.cells import TableCell
from privaudit.ledger.tables import NOTE, client_table, rewards_summary
from privaudit.report import notes, provenance, tables
from privaudit.report.content import Content, training_lines
from privaudit.report.drawings import Drawing, inline
from privaudit.report.published import published_gaps
from privaudit.report.verdict import basis, comparisons, verdicts

STYLE_SHEET = (
    resources.files("privaudit.report").joinpath("templates", "style.css").read_text("utf-8")
)


def page(content: Content, figures: Sequence[Drawing]) -> str:
    """The report as HTML; whatever others wrote is escaped."""
    scenario, cells = content.scenario, content.cells
    template = _environment().get_template("report.html.j2")
    return template.render(
        title=content.title,
        style=Markup(STYLE_SHEET),  # ours
        verdicts=verdicts(scenario, cells),
        comparisons=comparisons(cells),
        basis=basis(scenario, cells),
        assumptions=notes.assumptions(scenario),
        table=wide_rows(cells),
        reading=notes.reading(scenario),
        source=scenario.report.published_source,
        gaps=published_gaps(scenario, cells),
        remarks=scenario.report.notes,
        figures=[(drawing, Markup(inline(drawing))) for drawing in figures],
        summaries=training_lines(content.training),
        rewards=rewards_summary(content.book, scenario.ledger.reward) if content.book else "",
        rewards_note=NOTE,
        clients=frame_rows(client_table(content.book)) if content.book else None,
        statistics=notes.statistics(cells),
        metrics=frame_rows(tables.metrics_table(cells), headers=1),
        command=provenance.command(scenario),
        facts=provenance.facts(content),
        limits=notes.limits(scenario),
        files=provenance.files_beside(content),
    )


Row = list[tuple[str, str]]
"""Cells of a row: the text, and what stands small below it."""


def wide_rows(cells: Sequence[TableCell]) -> tuple[list[str], int, list[Row]]:
    """Columns, how many of them head a row, and the rows, published values with their cells."""
    fractions = sorted({cell.fraction for cell in cells})
    rows = []
    for head, found in tables.wide_cells(cells):
        row: Row = [(text, "") for text in head]
        for cell in found:
            known = cell is not None and cell.published is not None
            below = f"published {cell.published:.2f}" if cell and known else ""
            row.append((tables.cell_text(cell), below))
        rows.append(row)
    columns = [*tables.HEADS, *(f"{100 * fraction:g} %" for fraction in fractions)]
    return columns, len(tables.HEADS), rows


def frame_rows(frame: pd.DataFrame, *, headers: int = 1) -> tuple[list[str], int, list[Row]]:
    """A frame of strings in the form of :func:`wide_rows`."""
    rows = [[(str(text), "") for text in row] for row in frame.itertuples(index=False)]
    return [str(name) for name in frame], headers, rows


def keep_together(line: str) -> Markup:
    """A sentence, escaped, with numbers, their intervals and their units on one line."""
    text = re.sub(r"(?<=\d) (?=%)|(?<=\b[Kn]) (?== \d)|(?<=\b[Kn] =) (?=\d)", "\u00a0", line)
    found = re.sub(r"\d\.\d\d \[[^\]<]*\]", r"<span>\g<0></span>", str(escape(text)))
    return Markup(found)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("privaudit.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    environment.filters["keep_together"] = keep_together
    return environment
