"""``privaudit sweep``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from privaudit.cli.app import app
from privaudit.cli.options import (
    Assignments,
    DataDir,
    Json,
    Quiet,
    scenario_names,
)
from privaudit.cli.scenarios import print_dry_runs
from privaudit.cli.several import folder_of, refuse_unmeasured, tell, worker_processes
from privaudit.cli.terminal import Bars
from privaudit.cli.where import HERE, Where, with_where


@app.command()
@with_where
def sweep(
    scenario: Annotated[
        str,
        typer.Argument(
            help="Name of a bundled scenario, or a TOML file.", autocompletion=scenario_names
        ),
    ],
    over: Annotated[
        str | None,
        typer.Option(
            "--over", metavar="KEY=V1,V2,...", help="Key and values (default: its [sweep])."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder (default: runs/sweep-NAME-TIME); with --resume, its."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on in --out.")] = False,
    data_dir: DataDir = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", help="Independent federation runs per value.")
    ] = None,
    assignments: Assignments = None,
    where: Where = HERE,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would take; write nothing.")
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Run the same audit at several values of one setting.

    \b
    privaudit sweep by-dropout --data-dir ~/data
    privaudit sweep glyphs --over federation.rounds=0,2,8
    privaudit sweep by-dropout --dry-run            what would it take?
    privaudit sweep quickstart --over 'audit.rules=["largest"],["random"]'
    """
    from privaudit.custody.folder import RunFolder
    from privaudit.experiment.each_value import with_each_value
    from privaudit.scenario.load import load_sweep
    from privaudit.studies.sweep import measure_sweep, read_sweep, sweep_plans
    from privaudit.studies.sweep_report import (
        next_of_sweep,
        sweep_json,
        sweep_notes,
        sweep_table,
        write_sweep,
    )

    overrides = [*(assignments or []), *([] if seeds is None else [f"runs={seeds}"])]
    resolved = with_each_value(load_sweep(scenario, overrides, over), data_dir)
    folder_path = folder_of("sweep", resolved.name, out, resume=resume)
    if dry_run:
        print_dry_runs(sweep_plans(resolved), folder_path, data_dir, where, as_json)
        return
    with worker_processes(folder_path, where) as executor:
        measure_sweep(
            resolved,
            folder_path,
            data_dir=data_dir,
            workers=where.workers,
            resume=resume,
            progress=Bars(quiet=quiet),
            device=where.device,
            executor=executor,
        )
    found = read_sweep(folder_path)
    write_sweep(RunFolder(folder_path), found)
    page = folder_path / "report" / "index.html"
    if as_json:
        typer.echo(json.dumps({"report": str(page)} | sweep_json(found), allow_nan=False))
    else:
        notes, step = sweep_notes(found), next_of_sweep(found)
        tell([sweep_table(found)], notes, page, step, quiet=quiet)
    cells = [cell for point in found.points for cell in point.cells]
    refuse_unmeasured(any(cell.auc for cell in cells), (f for c in cells for f in c.failures))
