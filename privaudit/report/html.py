"""Pages: each one file that needs no network, no scripts and no other file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from privaudit.report.glossary import glossary
from privaudit.report.in_short import InShort

STYLE_SHEET = (
    resources.files("privaudit.report").joinpath("templates", "style.css").read_text("utf-8")
)

Row = list[tuple[str, str]]
"""Cells of a row: the text, and what stands small below it."""

Rows = tuple[list[str], int, list[Row]]
"""A table: its columns, how many of them head a row, and the rows."""


def render_page(
    template: str,
    *,
    title: str,
    kicker: str,
    sections: Sequence[tuple[str, str]],
    in_short: InShort | None = None,
    **parts: Any,
) -> str:
    """A page from a template; whatever others wrote is escaped.

    Args:
        template: name of a file in ``templates/`` that extends the base.
        title: of the page, and its first heading.
        kicker: what kind of page it is, small above the title.
        sections: (id, name) of every section, for the list of links; none for a short page.
        in_short: the answers that the page begins with; None for a mere table.
        parts: what the template shows.
    """
    page = _environment().get_template(template)
    known = parts | {
        "title": title,
        "kicker": kicker,
        "sections": sections,
        "in_short": in_short,
        "style": Markup(STYLE_SHEET),  # ours
    }
    used = re.sub(r"<style>.*?</style>|<svg.*?</svg>|<[^>]*>", " ", page.render(words=[], **known))
    return page.render(words=glossary(used), **known)


def table_page(
    title: str,
    frames: Sequence[pd.DataFrame],
    notes: Sequence[str],
    *,
    caption: str,
    verb: str = "table",
    in_short: InShort | None = None,
) -> str:
    """Tables of strings and their notes as a page; the first column heads the rows."""
    return render_page(
        "table.html.j2",
        title=title,
        kicker=f"privaudit {verb}",
        sections=[],
        in_short=in_short,
        tables=[frame_rows(frame) for frame in frames],
        caption=caption,
        notes=notes,
    )


def frame_rows(frame: pd.DataFrame, *, headers: int = 1) -> Rows:
    """A frame of strings as a table."""
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
