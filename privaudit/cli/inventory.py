"""``privaudit list``."""

from __future__ import annotations

import json

import typer

from privaudit.cli.app import app
from privaudit.cli.options import DataDir, Json


@app.command(name="list")
def list_everything(data_dir: DataDir = None, as_json: Json = False) -> None:
    """List scenarios, data sets (and whether they are here), attacks and models."""
    from privaudit.inventory import inventory, inventory_text

    found = inventory(data_dir)
    typer.echo(json.dumps(found, indent=1) if as_json else inventory_text(found))
