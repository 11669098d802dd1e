"""``privaudit index``: a page over all audits in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from privaudit.cli.app import app

Audits = Annotated[Path, typer.Argument(metavar="DIR", help="Folder that holds folders of audits.")]


@app.command()
def index(folder: Audits) -> None:
    """Write a page that lists every audit in a folder, with links to their reports.

    \b
    privaudit index runs
    privaudit index /data/audits/2026
    """
    import pandas as pd

    from privaudit.report.tables import as_text
    from privaudit.studies.index import entries, write_index

    found = entries(folder)
    page = write_index(folder, found)
    rows = [
        {
            "audit": entry.name,
            "kind": entry.kind,
            "state": entry.state,
            "highest AUC": "–" if entry.leak is None else f"{entry.leak:.2f}",
        }
        for entry in found
    ]
    typer.echo(as_text(pd.DataFrame(rows, dtype=str)))
    typer.echo(f"\nindex: {page}")
