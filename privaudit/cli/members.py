"""``privaudit attack --game membership``: which of the candidates were trained on?"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from privaudit.cli.own_trace import attack_options_of, refuse_unless_explained, settings_lines

if TYPE_CHECKING:
    from privaudit import Evaluation
    from privaudit.attack.asked import Asked

Scores = dict[str, list[float]]
"""Attack -> a score per candidate."""

OF_PROPERTIES = ("property_share", "others", "persistent")
"""Rules that say nothing here."""


def ask_for_members(
    trace: Path,
    auxiliary: Path,
    candidates: Path,
    attacks: Sequence[str],
    *,
    form: Literal["text", "csv", "json"],
    force: bool,
    **given: Any,
) -> None:
    """Print the scores of every candidate, and how good they are where the file says who was in.

    ``given``: further arguments of :func:`privaudit.attack.asked.open_asked`.
    """
    from privaudit.attack.asked import open_asked

    case = open_asked(trace, auxiliary, candidates, **given)
    refuse_unless_explained(case, force=force)
    found = case.scores(attacks)
    if form == "csv":
        typer.echo(_csv(case, found), nl=False)
    elif form == "json":
        typer.echo(json.dumps(_document(case, found), indent=1))
    else:
        typer.echo(_text(case, found))


def _judged(case: Asked, scores: list[float]) -> Evaluation | None:
    """None where nobody says who was in."""
    import numpy as np

    import privaudit

    if case.member is None:
        return None
    by_candidate = np.array(scores)
    return privaudit.evaluate(by_candidate[case.member == 1], by_candidate[case.member == 0])


def _csv(case: Asked, found: Scores) -> str:
    import pandas as pd

    rows = [
        {"attack": attack, "candidate": number, "score": score}
        | ({} if case.member is None else {"member": int(case.member[number])})
        for attack, scores in found.items()
        for number, score in enumerate(scores)
    ]
    return str(pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))


def _document(case: Asked, found: Scores) -> dict[str, Any]:
    return {
        "trace": str(case.trace.path),
        "game": case.game,
        "whole": case.trace.whole,
        "rounds": len(case.trace),
        "candidates": len(case.candidates),
        "rules": case.rules.model_dump(exclude=set(OF_PROPERTIES)),
        "stated_by": {n: who for n, who in case.stated.items() if n not in OF_PROPERTIES},
        "scores": [{"attack": attack, "scores": scores} for attack, scores in found.items()],
        "judged": [
            {"attack": attack, **_numbers(judged)}
            for attack, scores in found.items()
            if (judged := _judged(case, scores)) is not None
        ],
        "attack_options": attack_options_of(case, found),
    }


def _numbers(judged: Evaluation) -> dict[str, Any]:
    """Null for what is not estimable."""
    return {
        "members": judged.n_in,
        "others": judged.n_out,
        "p_value": judged.p_value,
        "metrics": {
            name: None
            if interval is None
            else {"value": interval.value, "low": interval.low, "high": interval.high}
            for name, interval in judged.metrics.items()
        },
    }


def _text(case: Asked, found: Scores) -> str:
    from tabulate import tabulate

    columns: dict[str, Any] = {"candidate": range(len(case.candidates))}
    if case.member is not None:
        columns["member"] = [{1: "yes", 0: "no"}.get(int(m), "?") for m in case.member]
    columns |= {attack: [f"{score:+.3f}" for score in scores] for attack, scores in found.items()}
    table = tabulate(columns, headers="keys", tablefmt="github", disable_numparse=True)
    whose = "the target" if case.trace.manifest.target is not None else "some honest client"
    lines = [
        f'Higher = {whose} more likely trained on it. Above 0 an attack says "in": of the half '
        "that looks most like it, whatever the true share is, unless it has a rule of its own.",
        *(line for attack, scores in found.items() for line in _said(case, attack, scores)),
        *settings_lines(case, found, without=OF_PROPERTIES),
    ]
    return "\n".join([table, "", *(f"- {line}" for line in lines)])


def _said(case: Asked, attack: str, scores: list[float]) -> list[str]:
    """How good the scores are, if that is known, and that they are nothing where they are."""
    if len(set(scores)) == 1:
        return [
            f"{attack} gives every candidate the same score: it found nothing to go by (parts of "
            "the model that it looks at were not shared?)."
        ]
    judged = _judged(case, scores)
    if judged is None:
        return []
    frame = judged.to_frame()
    numbers = [
        f"{name} not estimable"
        if math.isnan(row["value"])
        else f"{name} {row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
        for name, row in frame.iterrows()
    ]
    return [
        f"{attack}, {judged.n_in} members and {judged.n_out} others: {', '.join(numbers)}; "
        f"permutation p = {judged.p_value:.2g} if chance chose who was in. One federation: the "
        "95 % intervals say nothing about others."
    ]
