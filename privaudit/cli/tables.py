"""``privaudit table`` and ``privaudit report``: what a run found, printed again."""

from __future__ import annotations

from typing import Annotated

import typer

from privaudit.cli.app import app
from privaudit.cli.options import RunPath


@app.command()
def table(
    run_path: RunPath,
    table_format: Annotated[
        str, typer.Option("--format", help="github, markdown, csv, json, latex or html.")
    ] = "github",
) -> None:
    """Print the inference-accuracy table of a run."""
    from privaudit.experiment.folder import RunFolder
    from privaudit.report.content import read_content
    from privaudit.report.notes import footnotes
    from privaudit.report.tables import markdown_text, render

    content = read_content(RunFolder.open(run_path))
    typer.echo(render(content.cells, table_format).rstrip("\n"))
    if table_format in ("github", "markdown"):
        typer.echo()
        for note in footnotes(content.scenario, content.cells):
            typer.echo(f"- {markdown_text(note) if table_format == 'markdown' else note}")


@app.command()
def report(run_path: RunPath) -> None:
    """Write the report of a run again from its records."""
    from privaudit.experiment.folder import RunFolder
    from privaudit.report.write import write_report

    folder = RunFolder.open(run_path)
    write_report(folder)
    typer.echo(folder.file("report", "index.html"))
