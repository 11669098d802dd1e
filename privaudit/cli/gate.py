"""``--gate``: exit code 1 where a leak was found, or could not be excluded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from privaudit.evaluation.gate import Gate

Bare = Annotated[
    bool,
    typer.Option(
        "--gate", help="Exit code 1 if a leak above it was found or could not be excluded."
    ),
]


def pass_or_leave(gate: Gate | None) -> None:
    """One line on stderr, and exit code 1 unless the gate is passed."""
    if gate is None:
        return
    typer.echo(f"gate: {gate.line.rstrip('.')}", err=True)
    if not gate.passed:
        raise typer.Exit(1)
