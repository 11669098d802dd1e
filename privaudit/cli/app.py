"""The application object, its entry point, and how it ends."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from privaudit import __version__
from privaudit.cli.terminal import errors
from privaudit.errors import UserError

app = typer.Typer(
    name="privaudit",
    help="Measure what a passive participant of federated learning can infer about the others.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


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
        leave_now(0)


def leave_now(code: int) -> None:
    """Leave without waiting for worker processes or for a closed pipe."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - closed by the exit itself
    os._exit(code)
