"""``privaudit ledger`` and ``privaudit verify``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from privaudit.cli.app import app
from privaudit.cli.options import DataDir, Json, Rpc, RunPath
from privaudit.cli.several import one_run


@app.command()
def ledger(
    run_path: RunPath,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="One row per ledger round and client, in wei.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print the rewards of a run by client and round, beside its audit entries."""
    from privaudit.custody.folder import RunFolder
    from privaudit.ledger.statement import read_statement
    from privaudit.ledger.tables import payments_csv

    statement = read_statement(RunFolder.open(one_run(run_path)))
    if as_json:
        typer.echo(json.dumps(statement.as_json(), indent=1))
    else:
        typer.echo(
            payments_csv(statement.pages, statement.colluders) if as_csv else statement.text(),
            nl=not as_csv,
        )


@app.command()
def verify(
    run_path: RunPath,
    rpc: Rpc = None,
    head: Annotated[
        str | None,
        typer.Option("--head", help="Head of the audit chain that you noted elsewhere."),
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Check a run's files, hashes, rewards and ledger; exit 1 if anything does not match."""
    from privaudit.verify.run import verdict_text, verify_run

    verdict = verify_run(one_run(run_path), rpc=rpc, head=head, data_dir=data_dir)
    typer.echo(json.dumps(verdict.as_json(), indent=1) if as_json else verdict_text(verdict))
    if not verdict.holds:
        raise typer.Exit(1)
