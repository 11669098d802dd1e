"""``privaudit table`` and ``privaudit report``: what was found, printed or written again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from privaudit.cli.app import app
from privaudit.cli.options import run_folders
from privaudit.cli.several import refuse_unmeasured_dilution
from privaudit.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from privaudit.report.in_short import InShort

FoundPath = Annotated[
    Path,
    typer.Argument(
        metavar="RUN",
        help="Folder of a run, a sweep, a dilution, policies, canaries or a live federation.",
        autocompletion=run_folders,
    ),
]


TableFormat = Annotated[
    str, typer.Option("--format", help="github, markdown, csv, json, latex or html.")
]


@dataclass(frozen=True)
class Shown:
    """Tables in every form."""

    title: str
    caption: str
    frames: Callable[[], Sequence[pd.DataFrame]]
    notes: Callable[[], Sequence[str]]
    csv: Callable[[], str]
    json: Callable[[], str]
    verb: str = field(default="table", kw_only=True)
    in_short: Callable[[], InShort] | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Found(Shown):
    """What lies in a folder, and how to write its report again."""

    write: Callable[[], None]
    with_accuracy: Callable[[], tuple[pd.DataFrame, str]] | None = None


@app.command()
def table(
    run_path: FoundPath,
    table_format: TableFormat = "github",
    accuracy: Annotated[
        bool,
        typer.Option(
            "--accuracy", help="Of a run: columns of accuracy, too (csv and json have them anyway)."
        ),
    ] = False,
) -> None:
    """Print the table of a run, a sweep, a dilution measurement or canaries.

    \b
    privaudit table runs/NAME
    privaudit table runs/NAME --accuracy
    privaudit table runs/NAME --format latex > table.tex
    privaudit table runs/NAME --format html > table.html
    """
    from privaudit.report.tables import check_format

    check_format(table_format)
    found = _found(run_path)
    if not accuracy:
        show(found, table_format)
        return
    if found.with_accuracy is None:
        raise UserError(
            "only the table of a single run has accuracy, where it has an AUC",
            where="--accuracy",
            remedy="name one of the runs in the folder, or leave it out",
        )
    made, note = found.with_accuracy()
    widened = replace(found, frames=lambda: [made], notes=lambda: [note, *found.notes()])
    show(widened, table_format)


def show(shown: Shown, table_format: str) -> None:
    """Print tables, and below those for people their notes."""
    from privaudit.report.html import table_page
    from privaudit.report.tables import as_text, markdown_text

    if table_format in ("csv", "json"):
        typer.echo((shown.csv if table_format == "csv" else shown.json)().rstrip("\n"))
    elif table_format == "html":
        short = shown.in_short() if shown.in_short else None
        page = table_page(
            shown.title,
            shown.frames(),
            shown.notes(),
            caption=shown.caption,
            verb=shown.verb,
            in_short=short,
        )
        typer.echo(page.rstrip("\n"))
    else:
        texts = (as_text(frame, table_format).rstrip("\n") for frame in shown.frames())
        typer.echo("\n\n".join(texts))
        if table_format in ("github", "markdown"):
            typer.echo()
            for note in shown.notes():
                typer.echo(f"- {markdown_text(note) if table_format == 'markdown' else note}")


@app.command()
def report(run_path: FoundPath) -> None:
    """Write a report again from its records.

    \b
    privaudit report runs/NAME
    privaudit report runs/dilution-NAME
    """
    _found(run_path).write()
    typer.echo(run_path / "report" / "index.html")


def _found(path: Path) -> Found:
    from privaudit.studies.kinds import kind_of

    makers = {
        "run": _run,
        "sweep": _sweep,
        "dilution": _dilution,
        "policies": _policies,
        "canaries": _canaries,
        "live": _live,
    }
    return makers[kind_of(path)](path)


def _run(path: Path) -> Found:
    from privaudit.custody.folder import RunFolder
    from privaudit.report import rebuilt
    from privaudit.report.content import read_content
    from privaudit.report.plain import content_tables
    from privaudit.report.tables import accuracy_note, render, wide_table
    from privaudit.report.words import units_of
    from privaudit.report.write import write_report

    folder = RunFolder.open(path)
    content = read_content(folder)
    return Found(
        title=content.title,
        caption="With 95 % interval, by share of the parameters",
        frames=lambda: content_tables(content),
        notes=lambda: content.notes,
        csv=lambda: _both(
            content.cells and render(content.cells, "csv"),
            content.rebuilt and rebuilt.as_csv(content.rebuilt),
        ),
        json=lambda: json.dumps(
            (json.loads(render(content.cells, "json")) if content.cells else [])
            + rebuilt.long_rows(content.rebuilt)
        ),
        write=lambda: write_report(folder),
        with_accuracy=(
            lambda: (
                wide_table(content.cells, accuracy=True),
                accuracy_note(content.cells, units_of(content.scenario)),
            )
        )
        if content.cells
        else None,
    )


def _both(*texts: Any) -> str:
    return "\n".join(text for text in texts if text)


def _sweep(path: Path) -> Found:
    from privaudit.custody.folder import RunFolder
    from privaudit.studies import sweep_report as said
    from privaudit.studies.sweep import read_sweep

    found = read_sweep(path)
    return Found(
        title=found.scenario.title or found.scenario.name,
        caption=f"AUC with 95 % interval, by {found.key}",
        frames=lambda: [said.sweep_table(found)],
        notes=lambda: [*said.sweep_answer(found), *said.sweep_notes(found)],
        csv=lambda: said.sweep_csv(found),
        json=lambda: json.dumps(said.sweep_json(found), allow_nan=False),
        write=lambda: said.write_sweep(RunFolder(path), found),
    )


def _policies(path: Path) -> Found:
    from privaudit.custody.folder import RunFolder
    from privaudit.studies import policies_report as said
    from privaudit.studies.policies import read_policies

    found = read_policies(path)
    return Found(
        title=found.scenario.title or found.scenario.name,
        caption=said.CAPTION,
        frames=lambda: [said.policies_table(found)],
        notes=lambda: [*said.policies_answer(found), *said.policies_notes(found)],
        csv=lambda: said.policies_csv(found),
        json=lambda: json.dumps(said.policies_json(found), allow_nan=False),
        write=lambda: said.write_policies(RunFolder(path), found),
    )


def _dilution(path: Path) -> Found:
    from privaudit.custody.folder import RunFolder
    from privaudit.studies import dilution_report as said
    from privaudit.studies.dilution_curves import read_dilution

    threshold = said.written_threshold(RunFolder(path))
    found = read_dilution(path, threshold=threshold)
    refuse_unmeasured_dilution(found)
    return Found(
        title=said.TITLE,
        caption=said.CAPTION,
        frames=lambda: said.all_tables(found),
        notes=lambda: [*said.all_answers(found, threshold), *said.all_notes(found, threshold)],
        csv=lambda: said.dilution_csv(found),
        json=lambda: json.dumps(said.dilution_json(found), allow_nan=False),
        write=lambda: said.write_dilution(RunFolder(path), found, threshold=threshold),
    )


def _canaries(path: Path) -> Found:
    from privaudit.canaries.words import notes
    from privaudit.custody.folder import RunFolder
    from privaudit.studies import canaries_report as said
    from privaudit.studies.canaries import read_canaries

    found = read_canaries(path)
    return Found(
        title=said.TITLE,
        caption=said.CAPTION,
        frames=lambda: [said.frame(found)],
        notes=lambda: [*said.answers(found), *notes(found)],
        csv=lambda: said.canaries_csv(found),
        json=lambda: json.dumps(said.canaries_json(found), allow_nan=False),
        write=lambda: said.write_canaries(RunFolder(path)),
    )


def _live(path: Path) -> Found:
    from privaudit.custody.folder import RunFolder
    from privaudit.evaluation.live_folder import read_live
    from privaudit.report import live as said

    folder = RunFolder(path)
    found = read_live(folder)
    return Found(
        title=found.settings.title,
        caption=said.CAPTION,
        frames=lambda: [said.live_table(found)],
        notes=lambda: said.live_notes(found),
        csv=lambda: said.live_csv(found),
        json=lambda: json.dumps(said.live_json(found), allow_nan=False),
        write=lambda: said.write_live(folder),
    )
