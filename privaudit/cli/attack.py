"""``privaudit attack``."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from privaudit.cli.app import app
from privaudit.cli.options import Json
from privaudit.cli.terminal import Bars
from privaudit.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from privaudit.attack.standalone import Case


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
    properties: Annotated[
        list[str] | None,
        typer.Option("--property", help="Which property to infer (default: all in the file)."),
    ] = None,
    attacks: Annotated[
        list[str] | None,
        typer.Option("--attack", help="Which attack to run (default: magnitude-stack)."),
    ] = None,
    rules: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Rule of the federation, e.g. batch_size=32; goes before what the trace states.",
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
    """Score a trace that any trainer wrote: in which rounds was the property there?

    \b
    privaudit attack my-trace --auxiliary mine.npz --model my_models:Net
    privaudit attack my-trace --auxiliary mine.npz --model my_models:Net \\
        --property smoker --set lr=0.1 --set batch_size=32 --csv

    No ground truth is needed: the scores say where the property looks present. See docs/trace.md
    for the files.
    """
    from privaudit.attack.standalone import open_case

    case = open_case(
        trace,
        auxiliary,
        model=model,
        model_options=_pairs(options, "--option"),
        properties=properties or [],
        rules=_pairs(rules, "--set"),
        shadows=shadows,
        seed=seed,
    )
    names = list(case.records.properties)
    chosen = list(dict.fromkeys(attacks or ["magnitude-stack"]))
    found = {
        name: case.scores(name, chosen)
        for name in Bars().track(names, stage="attack", total=len(names))
    }
    if as_json:
        typer.echo(json.dumps(_document(case, found), indent=1))
    elif as_csv:
        typer.echo(_frame(found).to_csv(index=False, lineterminator="\n"), nl=False)
    else:
        typer.echo(_text(case, found))


def _pairs(assignments: list[str] | None, flag: str) -> dict[str, Any]:
    pairs = {}
    for assignment in assignments or []:
        key, equals, value = assignment.partition("=")
        if not equals or not key.strip():
            raise UserError(f"'{assignment}' is not key=value", where=flag)
        pairs[key.strip()] = _value(value.strip())
    return pairs


def _value(text: str) -> Any:
    """A TOML value, or else the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def _frame(found: dict[str, dict[str, list[float]]]) -> pd.DataFrame:
    import pandas as pd

    rows = [
        {"property": name, "attack": attack, "round": number, "score": score}
        for name, by_attack in found.items()
        for attack, scores in by_attack.items()
        for number, score in enumerate(scores)
    ]
    return pd.DataFrame(rows)


def _document(case: Case, found: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
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
    }


def _text(case: Case, found: dict[str, dict[str, list[float]]]) -> str:
    from tabulate import tabulate

    columns: dict[str, Any] = {"round": range(len(case.trace))}
    for name, by_attack in found.items():
        for attack, scores in by_attack.items():
            columns[f"{name} ({attack})"] = [f"{score:+.3f}" for score in scores]
    rules = case.rules.model_dump()
    said = ", ".join(f"{name} {value} ({case.stated[name]})" for name, value in rules.items())
    cut = (
        "" if case.trace.whole else "- The trace was cut off: scored up to its last whole round.\n"
    )
    return (
        f"{tabulate(columns, headers='keys', tablefmt='github', disable_numparse=True)}\n\n"
        "- Higher = property more likely present; above 0 the attack says it was.\n"
        f"{cut}- Rules of the federation, and who stated them: {said}."
    )
