"""``privaudit compare``: did the leak change from one audit to the next?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from privaudit.cli.app import app
from privaudit.cli.gate import pass_or_leave
from privaudit.cli.options import run_folders
from privaudit.cli.several import one_run
from privaudit.cli.tables import Shown, TableFormat, show

First = Annotated[
    Path,
    typer.Argument(metavar="FIRST", help="Folder of a run: before.", autocompletion=run_folders),
]
Second = Annotated[
    Path,
    typer.Argument(metavar="SECOND", help="Folder of a run: after.", autocompletion=run_folders),
]


@app.command()
def compare(
    first: First,
    second: Second,
    table_format: TableFormat = "github",
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

    from privaudit.report.tables import check_format
    from privaudit.studies import comparison as said
    from privaudit.studies.in_short import of_comparison

    check_format(table_format)
    found = said.read_comparison(one_run(first), one_run(second))
    gated = said.gate_of_comparison(found) if gate else None
    rows = said.comparison_json(found)
    document: dict[str, Any] = {"answer": said.answer(found), "cells": rows}
    document |= {"gate": gated.as_json()} if gated else {}
    shown = Shown(
        title=f"{first.name} and {second.name}",
        caption=said.CAPTION,
        frames=lambda: [said.comparison_table(found)],
        notes=lambda: [said.answer(found), *said.notes(found)],
        csv=lambda: pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"),
        json=lambda: json.dumps(document, allow_nan=False),
        verb="compare",
        in_short=lambda: of_comparison(found, said.answer(found), (str(first), str(second))),
    )
    show(shown, table_format)
    pass_or_leave(gated)
