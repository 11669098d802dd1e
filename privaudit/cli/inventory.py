"""``privaudit list``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from privaudit.cli.app import app
from privaudit.cli.options import DataDir, Json

HINT = (
    "privaudit list NAME shows one of them with its options, "
    "privaudit list data (attacks, models) all of a kind."
)


@app.command(name="list")
def list_everything(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="One of them, or scenarios, data, attacks or models."
        ),
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """List scenarios, data sets (and whether they are here), attacks and models.

    \b
    privaudit list attacks     all attacks and their options
    privaudit list csv         one data set and its options
    """
    from privaudit import inventory as i

    found = i.inventory(data_dir)
    if name is not None:
        found = i.chosen(found, name)
    if as_json:
        typer.echo(json.dumps(i.with_options(found), indent=1, default=repr))
    elif name is None:
        typer.echo(f"{i.inventory_text(found)}\n\n{HINT}")
    else:
        typer.echo(i.options_text(i.with_options(found)))
