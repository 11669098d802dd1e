"""One page over all audits in a folder: what each found, and which are unfinished or damaged.

Findings are read from the reports as they lie there, nothing is computed again: a folder of
hundreds of runs takes seconds. Whether a report fits its records is what ``verify`` says.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from privaudit.custody.folder import RunFolder
from privaudit.errors import UserError
from privaudit.report.html import render_page
from privaudit.report.in_short import QUESTIONS, InShort
from privaudit.report.next_step import Next
from privaudit.report.verdict import LEAK, NONE
from privaudit.studies.kinds import is_audit, kind_of

State = Literal["finished", "unfinished", "damaged"]

DEPTH = 3
"""Folders below the one that is asked for, in which audits are looked for."""

PAGE = "index.html"

YES = ("leak:", "yes")
"""How the finding of an audit that found a leak begins."""


@dataclass(frozen=True)
class Entry:
    """One audit.

    Attributes:
        name: of its folder, relative to the one that is listed.
        kind: run, dilution, sweep, policies or canaries.
        state: whether its report is there and can be read.
        title: of the report; empty without.
        finding: the first sentence of its answer; of one that is not finished why not.
        leak: the highest AUC of its cells; None where its report lists none.
        when: its report was written, or else its scenario.
    """

    name: str
    kind: str
    state: State
    title: str
    finding: str
    leak: float | None
    when: datetime

    @property
    def page(self) -> str:
        """Of its report, relative to the listed folder; empty without."""
        return f"{self.name}/report/index.html" if self.state == "finished" else ""


def entries(folder: Path) -> list[Entry]:
    """Every audit below a folder, the last one first.

    Raises:
        UserError: there is no such folder, or no audit in it.
    """
    if not folder.is_dir():
        raise UserError("no such folder", where=str(folder))
    found = [_entry(path, folder) for path in _audits(folder, DEPTH)]
    if not found:
        raise UserError(
            "no audit in this folder",
            where=str(folder),
            remedy="name a folder that holds run folders, such as runs/",
        )
    return sorted(found, key=lambda entry: (entry.when, entry.name), reverse=True)


def _audits(folder: Path, depth: int) -> Iterator[Path]:
    """Folders of audits; those inside of one belong to it."""
    for path in sorted(p for p in folder.iterdir() if p.is_dir() and not p.is_symlink()):
        if is_audit(path):
            yield path
        elif depth > 1:
            yield from _audits(path, depth - 1)


def _entry(path: Path, folder: Path) -> Entry:
    kind = kind_of(path)
    report = path / "report" / ("report.json" if kind == "run" else f"{kind}.json")
    state: State = "unfinished"
    title, finding, leak = "", "no report yet", None
    try:
        if (path / "scenario.json").is_file():
            RunFolder.open(path).scenario()
        if report.is_file():
            title, finding, leak = _of_run(report) if kind == "run" else _of_several(report)
            state = "finished"
    except (UserError, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        state, finding = "damaged", " ".join(str(error).split())
    newest = report if report.is_file() else path
    when = datetime.fromtimestamp(newest.stat().st_mtime, UTC).replace(microsecond=0)
    return Entry(str(path.relative_to(folder)), kind, state, title, finding, leak, when)


def _of_run(report: Path) -> tuple[str, str, float | None]:
    """Title, first verdict, highest AUC."""
    document: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    said = [f"{verdict['outcome']}: {verdict['sentence']}" for verdict in document["verdicts"]]
    aucs = [cell["auc"] for cell in document["cells"] if cell.get("auc") is not None]
    return document["title"], said[0] if said else "nothing asked", max(aucs, default=None)


def _of_several(report: Path) -> tuple[str, str, float | None]:
    """Title and answer from the Markdown beside it, the highest AUC from the CSV if it has one."""
    json.loads(report.read_text(encoding="utf-8"))
    lines = report.with_suffix(".md").read_text(encoding="utf-8").splitlines()
    answer = next((line for line in lines if line.startswith("- ")), "- nothing said")
    rows = csv.DictReader(report.with_suffix(".csv").read_text(encoding="utf-8").splitlines())
    aucs = [float(row["auc"]) for row in rows if row.get("auc")]
    return (
        lines[0].removeprefix("# "),
        answer.removeprefix("- ").removeprefix(f"{QUESTIONS[0]} "),
        max(aucs, default=None),
    )


def in_short(folder: Path, found: Sequence[Entry]) -> InShort:
    """The answers over all audits, as far as their reports say them."""
    finished = [entry for entry in found if entry.state == "finished"]
    left = [entry for entry in found if entry.state != "finished"]
    leaks = [entry for entry in finished if entry.finding.lower().startswith(YES)]
    highest = max(finished, key=lambda entry: entry.leak or 0.0, default=None)
    leak = f"A leak was found in {len(leaks)} of {len(finished)} finished audits."
    if highest and highest.leak is not None:
        leak += f" The highest AUC is {highest.leak:.2f} (a coin has 0.50), in {highest.name}."
    sure = "Each report says it for itself: intervals, runs, and what would have been seen."
    again = f"privaudit run --resume {folder / left[0].name}" if left else ""
    many = f"{len(left)} audit{'s are' if len(left) > 1 else ' is'} not finished: go on with"
    step = Next(again, f"{many} each, or remove it") if left else None
    if step is None and highest:
        step = Next(f"privaudit table {folder / highest.name}", f"read {highest.name} first")
    return InShort(LEAK if leaks else NONE, leak, sure, step, "")


def write_index(folder: Path, found: Sequence[Entry]) -> Path:
    """Write ``index.html`` into the folder: the same list in three orders, without scripts."""
    states: list[State] = ["finished", "unfinished", "damaged"]
    orders = [
        ("Newest first", list(found)),
        ("Highest AUC first", sorted(found, key=lambda e: -(e.leak or 0.0))),
        ("By name", sorted(found, key=lambda e: e.name)),
    ]
    page = render_page(
        "index.html.j2",
        title=f"Audits in {folder.resolve().name}",
        kicker="privaudit index",
        sections=[],
        in_short=in_short(folder, found),
        orders=orders,
        counts=[(state, sum(e.state == state for e in found)) for state in states],
    )
    return RunFolder(folder).write_text(PAGE, page)
