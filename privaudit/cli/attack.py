"""``privaudit attack``."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from privaudit.cli import appeared
from privaudit.cli.app import app
from privaudit.cli.members import ask_for_members
from privaudit.cli.options import Json
from privaudit.cli.own_trace import attack_options_of, settings_lines
from privaudit.cli.terminal import Bars
from privaudit.errors import UserError, unknown_name

if TYPE_CHECKING:
    import pandas as pd

    from privaudit.attack.reference import Standing
    from privaudit.attack.standalone import Case

MEMBERSHIP = "membership"
GAMES = {"property": "magnitude-stack", MEMBERSHIP: "membership-stack"}
"""Game -> the attack that is run unless the user says."""

Found = dict[str, dict[str, list[float]]]
"""Property -> attack -> a score per round."""


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
    the files.
    """
    from privaudit.attack.standalone import open_case

    if game not in GAMES:
        raise unknown_name("game", game, GAMES, where="--game")
    chosen = list(dict.fromkeys(attacks or [GAMES[game]]))
    if game == MEMBERSHIP:
        _refuse_properties(properties)
        if candidates is None:
            raise UserError(
                "whose membership?", where="--game membership", remedy="give --candidates FILE"
            )
        ask_for_members(
            trace,
            auxiliary,
            candidates,
            chosen,
            form="json" if as_json else "csv" if as_csv else "text",
            model=model,
            model_options=_pairs(options, "--option"),
            rules=_pairs(rules, "--set"),
            seed=seed,
            options=_of_attacks(attack_options, chosen),
        )
        return
    if candidates is not None:
        raise UserError(
            "are asked about in the game membership only",
            where="--candidates",
            remedy="say --game membership",
        )
    case = open_case(
        trace,
        auxiliary,
        model=model,
        model_options=_pairs(options, "--option"),
        properties=properties or [],
        rules=_pairs(rules, "--set"),
        shadows=shadows,
        seed=seed,
        options=_of_attacks(attack_options, chosen),
        references=references,
        held=held,
    )
    names = list(case.records.properties)
    found: Found = {}
    standings: dict[str, dict[str, Standing]] = {}
    if case.rules.persistent and references:
        for name in names:
            show = partial(Bars().track, stage=name, total=references)
            found[name], standings[name] = case.standings(name, chosen, show)
    else:
        for name in Bars().track(names, stage="attack", total=len(names)):
            found[name] = case.scores(name, chosen)
    if as_json:
        typer.echo(json.dumps(_document(case, found, standings), indent=1))
    elif as_csv:
        typer.echo(_frame(found).to_csv(index=False, lineterminator="\n"), nl=False)
    else:
        typer.echo(_text(case, found, standings))


def _refuse_properties(properties: list[str] | None) -> None:
    if properties:
        raise UserError(
            "is asked about in the game property only", where="--property", remedy="leave it out"
        )


def _of_attacks(options: list[str] | None, attacks: list[str]) -> dict[str, dict[str, Any]]:
    """Attack -> its options."""
    found: dict[str, dict[str, Any]] = {}
    for key, value in _pairs(options, "--attack-option").items():
        attack, dot, name = key.partition(".")
        if not dot:
            raise UserError(f"'{key}' is not attack.option", where="--attack-option")
        if attack not in attacks:
            raise unknown_name("attack", attack, attacks, where="--attack-option")
        found.setdefault(attack, {})[name] = value
    return found


def _pairs(assignments: list[str] | None, flag: str) -> dict[str, Any]:
    from privaudit.scenario.load import parse_value

    pairs = {}
    for assignment in assignments or []:
        key, equals, value = assignment.partition("=")
        if not equals or not key.strip():
            raise UserError(f"'{assignment}' is not key=value", where=flag)
        pairs[key.strip()] = parse_value(value)
    return pairs


def _frame(found: Found) -> pd.DataFrame:
    import pandas as pd

    rows = [
        {"property": name, "attack": attack, "round": number, "score": score}
        for name, by_attack in found.items()
        for attack, scores in by_attack.items()
        for number, score in enumerate(scores)
    ]
    return pd.DataFrame(rows)


def _document(
    case: Case, found: Found, standings: dict[str, dict[str, Standing]]
) -> dict[str, Any]:
    return {
        "trace": str(case.trace.path),
        "whole": case.trace.whole,
        "rounds": len(case.trace),
        "rules": case.rules.model_dump(),
        "stated_by": case.stated,
        "scores": [
            {"property": name, "attack": attack, "scores": scores}
            for name, by_attack in found.items()
            for attack, scores in by_attack.items()
        ],
        "attack_options": attack_options_of(case, _attacks(found)),
        "appeared": appeared.as_rows(found, case.seed.root) if case.rules.persistent else [],
        "answers": [
            {
                "property": name,
                "attack": attack,
                "answer": standing.answer,
                "p_without": standing.p_without,
                "p_present": standing.p_present,
                "recognised": standing.recognised,
                **asdict(standing),
            }
            for name, by_attack in standings.items()
            for attack, standing in by_attack.items()
        ],
    }


def _attacks(found: Found) -> list[str]:
    return list(dict.fromkeys(attack for by_attack in found.values() for attack in by_attack))


def _text(case: Case, found: Found, standings: dict[str, dict[str, Standing]]) -> str:
    from tabulate import tabulate

    columns: dict[str, Any] = {"round": range(len(case.trace))}
    for name, by_attack in found.items():
        for attack, scores in by_attack.items():
            columns[f"{name} ({attack})"] = [f"{score:+.3f}" for score in scores]
    table = tabulate(columns, headers="keys", tablefmt="github", disable_numparse=True)
    lines = [
        _standing_text(name, attack, standing)
        for name, by_attack in standings.items()
        for attack, standing in by_attack.items()
    ]
    if case.rules.persistent:
        lines += appeared.as_lines(found, case.seed.root)
    if not case.rules.persistent:
        lines.append("Higher = property more likely present; above 0 the attack says it was.")
    elif standings:
        lines.append(
            "The property is taken to be there in every round or in none: single scores, and "
            "whether they are above 0, say nothing; their sum does, beside made-up federations. "
            + _assumed(case)
        )
    else:
        lines.append(
            "The property is taken to be there in every round or in none: higher sums speak for "
            "it, but without made-up federations (--references) there is no answer."
        )
    lines += settings_lines(case, _attacks(found))
    return "\n".join([table, "", *(f"- {line}" for line in lines)])


def _assumed(case: Case) -> str:
    mine = len(case.records.samples)
    held = f"{case.held} records (--held)" if case.held else f"{mine} records, as the adversary"
    return (
        f"Assumed: each honest client holds {held}, of the same kind as the adversary's. With "
        "fewer they would differ more from the made-up ones, and p-values would be too small. What "
        "is usual is known from half of the adversary's records only, so made-up federations "
        "differ by that as well: with more records the answer is surer."
    )


def _standing_text(name: str, attack: str, standing: Standing) -> str:
    count = len(standing.without)
    higher = sum(s >= standing.total for s in standing.without)
    lower = sum(s <= standing.total for s in standing.present)
    return (
        f"Is '{name}' there ({attack})? {standing.answer.capitalize()}. The scores add up to "
        f"{standing.total:+.2f}; of {count} made-up federations without it {higher} reach that "
        f"(p = {standing.p_without:.2g}), of {count} with it {lower} stay at or below it "
        f"(p = {standing.p_present:.2g}). Of those with it {standing.recognised} would be "
        "told from those without: so often is the property recognised here."
    )
