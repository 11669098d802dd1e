"""``privaudit attack --game property``: in which rounds was a property there, or was it at all?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from privaudit.cli.own_trace import attack_options_of, refuse_unless_explained, settings_lines
from privaudit.cli.terminal import Bars

if TYPE_CHECKING:
    import pandas as pd

    from privaudit.attack.reference import Standing
    from privaudit.attack.standalone import Case

Found = dict[str, dict[str, list[float]]]
"""Property -> attack -> a score per round."""


def ask_for_properties(
    trace: Path,
    auxiliary: Path,
    attacks: Sequence[str],
    *,
    form: Literal["text", "csv", "json"],
    references: int,
    force: bool,
    **given: Any,
) -> None:
    """Print a score per round, and where the property stays whether it is there.

    ``given``: further arguments of :func:`privaudit.attack.standalone.open_case`.
    """
    from privaudit.attack.standalone import open_case

    case = open_case(trace, auxiliary, references=references, **given)
    refuse_unless_explained(case, force=force)
    names = list(case.records.properties)
    found: Found = {}
    standings: dict[str, dict[str, Standing]] = {}
    if case.rules.persistent and references:
        for name in names:
            show = partial(Bars().track, stage=name, total=references)
            found[name], standings[name] = case.standings(name, attacks, show)
    else:
        for name in Bars().track(names, stage="attack", total=len(names)):
            found[name] = case.scores(name, attacks)
    if form == "json":
        typer.echo(json.dumps(_document(case, found, standings), indent=1))
    elif form == "csv":
        typer.echo(_frame(found).to_csv(index=False, lineterminator="\n"), nl=False)
    else:
        typer.echo(_text(case, found, standings))


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
    from privaudit.cli import appeared  # it brings scipy

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

    from privaudit.cli import appeared  # it brings scipy

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
