"""Write ``report/`` from the records: the page, and the same as text, tables and figures."""

from __future__ import annotations

from privaudit.experiment.folder import RunFolder
from privaudit.ledger.tables import payments_csv
from privaudit.report import plain, tables
from privaudit.report.content import Content, read_content, training_summary
from privaudit.report.drawings import drawings
from privaudit.report.html import STYLE_SHEET
from privaudit.report.notes import footnotes
from privaudit.report.page import page

__all__ = [
    "STYLE_SHEET",
    "Content",
    "footnotes",
    "read_content",
    "training_summary",
    "write_report",
]


def write_report(folder: RunFolder) -> None:
    """Write all forms of the report; the same records give the same bytes."""
    content = read_content(folder)
    figures = drawings(content)
    for drawing in figures:
        folder.write_text(f"report/figures/{drawing.name}.svg", drawing.svg)
    folder.write_text("report/table.csv", tables.render(content.cells, "csv"))
    folder.write_text("report/table.md", plain.table_markdown(content))
    folder.write_text("report/table.tex", plain.table_latex(content))
    folder.write_text("report/report.md", plain.report_markdown(content, figures))
    folder.write_text("report/report.json", plain.report_json(content))
    folder.write_text("report/index.html", page(content, figures))
    if content.book:
        folder.write_text("report/rewards.csv", payments_csv(content.book))
