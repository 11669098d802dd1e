"""``privaudit policies``."""

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
def policies(
    scenario: Annotated[
        str,
        typer.Argument(
            help="Name of a bundled scenario, or a TOML file.", autocompletion=scenario_names
        ),
    ] = "policies-glyphs",
    rewards: Annotated[
        str,
        typer.Option(
            "--rewards",
            help="Reward policies to cross the defences with: rules, and what is done to them, as "
            "in RULE-per-N or RULE-pool-N, which settle N rounds at once (docs/ledger.md).",
        ),
    ] = "equal,samples,contribution,aligned-novelty-pool-10",
    most_leak: Annotated[
        float,
        typer.Option("--max-leak", help="AUC that a policy's leak must lie wholly below."),
    ] = 0.6,
    least_accuracy: Annotated[
        float | None,
        typer.Option(
            "--min-accuracy", help="Of the main task (default: 0.05 below that of no defence)."
        ),
    ] = None,
    server: Annotated[
        bool, typer.Option("--server/--no-server", help="Measure the server's view as well.")
    ] = True,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder (default: runs/policies-NAME-TIME); with --resume, its."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on in --out.")] = False,
    data_dir: DataDir = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", help="Independent federation runs.")
    ] = None,
    assignments: Assignments = None,
    where: Where = HERE,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would take; write nothing.")
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Set every defence of a scenario beside every reward rule: leak, promise and price.

    \b
    privaudit policies policies-glyphs
    privaudit policies policies-glyphs --max-leak 0.65 --min-accuracy 0.5
    privaudit policies income --data-dir ~/data --set 'audit.defences=["none","secure-aggregation"]'
    """
    from privaudit.custody.folder import RunFolder
    from privaudit.experiment.each_value import with_each_value
    from privaudit.scenario.load import load_scenario
    from privaudit.studies.policies import Asked, measure_policies, policy_plans, read_policies
    from privaudit.studies.policies_report import (
        next_of_policies,
        policies_answer,
        policies_json,
        policies_notes,
        policies_table,
        write_policies,
    )

    names = tuple(name.strip() for name in rewards.split(",") if name.strip())
    asked = Asked(names, most_leak, least_accuracy)
    overrides = [*(assignments or []), *([] if seeds is None else [f"runs={seeds}"])]
    resolved = with_each_value(load_scenario(scenario, overrides), data_dir)
    folder_path = folder_of("policies", resolved.name, out, resume=resume)
    if dry_run:
        plans = policy_plans(resolved, asked.rewards, server=server)
        print_dry_runs(plans, folder_path, data_dir, where, as_json)
        return
    with worker_processes(folder_path, where) as executor:
        measure_policies(
            resolved,
            folder_path,
            asked=asked,
            server=server,
            data_dir=data_dir,
            workers=where.workers,
            resume=resume,
            progress=Bars(quiet=quiet),
            device=where.device,
            executor=executor,
        )
    found = read_policies(folder_path)
    refuse_unmeasured(any(p.leaks or p.rebuilt for p in found.policies), ())
    write_policies(RunFolder(folder_path), found)
    page = folder_path / "report" / "index.html"
    if as_json:
        typer.echo(json.dumps({"report": str(page), "policies": policies_json(found)}))
        return
    notes = [*policies_answer(found), *policies_notes(found)]
    tell([policies_table(found)], notes, page, next_of_policies(found), quiet=quiet)
