"""What the reports of others than single runs have in common: their page, list and points."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from privaudit.custody.folder import RunFolder
from privaudit.evaluation.records import Record, parse_records
from privaudit.report.drawings import Drawing, inline
from privaudit.report.html import frame_rows, render_page
from privaudit.report.in_short import InShort
from privaudit.report.next_step import Next
from privaudit.report.provenance import record_facts
from privaudit.report.tables import as_text
from privaudit.statistics.intervals import Interval

SECTIONS = (
    ("answer", "Answer"),
    ("change", "What would change it"),
    ("figure", "Figure"),
    ("table", "Table"),
    ("limits", "What this does not say"),
    ("words", "Words"),
    ("again", "How to make it again"),
)


@dataclass(frozen=True)
class Part:
    """A table and its figure.

    Attributes:
        table: as text.
        heads: how many of its columns head a row.
        caption: what the table holds.
        notes: how to read it.
        drawing: the figure.
        stacked: whether a narrow screen shows a row as a list, its columns below one another.
    """

    table: pd.DataFrame
    heads: int
    caption: str
    notes: Sequence[str]
    drawing: Drawing
    stacked: bool = False


@dataclass(frozen=True)
class Findings:
    """What a sweep, a dilution measurement, an audit by canaries or a live run has to say.

    Attributes:
        kind: ``sweep``, ``dilution``, ``canaries`` or ``live``; also the name of its files.
        title: of the page.
        answer: what was found, in sentences.
        parts: tables with their figures, at least one.
        limits: what it does not say.
        command: makes it again.
        next: what to measure next.
        runs: names of its run folders.
        in_short: the answers that the page begins with.
        facts: (what, value) of what the numbers are from, where no run folder has records.
    """

    kind: str
    title: str
    answer: Sequence[str]
    parts: Sequence[Part]
    limits: Sequence[str]
    command: str
    next: Next
    runs: Sequence[str]
    in_short: InShort
    facts: Sequence[tuple[str, str]] = ()


def write_findings(folder: RunFolder, found: Findings, *, document: str, rows: str) -> None:
    """Write ``report/KIND.{md,csv,json}``, a figure for each part, and ``report/index.html``.

    Args:
        folder: of the sweep or dilution measurement.
        found: what they say.
        document: the same as JSON.
        rows: the same as CSV.
    """
    for name, text in render_findings(folder, found, document=document, rows=rows).items():
        folder.write_text(name, text)


def render_findings(
    folder: RunFolder, found: Findings, *, document: str, rows: str
) -> dict[str, str]:
    """Name of every file of :func:`write_findings` -> its text."""
    name = f"report/{found.kind}"
    files = {f"{name}.json": document + "\n", f"{name}.csv": rows}
    files |= {f"report/{part.drawing.name}.svg": part.drawing.svg for part in found.parts}
    files |= {f"{name}.md": _markdown(found), "report/index.html": _page(folder, found)}
    return files


def error_bars(intervals: Sequence[Interval]) -> list[list[float]]:
    """[2, n] lengths of the interval below and above each value, as matplotlib takes them."""
    return [
        [interval.value - interval.low for interval in intervals],
        [interval.high - interval.value for interval in intervals],
    ]


def _markdown(found: Findings) -> str:
    """The figure lies beside the file."""
    short = (f"{question} {said}" for question, said in found.in_short.lines)
    lines = [
        f"# {found.title}",
        "",
        *_list(short),
        "",
        *_list(found.answer),
        "",
        f"Next: {found.next.why}",
        "",
    ]
    lines += [f"    {found.next.command}", ""]
    for part in found.parts:
        lines += [as_text(part.table), "", *_list(part.notes), ""]
    lines += [*_list(found.limits), "", f"    {found.command}", ""]
    for part in found.parts:
        lines += [f"![{part.drawing.title}]({part.drawing.name}.svg)", ""]
    return "\n".join(lines)


def _list(lines: Iterable[str]) -> list[str]:
    return [f"- {line}" for line in lines]


def _page(folder: RunFolder, found: Findings) -> str:
    pages = [(f"../{run}/report/index.html", f"the report of {run}") for run in found.runs]
    return render_page(
        "several.html.j2",
        title=found.title,
        kicker=f"privaudit {found.kind}",
        sections=SECTIONS,
        in_short=found.in_short,
        answer=found.answer,
        parts=[
            (
                part,
                frame_rows(part.table, headers=part.heads),
                Markup(inline(part.drawing)),
            )
            for part in found.parts
        ],
        limits=found.limits,
        next_step=found.next,
        command=found.command,
        facts=found.facts or record_facts(_records(folder, found.runs)),
        files=[
            (f"{found.kind}.md", "the same as Markdown"),
            (f"{found.kind}.csv", "every point, unrounded"),
            (f"{found.kind}.json", "the same for machines"),
            *pages,
        ],
    )


def _records(folder: RunFolder, runs: Sequence[str]) -> list[Record]:
    found: list[Record] = []
    for run in runs:
        name = f"{run}/records.jsonl"
        found += parse_records(folder.read_lines(name), where=str(folder.file(name)))
    return found
