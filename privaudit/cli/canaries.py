"""``privaudit canaries``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from privaudit.cli.app import app
from privaudit.cli.gate import Bare, pass_or_leave
from privaudit.cli.options import (
    Assignments,
    DataDir,
    Device,
    Json,
    Quiet,
    Workers,
    scenario_names,
    timestamp,
)
from privaudit.cli.several import next_line
from privaudit.cli.terminal import Bars
from privaudit.errors import unknown_name

if TYPE_CHECKING:
    from privaudit.scenario.schema import Scenario
    from privaudit.studies.canaries import Asked


@app.command()
def canaries(
    scenario: Annotated[
        str,
        typer.Argument(
            help="Name of a bundled scenario, or a TOML file.", autocompletion=scenario_names
        ),
    ],
    claimed_epsilon: Annotated[
        float | None,
        typer.Option(
            "--claimed-epsilon",
            help="What is claimed for one client more or less over all rounds (default: what the "
            "scenario's clipping and noise promise).",
        ),
    ] = None,
    delta: Annotated[
        float | None, typer.Option("--delta", help="At which δ (default without a claim: 1e-5).")
    ] = None,
    count: Annotated[
        int, typer.Option("--canaries", metavar="M", help="How many, each in by a fair coin.")
    ] = 1000,
    guesses: Annotated[
        int | None,
        typer.Option(
            "--guesses",
            metavar="R",
            help="How many of them to guess (default: chosen from the claim, beforehand).",
        ),
    ] = None,
    view: Annotated[
        str | None,
        typer.Option(
            "--view",
            help="Who reads: participant, server or both (default: the scenario's threat model "
            "where something is claimed, else both).",
        ),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option("--rounds", min=1, help="Rounds of training (default: federation.rounds)."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder (default: runs/canaries-NAME-TIME).")
    ] = None,
    data_dir: DataDir = None,
    assignments: Assignments = None,
    gate: Bare = False,
    workers: Workers = None,
    device: Device = "cpu",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would take; write nothing.")
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Audit a claim of differential privacy: put canaries into the training, and look for them.

    \b
    privaudit canaries glyphs --set federation.clip_norm=0.5 --set federation.noise=0.5
    privaudit canaries my.toml --claimed-epsilon 2 --delta 1e-5 --gate
    privaudit canaries my.toml --view both --canaries 5000 --dry-run
    """
    from privaudit.canaries.words import in_words
    from privaudit.custody.folder import RunFolder
    from privaudit.experiment.executors.local import Local
    from privaudit.scenario.load import load_scenario
    from privaudit.studies.canaries import Asked, measure_canaries
    from privaudit.studies.canaries_report import next_of_canaries, tables, write_canaries
    from privaudit.studies.gates import gate_of_canaries

    resolved = load_scenario(scenario, assignments or [])
    folder = out or Path("runs") / f"canaries-{resolved.name}-{timestamp()}"
    asked = Asked(count, guesses, claimed_epsilon, delta, rounds, _views(view)).resolved(resolved)
    if dry_run:
        _print_dry_run(resolved, asked, folder, data_dir, as_json)
        return
    with Local() as executor:
        readings = measure_canaries(
            resolved,
            folder,
            asked,
            data_dir=data_dir,
            workers=workers,
            progress=Bars(quiet=quiet),
            device=device,
            executor=executor,
        )
    write_canaries(RunFolder(folder))
    page = folder / "report" / "index.html"
    answer = gate_of_canaries(readings) if gate else None
    if as_json:
        found = {"run": str(folder), "report": str(page)}
        gated = {} if answer is None else {"gate": answer.as_json()}
        readers = {"readers": [reading.as_json() for reading in readings]}
        typer.echo(json.dumps(found | readers | gated, allow_nan=False))
    elif quiet:
        typer.echo(tables(readings))
    else:
        typer.echo(f"{in_words(readings)}\n\nrun:    {folder}\nreport: {page}")
        typer.echo(next_line(next_of_canaries(RunFolder(folder), readings), page))
    pass_or_leave(answer)


def _views(view: str | None) -> tuple[str, ...]:
    from privaudit.studies.canaries import VIEWS

    if view is None:
        return ()
    if view == "both":
        return VIEWS
    if view not in VIEWS:
        raise unknown_name("view", view, [*VIEWS, "both"], where="--view")
    return (view,)


def _print_dry_run(
    scenario: Scenario, asked: Asked, out: Path, data_dir: Path | None, as_json: bool
) -> None:
    from privaudit.experiment.executors.local import Local
    from privaudit.scenario.write import as_toml
    from privaudit.studies.canaries import expected, expected_lines

    with Local() as executor:
        found = expected(scenario, out, asked, data_dir=data_dir, executor=executor)
    if as_json:
        document = {"scenario": scenario.model_dump(mode="json"), "estimate": found}
        typer.echo(json.dumps(document, indent=1, allow_nan=False))
        return
    lines = [as_toml(scenario), "# An estimate, from a few canaries made now; nothing was written:"]
    typer.echo("\n".join([*lines, *(f"# - {line}" for line in expected_lines(found))]))
