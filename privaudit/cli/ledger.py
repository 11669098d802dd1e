"""``privaudit ledger``, ``verify``, ``anchor`` and ``claim``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from privaudit.cli.app import app
from privaudit.cli.options import (
    Confirmations,
    DataDir,
    Json,
    Keystore,
    PasswordFile,
    Rpc,
    RunPath,
)
from privaudit.cli.several import one_run

if TYPE_CHECKING:
    from privaudit.custody.folder import RunFolder


@app.command()
def ledger(
    run_path: RunPath,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="One row per ledger round and client, in wei.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print the rewards of a run by client and round, beside its audit entries.

    \b
    privaudit ledger runs/NAME
    privaudit ledger runs/NAME --csv > rewards.csv
    """
    from privaudit.ledger.statement import read_statement
    from privaudit.ledger.tables import payments_csv

    statement = read_statement(_folder(run_path))
    if as_json:
        typer.echo(json.dumps(statement.as_json(), indent=1))
    else:
        typer.echo(
            payments_csv(statement.pages, statement.colluders) if as_csv else statement.text(),
            nl=not as_csv,
        )


def _folder(run_path: Path) -> RunFolder:
    """A run or a judged live run."""
    from privaudit.custody.folder import RunFolder
    from privaudit.evaluation.live_folder import is_live

    return RunFolder(run_path) if is_live(run_path) else RunFolder.open(one_run(run_path))


@app.command()
def verify(
    run_path: RunPath,
    rpc: Rpc = None,
    head: Annotated[
        str | None,
        typer.Option("--head", help="Head of the audit chain that you noted elsewhere."),
    ] = None,
    anchor_rpc: Annotated[
        str | None,
        typer.Option(
            "--anchor-rpc", metavar="URL", help="Node of the chain on which the head was anchored."
        ),
    ] = None,
    anchor_tx: Annotated[
        str | None,
        typer.Option(
            "--anchor-tx",
            metavar="HASH",
            help="The transaction that did, noted elsewhere (default: as the run says).",
        ),
    ] = None,
    data_dir: DataDir = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="Of a live federation: attack its traces again with package.module:Class.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a run's files, hashes, rewards and ledger; exit 1 if anything does not match.

    \b
    privaudit verify runs/NAME --head 3f0c...                    against a head you kept
    privaudit verify runs/NAME --anchor-rpc http://HOST:8545     against an anchor
    privaudit verify runs/LIVE --model my_app.task:Net           scores, too, from the traces
    """
    from privaudit.evaluation.live_folder import is_live
    from privaudit.verify.run import verify_run
    from privaudit.verify.verdict import verdict_text

    verdict = verify_run(
        run_path if is_live(run_path) else one_run(run_path),
        rpc=rpc,
        head=head,
        data_dir=data_dir,
        anchor_rpc=anchor_rpc,
        anchor_tx=anchor_tx,
        model=model,
    )
    typer.echo(json.dumps(verdict.as_json(), indent=1) if as_json else verdict_text(verdict))
    if not verdict.holds:
        raise typer.Exit(1)


@app.command()
def anchor(
    run_path: RunPath,
    rpc: Annotated[
        str, typer.Option("--rpc", metavar="URL", help="JSON-RPC node of the chain to anchor on.")
    ],
    keystore: Keystore = None,
    password_file: PasswordFile = None,
    confirmations: Confirmations = 1,
    as_json: Json = False,
) -> None:
    """Put the head of a run's embedded ledger on a real chain, signed by the keystore's auditor.

    Who runs the audit cannot make it again afterwards without being seen.

    \b
    privaudit anchor runs/NAME --rpc http://127.0.0.1:8545 --keystore ~/keys
    privaudit anchor runs/NAME --rpc https://HOST/KEY --keystore ~/keys --confirmations 12
    """
    from privaudit.ledger.anchor_note import utc
    from privaudit.ledger.anchoring import anchor_run
    from privaudit.ledger.place import Place

    folder = _folder(run_path)
    found = anchor_run(folder, Place(rpc, keystore, password_file, None, confirmations))
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    if not found["sent"]:
        typer.echo("This account has anchored this head already; nothing was sent.")
    typer.echo(
        f"head:        {found['head']}\n"
        f"account:     {found['sender']} (auditor)\n"
        f"transaction: {found['transaction']}\n"
        f"block:       {found['block_number']} of chain {found['chain_id']}, "
        f"{utc(found['block_time'])}\n"
        "Tell account and transaction to whoever will verify: "
        f"privaudit verify {folder.path} --anchor-rpc URL --anchor-tx {found['transaction']}"
    )


@app.command()
def claim(
    run_path: RunPath,
    client: Annotated[
        list[int], typer.Option("--client", metavar="ID", help="Number of a client; any number of.")
    ],
    rpc: Rpc = None,
    keystore: Keystore = None,
    password_file: PasswordFile = None,
    confirmations: Confirmations = 1,
    as_json: Json = False,
) -> None:
    """Pay out to clients of cohorts above 256 what a run's reward root grants them.

    \b
    privaudit claim runs/NAME --client 7 --client 12
    privaudit claim runs/NAME --client 7 --rpc http://127.0.0.1:8545 --keystore ~/keys
    """
    from dataclasses import asdict

    from privaudit.custody.folder import RunFolder
    from privaudit.ledger.claiming import claim_rewards
    from privaudit.ledger.place import Place

    folder = RunFolder.open(one_run(run_path))
    place = Place(rpc, keystore, password_file, None, confirmations)
    found = claim_rewards(folder, client, place)
    if as_json:
        typer.echo(json.dumps({"claims": [asdict(claimed) for claimed in found]}, indent=1))
        return
    for one in found:
        said = f"{one.claimed:,} wei claimed" if one.claimed else "nothing to claim"
        said += f", {one.paid:,} wei paid to {one.address}" if one.paid else ""
        typer.echo(f"client {one.client}: {said}; granted in all: {one.cumulative:,} wei")
