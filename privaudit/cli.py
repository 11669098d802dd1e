"""The command line: verbs, options and exit codes; the work is done elsewhere.

Exit codes: 0 done, 1 a check failed, 2 usage or input error (one line on stderr).
"""

from __future__ import annotations

import datetime
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from privaudit import __version__
from privaudit.errors import UserError

T = TypeVar("T")

app = typer.Typer(
    name="privaudit",
    help="Measure what a passive participant of federated learning can infer about the others.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", help="Folder with the data sets (default: $PRIVAUDIT_DATA or a user cache)."
    ),
]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Rpc = Annotated[
    str | None,
    typer.Option(
        "--rpc", metavar="URL", help="JSON-RPC node of the ledger's chain (default: in the folder)."
    ),
]


class Bars:
    """Progress bars on stderr; nothing where stderr is not a terminal."""

    def track(self, items: Iterable[T], *, stage: str, total: int) -> Iterator[T]:
        """Yield the items, counting them on a bar."""
        if not errors.is_terminal:
            yield from items
            return
        columns = (
            TextColumn("{task.description:>10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=errors, transient=True) as bar:
            yield from bar.track(items, description=stage, total=total)


@app.command()
def run(
    scenario: Annotated[
        str | None, typer.Argument(help="Name of a bundled scenario, or a TOML file.")
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
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a value, e.g. audit.rounds=40."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Processes (default: one per core).")
    ] = None,
    no_ledger: Annotated[
        bool, typer.Option("--no-ledger", help="Keep no reward ledger: ledger.enabled=false.")
    ] = False,
    rpc: Rpc = None,
    keystore: Annotated[
        Path | None,
        typer.Option("--keystore", help="With --rpc: folder of admin, coordinator, auditor .json."),
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(
            "--password-file",
            help="Its password (default: $PRIVAUDIT_KEYSTORE_PASSWORD, or a prompt).",
        ),
    ] = None,
    contract: Annotated[
        str | None,
        typer.Option("--contract", help="With --rpc: a deployed ledger (default: deploys one)."),
    ] = None,
    confirmations: Annotated[
        int, typer.Option("--confirmations", min=1, help="Blocks until something is final.")
    ] = 1,
    as_json: Json = False,
) -> None:
    """Run an attack benchmark and print the inference-accuracy table.

    \b
    privaudit run                                   quickstart on embedded data
    privaudit run letters --data-dir ~/data         real handwriting
    privaudit run my.toml --set audit.rounds=40     your own scenario
    """
    from privaudit.audit import run_audit
    from privaudit.experiment.folder import RunFolder
    from privaudit.ledger.place import Place
    from privaudit.scenario.load import load_scenario

    if resume is not None:
        if scenario or assignments or out or seeds is not None or no_ledger:
            raise UserError(
                "takes the scenario of the interrupted run as it is",
                where="--resume",
                remedy="leave out SCENARIO, --out, --seeds, --set and --no-ledger",
            )
        resolved, folder_path = RunFolder.open(resume).scenario(), resume
    else:
        overrides = list(assignments or [])
        if seeds is not None:
            overrides.append(f"runs={seeds}")
        if no_ledger:
            overrides.append("ledger.enabled=false")
        resolved = load_scenario(scenario or "quickstart", overrides)
        folder_path = out or Path("runs") / f"{resolved.name}-{_timestamp()}"
    try:
        folder = run_audit(
            resolved,
            folder_path,
            data_dir=data_dir,
            workers=workers,
            resume=resume is not None,
            progress=Bars(),
            place=Place(rpc, keystore, password_file, contract, confirmations),
        )
    except KeyboardInterrupt:
        errors.print(f"interrupted; go on with: privaudit run --resume {folder_path}")
        _leave_now(130)
    _print_result(folder, as_json)


@app.command()
def dilution(
    scenario: Annotated[
        str, typer.Argument(help="Name of a bundled scenario, or a TOML file.")
    ] = "glyphs",
    participants: Annotated[
        str, typer.Option("--participants", help="Numbers of participants K, increasing.")
    ] = "2,3,5,9,17,33",
    threshold: Annotated[
        float, typer.Option("--threshold", help="AUC below which the attacker is harmless.")
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
        typer.Option("--whole-runs", help="Runs per K for the whole-run attacker, half controls."),
    ] = 12,
    whole_rounds: Annotated[
        int, typer.Option("--whole-rounds", help="Rounds the whole-run attacker adds up.")
    ] = 20,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a value of the scenario."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Processes (default: one per core).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Find out how many honest clients dilute the attacker.

    \b
    privaudit dilution glyphs --participants 2,3,5,9,17,33
    privaudit dilution income --data-dir ~/data --seeds 5 --threshold 0.65
    """
    from privaudit.dilution import (
        check_harmless_threshold,
        curve_json,
        dilution_curves,
        measure_dilution,
    )
    from privaudit.experiment.folder import RunFolder
    from privaudit.report.dilution import conclusions, dilution_table, write_dilution
    from privaudit.report.tables import as_text
    from privaudit.scenario.load import load_scenario

    resolved = load_scenario(scenario, assignments or [])
    folder_path = out or Path("runs") / f"dilution-{resolved.name}-{_timestamp()}"
    check_harmless_threshold(threshold)
    try:
        measure_dilution(
            resolved,
            folder_path,
            participants=_whole_numbers(participants, "--participants"),
            runs=seeds,
            whole_runs=whole_runs,
            whole_rounds=whole_rounds,
            data_dir=data_dir,
            workers=workers,
            resume=resume,
            progress=Bars(),
        )
    except KeyboardInterrupt:
        errors.print(f"interrupted; go on with the same command, --out {folder_path} --resume")
        _leave_now(130)
    curves = dilution_curves(folder_path, threshold=threshold)
    write_dilution(RunFolder(folder_path), curves, threshold=threshold)
    page = folder_path / "report" / "index.html"
    if as_json:
        typer.echo(json.dumps({"report": str(page), "curves": [curve_json(c) for c in curves]}))
        return
    typer.echo(as_text(dilution_table(curves)) + "\n")
    for line in conclusions(curves, threshold):
        typer.echo(f"- {line}")
    typer.echo(f"\nreport: {page}")


@app.command()
def table(
    run_path: RunPath,
    table_format: Annotated[
        str, typer.Option("--format", help="github, csv, latex or html.")
    ] = "github",
) -> None:
    """Print the inference-accuracy table of a run."""
    from privaudit.experiment.folder import RunFolder
    from privaudit.report.tables import render
    from privaudit.report.write import footnotes, read_content

    content = read_content(RunFolder.open(run_path))
    typer.echo(render(content.cells, table_format).rstrip("\n"))
    if table_format == "github":
        typer.echo()
        for note in footnotes(content.scenario, content.cells):
            typer.echo(f"- {note}")


@app.command()
def report(run_path: RunPath) -> None:
    """Write the report of a run again from its records."""
    from privaudit.experiment.folder import RunFolder
    from privaudit.report.write import write_report

    folder = RunFolder.open(run_path)
    write_report(folder)
    typer.echo(folder.file("report", "index.html"))


@app.command()
def ledger(
    run_path: RunPath,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="One row per ledger round and client, in wei.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print the rewards of a run by client and round, beside its audit entries."""
    from privaudit.experiment.folder import RunFolder
    from privaudit.ledger.statement import read_statement
    from privaudit.ledger.tables import payments_csv

    statement = read_statement(RunFolder.open(run_path))
    if as_json:
        typer.echo(json.dumps(statement.as_json(), indent=1))
    else:
        typer.echo(payments_csv(statement.pages) if as_csv else statement.text(), nl=not as_csv)


@app.command()
def verify(
    run_path: RunPath,
    rpc: Rpc = None,
    head: Annotated[
        str | None,
        typer.Option("--head", help="Head of the audit chain that you noted elsewhere."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a run's files, hashes, rewards and ledger; exit 1 if anything does not match."""
    from privaudit.ledger.verification import verdict_text, verify_run

    verdict = verify_run(run_path, rpc=rpc, head=head)
    typer.echo(json.dumps(verdict.as_json(), indent=1) if as_json else verdict_text(verdict))
    if not verdict.holds:
        raise typer.Exit(1)


@app.command(name="list")
def list_everything(data_dir: DataDir = None, as_json: Json = False) -> None:
    """List scenarios, data sets (and whether they are here), attacks and models."""
    from privaudit.inventory import inventory, inventory_text

    found = inventory(data_dir)
    typer.echo(json.dumps(found, indent=1) if as_json else inventory_text(found))


def _version(show: bool) -> None:
    if show:
        typer.echo(f"privaudit {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Measure what a passive participant of federated learning can infer about the others."""


def main() -> None:
    """Entry point: a :class:`UserError` becomes one line and exit code 2."""
    try:
        app()
    except UserError as error:
        errors.print(f"privaudit: {error}", markup=False, style="red")
        sys.exit(2)
    except BrokenPipeError:  # e.g. `privaudit list | head`
        _leave_now(0)


def _print_result(folder: Any, as_json: bool) -> None:
    from privaudit.report.tables import render
    from privaudit.report.write import footnotes, read_content, training_summary

    content = read_content(folder)
    page = folder.file("report", "index.html")
    if as_json:
        cells = json.loads(long_json(content.cells))
        typer.echo(json.dumps({"run": str(folder.path), "report": str(page), "cells": cells}))
        return
    summary = training_summary(content.training)
    if summary:
        typer.echo(summary + "\n")
    typer.echo(render(content.cells, "github") + "\n")
    for note in footnotes(content.scenario, content.cells):
        typer.echo(f"- {note}")
    typer.echo(f"\nrun:    {folder.path}\nreport: {page}")


def long_json(cells: Any) -> str:
    """The long table as JSON, null for what is not estimable."""
    from privaudit.report.tables import long_table

    return str(long_table(cells).to_json(orient="records"))


def _whole_numbers(text: str, where: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise UserError(
            f"'{text}' is not a list of whole numbers", where=where, remedy="e.g. 2,5,9"
        ) from error


def _timestamp() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H-%M-%SZ")


def _leave_now(code: int) -> None:
    """Leave without waiting for worker processes or for a closed pipe."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - closed by the exit itself
    os._exit(code)
