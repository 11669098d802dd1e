"""``privaudit demo``: a leak, how more clients dilute it, and what a defence makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from privaudit.cli.app import app
from privaudit.cli.options import Quiet, timestamp
from privaudit.cli.several import worker_processes
from privaudit.cli.terminal import Bars

AFTER = (
    "privaudit run quickstart                      the main job: three properties, table, report",
    "privaudit dilution quickstart                 how many honest clients are enough?",
    "privaudit policies policies-glyphs            which protection, at what price?",
    "privaudit new my.toml --from glyphs           your own data and model: docs/tutorial.md",
)


@app.command()
def demo(
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the run.")] = None,
    quiet: Quiet = False,
) -> None:
    """See in half a minute what a participant learns, what dilutes it and what hides it.

    \b
    privaudit demo
    privaudit demo --out runs/demo
    """
    folder = out or Path("runs") / f"demo-{timestamp()}"
    with worker_processes(folder) as executor:
        from privaudit.audit import run_audit
        from privaudit.scenario.load import load_scenario

        run = run_audit(
            load_scenario("demo", []), folder, progress=Bars(quiet=quiet), executor=executor
        )
    from privaudit.report.content import read_content
    from privaudit.studies.demo import steps

    for number, (title, said) in enumerate(steps(read_content(run)), start=1):
        typer.echo(f"{number}. {title}: {said}.")
    typer.echo(f"\nreport: {folder / 'report' / 'index.html'}")
    if not quiet:
        typer.echo("next:   " + "\n        ".join(AFTER))
