"""``privaudit doctor``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from privaudit.cli.app import app
from privaudit.cli.options import DataDir, Json
from privaudit.cli.terminal import Bars
from privaudit.errors import UserError


@app.command()
def doctor(
    self_test: Annotated[
        bool,
        typer.Option("--self-test", help="Instead: audit worlds whose truth is known (minutes)."),
    ] = False,
    data_dir: DataDir = None,
    rpc: Annotated[
        str | None, typer.Option("--rpc", metavar="URL", help="Also ask this JSON-RPC node.")
    ] = None,
    audits: Annotated[
        int | None,
        typer.Option("--audits", min=20, help="With --self-test: audits without a leak [200]."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="With --self-test: its seed [1].")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="With --self-test: processes [one per core]."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check this machine, or the measuring machinery itself; exit 1 if something is wrong.

    \b
    privaudit doctor                       versions, cores, memory, data, chain, permissions
    privaudit doctor --self-test           a planted leak is found, an absent one is not
    """
    given = {"--audits": audits, "--seed": seed, "--workers": workers}
    misplaced = {"--data-dir": data_dir, "--rpc": rpc} if self_test else given
    for flag, value in misplaced.items():
        if value is not None:
            remedy = "leave it out" if self_test else "add --self-test"
            raise UserError("does not go with what was asked", where=flag, remedy=remedy)
    if self_test:
        holds = _self_test(audits or 200, 1 if seed is None else seed, workers, as_json)
    else:
        holds = _examine(data_dir, rpc, as_json)
    if not holds:
        raise typer.Exit(1)


def _examine(data_dir: Path | None, rpc: str | None, as_json: bool) -> bool:
    from privaudit.doctor.examine import as_document, as_text, examine, healthy

    findings = examine(data_dir, rpc)
    typer.echo(json.dumps(as_document(findings), indent=1) if as_json else as_text(findings))
    return healthy(findings)


def _self_test(count: int, root: int, workers: int | None, as_json: bool) -> bool:
    from privaudit.machine import cores
    from privaudit.randomness import Seed
    from privaudit.selftest.run import as_document, as_table, self_test

    seed = Seed(root)
    checks = self_test(count=count, seed=seed, workers=workers or cores(), progress=Bars())
    document = as_document(checks, count=count, seed=seed)
    typer.echo(json.dumps(document, indent=1) if as_json else as_table(checks))
    return all(check.holds for check in checks)
