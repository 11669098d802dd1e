"""``privaudit check``: do the stated rules explain what the adversary sent itself?"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from privaudit.cli.app import app
from privaudit.cli.options import Json, key_values
from privaudit.cli.own_trace import settings_lines

if TYPE_CHECKING:
    from privaudit.attack.explaining import Explanation
    from privaudit.attack.own_trace import OwnTrace


@app.command()
def check(
    trace: Annotated[Path, typer.Argument(metavar="TRACE", help="Folder of a trace.")],
    auxiliary: Annotated[
        Path,
        typer.Option("--auxiliary", help="The adversary's records, .npz: inputs, labels."),
    ],
    model: Annotated[
        str | None,
        typer.Option("--model", help="Model of the federation: package.module:Class."),
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="KEY=VALUE", help="Argument of the model."),
    ] = None,
    rules: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Rule of the federation."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of everything that is drawn.")] = 1,
    as_json: Json = False,
) -> None:
    """Check that model, records and rules explain what the adversary sent itself.

    \b
    privaudit check my-trace --auxiliary mine.npz --model my_models:Net
    privaudit check my-trace --auxiliary mine.npz --model my_models:Net --set lr=0.05

    Exit code 1: something is off; it says what, by how much, and which setting would explain it.
    Scores of an attack on such a trace mean nothing.
    """
    from privaudit.attack.explaining import explain, open_own
    from privaudit.engine.process import tune_process

    tune_process()

    case = open_own(
        trace,
        auxiliary,
        model=model,
        model_options=key_values(options, "--option"),
        rules=key_values(rules, "--set"),
        seed=seed,
    )
    found = explain(case)
    typer.echo(json.dumps(_document(case, found), indent=1) if as_json else _text(case, found))
    if not found.explained:
        raise typer.Exit(1)


def _document(case: OwnTrace, found: Explanation) -> dict[str, Any]:
    return {
        "trace": str(case.trace.path),
        "explained": found.explained,
        "rounds": found.rounds,
        "replicas": found.replicas,
        "rules": case.rules.model_dump(),
        "stated_by": case.stated,
        "off": [
            {"what": change.what, "remedy": change.remedy, "rules": change.rules}
            for change in found.changes
        ],
        "left": found.left,
        "statistics": [asdict(one) | {"sure": one.sure} for one in found.reading.all()],
    }


def _text(case: OwnTrace, found: Explanation) -> str:
    from tabulate import tabulate

    rows = [
        (one.name, f"{one.own:.3g}", f"{one.expected:.3g}", f"{one.p:.1g}")
        for one in found.reading.all()
    ]
    heads = ("of the own deltas", "found", "by the rules", "p")
    lines = [f"- {line}" for line in settings_lines(case, ())]
    lines += [
        f"- {found.rounds} rounds, each beside {found.replicas} deltas of batches of the own "
        "records under these rules (docs/trace.md)."
    ]
    if found.explained:
        said = ["The rules explain what the adversary sent itself."]
    else:
        said = [
            f"{'Off: ' if number == 0 else 'Then: '}{change.what}.\n      {change.remedy}."
            for number, change in enumerate(found.changes)
        ]
        if not found.left:
            said.append("With that, nothing else is off.")
    return "\n".join(
        [tabulate(rows, heads, tablefmt="github", disable_numparse=True), "", *lines, "", *said]
    )
