"""What the reports of several audits have in common: one page, one list, points with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import pandas as pd

from privaudit.report.tables import as_text
from privaudit.report.write import STYLE_SHEET
from privaudit.statistics.intervals import Interval


def error_bars(intervals: Sequence[Interval]) -> list[list[float]]:
    """[2, n] lengths of the interval below and above each value, as matplotlib takes them."""
    return [
        [interval.value - interval.low for interval in intervals],
        [interval.high - interval.value for interval in intervals],
    ]


def markdown(
    title: str, notes: Sequence[str], table: pd.DataFrame, *, figure_file: str, label: str
) -> str:
    """Title, table, notes, and a link to the figure beside the file."""
    lines = [f"# {title}", "", as_text(table), "", *(f"- {note}" for note in notes)]
    return "\n".join([*lines, "", f"![{label}]({figure_file})", ""])


def html_page(
    title: str, notes: Sequence[str], table: pd.DataFrame, *, figure: str, label: str, caption: str
) -> str:
    """One self-contained page; ``figure`` is SVG text."""
    lines = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{STYLE_SHEET}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>",
        "<ul>",
        *(f"<li>{escape(note)}</li>" for note in notes),
        "</ul>",
        f'<figure role="img" aria-label="{escape(label)}">',
        figure[figure.index("<svg") :],
        f"<figcaption>{escape(caption)}</figcaption></figure>",
        f'<div class="wide" tabindex="0">{as_text(table, "html")}</div>',
        "</main></body></html>",
    ]
    return "\n".join(lines) + "\n"
