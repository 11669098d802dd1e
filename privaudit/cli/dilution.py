"""``privaudit dilution``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from privaudit.cli.app import app
from privaudit.cli.gate import Bare, pass_or_leave
from privaudit.cli.options import (
    Assignments,
    DataDir,
    Json,
    Quiet,
    scenario_names,
    whole_numbers,
)
from privaudit.cli.scenarios import print_dry_runs
from privaudit.cli.several import folder_of, refuse_unmeasured_dilution, tell, worker_processes
from privaudit.cli.terminal import Bars
from privaudit.cli.where import HERE, Where, with_where


@app.command()
@with_where
def dilution(
    scenario: Annotated[
        str,
        typer.Argument(
            help="Name of a bundled scenario, or a TOML file.", autocompletion=scenario_names
        ),
    ] = "glyphs",
    participants: Annotated[
        str, typer.Option("--participants", help="Numbers of participants K, increasing.")
    ] = "2,3,5,9,17,33",
    threshold: Annotated[
        float,
        typer.Option(
            "--threshold", help="AUC below which (and above 1 - which) the attacker is harmless."
        ),
    ] = 0.6,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder (default: runs/dilution-NAME-TIME); with --resume, its."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on in --out.")] = False,
    data_dir: DataDir = None,
    seeds: Annotated[
        int, typer.Option("--seeds", help="Runs per K for the single-round attacker.")
    ] = 3,
    whole_runs: Annotated[
        int,
        typer.Option(
            "--whole-runs",
            help="Runs per K for the whole-run attacker: each federation with the property and "
            "without it.",
        ),
    ] = 12,
    whole_rounds: Annotated[
        int, typer.Option("--whole-rounds", help="Rounds the whole-run attacker adds up.")
    ] = 20,
    assignments: Assignments = None,
    gate: Bare = False,
    where: Where = HERE,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would take; write nothing.")
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Find out how many honest clients dilute the attacker.

    \b
    privaudit dilution glyphs --participants 2,3,5,9,17,33
    privaudit dilution glyphs --dry-run             what would it take?
    privaudit dilution income --data-dir ~/data --seeds 5 --threshold 0.65 --gate
    """
    from privaudit.custody.folder import RunFolder
    from privaudit.evaluation.gate import refuse_gate
    from privaudit.experiment.each_value import with_each_value
    from privaudit.scenario.load import load_scenario
    from privaudit.studies.dilution import dilution_plans, measure_dilution
    from privaudit.studies.dilution_curves import check_harmless_threshold, read_dilution
    from privaudit.studies.dilution_report import (
        all_answers,
        all_notes,
        all_tables,
        dilution_json,
        next_of_dilution,
        write_dilution,
    )
    from privaudit.studies.gates import gate_of_dilution

    resolved = with_each_value(load_scenario(scenario, assignments or []), data_dir)
    folder_path = folder_of("dilution", resolved.name, out, resume=resume)
    check_harmless_threshold(threshold)
    if gate:
        refuse_gate(resolved, threshold)
    numbers = whole_numbers(participants, "--participants")
    if dry_run:
        plans = dilution_plans(
            resolved,
            participants=numbers,
            runs=seeds,
            whole_runs=whole_runs,
            whole_rounds=whole_rounds,
        )
        print_dry_runs(plans, folder_path, data_dir, where, as_json)
        return
    with worker_processes(folder_path, where) as executor:
        measure_dilution(
            resolved,
            folder_path,
            participants=numbers,
            runs=seeds,
            whole_runs=whole_runs,
            whole_rounds=whole_rounds,
            data_dir=data_dir,
            workers=where.workers,
            resume=resume,
            progress=Bars(quiet=quiet),
            device=where.device,
            executor=executor,
        )
    found = read_dilution(folder_path, threshold=threshold)
    refuse_unmeasured_dilution(found)
    write_dilution(RunFolder(folder_path), found, threshold=threshold)
    page = folder_path / "report" / "index.html"
    answer = gate_of_dilution(found.curves, threshold) if gate else None
    if as_json:
        gated = {} if answer is None else {"gate": answer.as_json()}
        typer.echo(json.dumps({"report": str(page), "curves": dilution_json(found)} | gated))
        pass_or_leave(answer)
        return
    notes = [*all_answers(found, threshold), *all_notes(found, threshold)]
    step = next_of_dilution(folder_path, found, threshold)
    tell(all_tables(found), notes, page, step, quiet=quiet)
    pass_or_leave(answer)
