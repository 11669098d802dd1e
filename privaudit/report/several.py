"""What the reports of several audits have in common: one page, one list, points with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import pandas as pd

from privaudit.report.drawings import Drawing, inline
from privaudit.report.page import STYLE_SHEET
from privaudit.report.tables import as_text
from privaudit.statistics.intervals import Interval


def error_bars(intervals: Sequence[Interval]) -> list[list[float]]:
    """[2, n] lengths of the interval below and above each value, as matplotlib takes them."""
    return [
        [interval.value - interval.low for interval in intervals],
        [interval.high - interval.value for interval in intervals],
    ]


def markdown(title: str, notes: Sequence[str], table: pd.DataFrame, drawing: Drawing) -> str:
    """Title, table, notes, and a link to the figure, which lies beside the file."""
    lines = [f"# {title}", "", as_text(table), "", *(f"- {note}" for note in notes)]
    return "\n".join([*lines, "", f"![{drawing.title}]({drawing.name}.svg)", ""])


def html_page(title: str, notes: Sequence[str], table: pd.DataFrame, drawing: Drawing) -> str:
    """One self-contained page."""
    lines = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{STYLE_SHEET}</style></head>",
        f"<body><main><h1>{escape(title)}</h1>",
        "<ul>",
        *(f"<li>{escape(note)}</li>" for note in notes),
        "</ul>",
        f'<div class="wide" tabindex="0">{as_text(table, "html")}</div>',
        "<figure>",
        f'<div class="wide" tabindex="0">{inline(drawing)}</div>',
        f"<figcaption><strong>{escape(drawing.title)}.</strong> {escape(drawing.description)}"
        "</figcaption></figure>",
        "</main></body></html>",
    ]
    return "\n".join(lines) + "\n"
