"""``privaudit compare``: did the leak change from one audit to the next?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from privaudit.cli.app import app
from privaudit.cli.gate import pass_or_leave
from privaudit.cli.several import one_run

First = Annotated[Path, typer.Argument(metavar="FIRST", help="Folder of a run: before.")]
Second = Annotated[Path, typer.Argument(metavar="SECOND", help="Folder of a run: after.")]


@app.command()
def compare(
    first: First,
    second: Second,
    table_format: Annotated[
        str, typer.Option("--format", help="github, markdown, csv, json, latex or html.")
    ] = "github",
    gate: Annotated[
        bool,
        typer.Option("--gate", help="Exit code 1 if the second leaks more in some cell."),
    ] = False,
) -> None:
    """Set two audits of the same questions side by side: before and after a change.

    \b
    privaudit compare runs/undefended runs/defended
    privaudit compare runs/last-week runs/this-week --gate
    """
    import pandas as pd

    from privaudit.report.html import table_page
    from privaudit.report.tables import as_text, check_format, markdown_text
    from privaudit.studies import comparison as said

    check_format(table_format)
    found = said.read_comparison(one_run(first), one_run(second))
    gated = said.gate_of_comparison(found) if gate else None
    rows, notes = said.comparison_json(found), [said.answer(found), *said.notes(found)]
    if table_format == "json":
        document: dict[str, Any] = {"answer": notes[0], "cells": rows}
        document |= {"gate": gated.as_json()} if gated else {}
        typer.echo(json.dumps(document, allow_nan=False))
    elif table_format == "csv":
        typer.echo(pd.DataFrame(rows).to_csv(index=False, lineterminator="\n").rstrip("\n"))
    elif table_format == "html":
        title = f"{first.name} and {second.name}"
        frame = said.comparison_table(found)
        typer.echo(table_page(title, [frame], notes, caption=said.CAPTION).rstrip("\n"))
    else:
        typer.echo(as_text(said.comparison_table(found), table_format).rstrip("\n"))
        if table_format in ("github", "markdown"):
            typer.echo()
            for note in notes:
                typer.echo(f"- {markdown_text(note) if table_format == 'markdown' else note}")
    pass_or_leave(gated)
