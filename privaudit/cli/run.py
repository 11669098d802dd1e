"""``privaudit run``."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from privaudit.cli.app import app
from privaudit.cli.gate import pass_or_leave
from privaudit.cli.options import (
    Assignments,
    Confirmations,
    Contract,
    DataDir,
    Json,
    Keystore,
    PasswordFile,
    Quiet,
    Rpc,
    scenario_names,
    timestamp,
)
from privaudit.cli.resume import resumable
from privaudit.cli.scenarios import print_dry_run
from privaudit.cli.several import next_line
from privaudit.cli.terminal import Bars
from privaudit.cli.where import HERE, Where, with_where
from privaudit.errors import UserError

if TYPE_CHECKING:
    from privaudit.custody.folder import RunFolder
    from privaudit.evaluation.gate import Gate
    from privaudit.report.content import Content
    from privaudit.scenario.schema import Scenario

KEEP = (
    "Keep the head elsewhere (a mail to yourself, or a public chain: 'privaudit anchor RUN'): only "
    "with it can 'privaudit verify RUN --head HEAD' show that nobody, you included, made the run "
    "again since."
)


@app.command()
@with_where
def run(
    scenario: Annotated[
        str | None,
        typer.Argument(
            help="Name of a bundled scenario, or a TOML file.", autocompletion=scenario_names
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for the run (default: runs/NAME-TIME).")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", help="Go on with the interrupted run in this folder.")
    ] = None,
    data_dir: DataDir = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", help="Number of independent federation runs.")
    ] = None,
    assignments: Assignments = None,
    where: Where = HERE,
    no_ledger: Annotated[
        bool, typer.Option("--no-ledger", help="Keep no reward ledger: ledger.enabled=false.")
    ] = False,
    rpc: Rpc = None,
    keystore: Keystore = None,
    password_file: PasswordFile = None,
    contract: Contract = None,
    permute_all: Annotated[
        int | None,
        typer.Option(
            "--permute-all",
            metavar="N",
            help="Repeat all of it N times with the property permuted over the data.",
        ),
    ] = None,
    gate: Annotated[
        float | None,
        typer.Option(
            "--gate",
            metavar="AUC",
            help="Exit code 1 if a leak above this AUC was found or could not be excluded.",
        ),
    ] = None,
    confirmations: Confirmations = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would take; write nothing.")
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Run an attack benchmark and print the inference-accuracy table.

    \b
    privaudit run                                   quickstart on embedded data
    privaudit run letters --data-dir ~/data         real handwriting
    privaudit run my.toml --set audit.rounds=40     your own scenario
    privaudit run table1 --dry-run                  what would it take?
    privaudit run my.toml --gate 0.6                exit code 1 unless a leak is excluded
    """
    if resume is not None:
        given = (scenario, assignments, out, no_ledger, seeds is not None, permute_all is not None)
        if any(given):
            raise UserError(
                "takes the scenario of the interrupted run as it is",
                where="--resume",
                remedy="leave out SCENARIO, --out, --seeds, --set, --no-ledger and --permute-all",
            )
    overrides = list(assignments or [])
    if seeds is not None:
        overrides.append(f"runs={seeds}")
    if no_ledger:
        overrides.append("ledger.enabled=false")
    with nullcontext() if dry_run else where.early() as early:
        # Long imports, here and below: processes are starting meanwhile.
        from privaudit.ledger.place import Place

        if resume is None:
            resolved = _scenario(scenario or "quickstart", overrides, data_dir)
            folder_path = out or Path("runs") / f"{resolved.name}-{timestamp()}"
        else:
            resolved, folder_path = _scenario_of(resume), resume
        if gate is not None:
            _refuse_gate(resolved, gate)
        place = Place(rpc, keystore, password_file, contract, confirmations)
        place.refuse_without(resolved.ledger.enabled)
        if dry_run:
            print_dry_run(resolved, folder_path, data_dir, where, as_json, permute_all)
            return
        go_on = f"privaudit run --resume {folder_path}{where}"
        with (
            resumable(
                go_on,
                fewer_workers=f"{go_on} --workers 1",
                begun=(folder_path / "scenario.json").is_file,
            ),
            where.open(early) as executor,
        ):
            from privaudit.audit import run_audit

            folder = run_audit(
                resolved,
                folder_path,
                data_dir=data_dir,
                workers=where.workers,
                resume=resume is not None,
                progress=Bars(quiet=quiet),
                device=where.device,
                place=place,
                executor=executor,
                permute_all=permute_all,
            )
    from privaudit.report.content import read_content

    content = read_content(folder)
    answer = None if gate is None or content.nothing_measured else _gate_of(content, gate)
    _print_result(folder, content, as_json, quiet, answer)
    _refuse_unmeasured(folder, content)
    pass_or_leave(answer)


def _scenario(name: str, overrides: list[str], data_dir: Path | None) -> Scenario:
    from privaudit.experiment.each_value import with_each_value
    from privaudit.scenario.load import load_scenario

    return with_each_value(load_scenario(name, overrides), data_dir)


def _scenario_of(folder: Path) -> Scenario:
    from privaudit.custody.folder import RunFolder

    return RunFolder.open(folder).scenario()


def _refuse_gate(scenario: Scenario, threshold: float) -> None:
    from privaudit.evaluation.gate import refuse_gate

    refuse_gate(scenario, threshold)


def _gate_of(content: Content, threshold: float) -> Gate:
    from privaudit.evaluation.gate import gate_of_run

    return gate_of_run(content.scored, content.cells, threshold, content.troubles)


def _refuse_unmeasured(folder: RunFolder, content: Content) -> None:
    """Exit code 1 where nothing was measured, whatever is the cause; the notes have said why."""
    why = content.nothing_measured
    if not why:
        return
    kept = folder.file("failures")
    where = f"; tracebacks: {kept}" if kept.is_dir() else ""
    typer.echo(f"privaudit: {why}{where}", err=True)
    raise typer.Exit(1)


def _print_result(
    folder: RunFolder, content: Content, as_json: bool, quiet: bool, gate: Gate | None
) -> None:
    from privaudit.custody.manifest import noted_head
    from privaudit.report import rebuilt
    from privaudit.report.content import training_summary
    from privaudit.report.next_step import next_of_run
    from privaudit.report.plain import content_tables, verdicts_of
    from privaudit.report.tables import as_text, render
    from privaudit.report.verdict import found_line

    head = noted_head(folder)
    page = folder.file("report", "index.html")
    if as_json:
        cells = json.loads(render(content.cells, "json"))
        found = {
            "run": str(folder.path),
            "report": str(page),
            "head": head,
            "keep": KEEP * bool(head),
        }
        rows = {"rebuilt": rebuilt.long_rows(content.rebuilt)} if content.rebuilt else {}
        gated = {} if gate is None else {"gate": gate.as_json()}
        typer.echo(json.dumps(found | {"cells": cells} | rows | gated))
        return
    shown = "\n\n".join(as_text(frame) for frame in content_tables(content))
    if quiet:
        typer.echo(shown)
        return
    summary = training_summary(content.training)
    if summary:
        typer.echo(summary + "\n")
    typer.echo(shown + "\n")
    for note in content.notes:
        typer.echo(f"- {note}")
    found_in_words = found_line(verdicts_of(content))
    typer.echo(f"\nrun:    {folder.path}\nfound:  {found_in_words}\nreport: {page}")
    typer.echo(next_line(next_of_run(content), page))
    if head:
        typer.echo(f"head:   {head}\n{KEEP}")
