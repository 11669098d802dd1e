"""``privaudit keys``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from privaudit.cli.app import app
from privaudit.cli.options import Json, PasswordFile

ADVICE = (
    "Whoever has a file and the password has the account; who loses either has lost it. "
    "On a chain with fees, send native tokens to all three before a run (to the auditor alone "
    "for 'privaudit anchor')."
)


@app.command()
def keys(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the keystore.")],
    listing: Annotated[
        bool,
        typer.Option("--list", help="List what is there; with a password file, open it."),
    ] = False,
    password_file: PasswordFile = None,
    as_json: Json = False,
) -> None:
    """Make encrypted keys of admin, coordinator and auditor, for --keystore; or list them.

    \b
    privaudit keys ~/keys                            make them; asks for a password twice
    privaudit keys ~/keys --list                     whose accounts are they?
    privaudit keys ~/keys --password-file pw.txt     its first line is the password
    """
    from privaudit.chain.accounts import read_password
    from privaudit.chain.keystore import create_keystore, list_keystore, new_password, refuse_used

    password = None
    if listing:
        if password_file is not None:
            password = read_password(password_file)
    else:
        refuse_used(folder)  # before anybody thinks up a password
        create_keystore(folder, new_password(password_file))
    found = list_keystore(folder, password)
    if as_json:
        rows = [{"role": key.role, "address": key.address, "file": str(key.file)} for key in found]
        typer.echo(json.dumps({"keystore": str(folder), "keys": rows}, indent=1))
        return
    width = max(len(key.role) for key in found)
    for key in found:
        typer.echo(f"{key.role:<{width}}  {key.address or '(the file does not say)'}")
    if not listing:
        typer.echo(f"\nkeystore: {folder}\n{ADVICE}")
