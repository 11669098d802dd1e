"""Write ``report/`` from the records: the page, and the same as text, tables and figures."""

from __future__ import annotations

from privaudit.custody.folder import RunFolder
from privaudit.ledger.tables import payments_csv
from privaudit.report import plain, rebuilt, tables
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
    "render_report",
    "training_summary",
    "write_report",
]


def write_report(folder: RunFolder) -> None:
    """Write all forms of the report; the same records give the same bytes."""
    for name, text in render_report(folder).items():
        folder.write_text(name, text)


def render_report(folder: RunFolder) -> dict[str, str]:
    """Name of every file of the report -> its text."""
    content = read_content(folder)
    figures = drawings(content)
    files = {f"report/figures/{drawing.name}.svg": drawing.svg for drawing in figures} | {
        "report/table.md": plain.table_markdown(content),
        "report/table.tex": plain.table_latex(content),
        "report/report.md": plain.report_markdown(content, figures),
        "report/report.json": plain.report_json(content),
        "report/index.html": page(content, figures),
    }
    if content.cells or not content.rebuilt:
        files["report/table.csv"] = tables.render(content.cells, "csv")
    if content.rebuilt:
        files["report/rebuilt.csv"] = rebuilt.as_csv(content.rebuilt)
    if content.book:
        files["report/rewards.csv"] = payments_csv(content.book, content.colluders)
    return files
