"""``privaudit attack``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from privaudit.cli.app import app
from privaudit.cli.members import ask_for_members
from privaudit.cli.options import Json, key_values
from privaudit.cli.properties import ask_for_properties
from privaudit.errors import UserError, unknown_name

MEMBERSHIP, RECONSTRUCTION = "membership", "reconstruction"
GAMES = {"property": "magnitude-stack", MEMBERSHIP: "membership-stack"}
"""Game -> the attack that is run unless the user says."""


@app.command()
def attack(
    trace: Annotated[Path, typer.Argument(metavar="TRACE", help="Folder of a trace.")],
    auxiliary: Annotated[
        Path,
        typer.Option(
            "--auxiliary",
            help="The adversary's records, .npz: inputs, labels, one 0/1 array per property.",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="Model of the federation: package.module:Class (default: the bundled one that "
            "the trace states).",
        ),
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option(
            "--option", metavar="KEY=VALUE", help="Argument of the model, e.g. num_classes=10."
        ),
    ] = None,
    game: Annotated[
        str,
        typer.Option("--game", help="What is asked: property, or membership of --candidates."),
    ] = "property",
    candidates: Annotated[
        Path | None,
        typer.Option(
            "--candidates",
            help="Records asked about in the game membership, .npz: inputs, labels, and, to be "
            "judged by, member.",
        ),
    ] = None,
    properties: Annotated[
        list[str] | None,
        typer.Option("--property", help="Which property to infer (default: all in the file)."),
    ] = None,
    attacks: Annotated[
        list[str] | None,
        typer.Option(
            "--attack",
            help="Which attack to run (default: magnitude-stack; on membership membership-stack).",
        ),
    ] = None,
    rules: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Rule of the federation, e.g. batch_size=32; goes before what the trace states.",
        ),
    ] = None,
    attack_options: Annotated[
        list[str] | None,
        typer.Option(
            "--attack-option",
            metavar="ATTACK.KEY=VALUE",
            help="Option of an attack, e.g. magnitude-stack.share=0.2.",
        ),
    ] = None,
    references: Annotated[
        int,
        typer.Option(
            "--references",
            help="Made-up federations of each kind to set the trace beside, where the property "
            "stays; 0: scores only.",
        ),
    ] = 19,
    held: Annotated[
        int | None,
        typer.Option(
            "--held",
            help="Records that each honest client holds, where the property stays (default: as "
            "many as in the file).",
        ),
    ] = None,
    shadows: Annotated[
        int, typer.Option("--shadows", help="Shadow batches of each kind per round.")
    ] = 8,
    seed: Annotated[int, typer.Option("--seed", help="Of everything that is drawn.")] = 1,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Score also where the rules do not explain what the adversary sent."
        ),
    ] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="One row per property, attack and round.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Score a trace that any trainer wrote: when was a property there, or who was trained on?

    \b
    privaudit attack my-trace --auxiliary mine.npz --model my_models:Net
    privaudit attack my-trace --auxiliary mine.npz --model my_models:Net \\
        --property smoker --set lr=0.1 --set persistent=true
    privaudit attack my-trace --auxiliary mine.npz --game membership --candidates asked.npz

    No ground truth is needed. Of a property that comes and goes (persistent=false) the scores say
    where it looks present; one that stays (persistent=true) gets yes, no or "cannot say" with
    p-values. Of each candidate the score says whether it looks trained on. See docs/trace.md for
    the files. It is refused where the rules do not explain what the adversary sent itself
    (privaudit check).
    """
    if game == RECONSTRUCTION:
        raise UserError(
            "is not asked of a trace of one's own",
            where=f"--game {game}",
            remedy="use it in a scenario (privaudit run reconstruction), where the truth is known",
        )
    if game not in GAMES:
        raise unknown_name("game", game, GAMES, where="--game")
    chosen = list(dict.fromkeys(attacks or [GAMES[game]]))
    given: dict[str, Any] = {
        "form": "json" if as_json else "csv" if as_csv else "text",
        "model": model,
        "model_options": key_values(options, "--option"),
        "rules": key_values(rules, "--set"),
        "seed": seed,
        "force": force,
        "options": _of_attacks(attack_options, chosen),
    }
    if game == MEMBERSHIP:
        asked = _asked_about(candidates, properties)
        ask_for_members(trace, auxiliary, asked, chosen, **given)
        return
    if candidates is not None:
        raise UserError(
            "are asked about in the game membership only",
            where="--candidates",
            remedy="say --game membership",
        )
    given |= {"properties": properties or [], "shadows": shadows, "held": held}
    ask_for_properties(trace, auxiliary, chosen, references=references, **given)


def _asked_about(candidates: Path | None, properties: list[str] | None) -> Path:
    """The candidates of the game membership, which knows no properties."""
    if properties:
        raise UserError(
            "is asked about in the game property only", where="--property", remedy="leave it out"
        )
    if candidates is None:
        raise UserError(
            "whose membership?", where="--game membership", remedy="give --candidates FILE"
        )
    return candidates


def _of_attacks(options: list[str] | None, attacks: list[str]) -> dict[str, dict[str, Any]]:
    """Attack -> its options."""
    found: dict[str, dict[str, Any]] = {}
    for key, value in key_values(options, "--attack-option").items():
        attack, dot, name = key.partition(".")
        if not dot:
            raise UserError(f"'{key}' is not attack.option", where="--attack-option")
        if attack not in attacks:
            raise unknown_name("attack", attack, attacks, where="--attack-option")
        found.setdefault(attack, {})[name] = value
    return found
