"""What the answers of ``privaudit attack`` say of trace, rules and options, whatever was asked."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from privaudit.errors import UserError

if TYPE_CHECKING:
    from privaudit.attack.own_trace import OwnTrace


def refuse_unless_explained(case: OwnTrace, *, force: bool) -> None:
    """Scores of a trace whose rules are not those of the federation mean nothing.

    Nothing is checked of a server's trace, where the adversary sent too little, or where a defence
    keeps something from round to round.

    Raises:
        UserError: the rules do not explain what the adversary sent itself.
    """
    from privaudit.attack.explaining import explain, rounds_sent
    from privaudit.attack.replicas import BRIEF
    from privaudit.engine.process import tune_process

    if force or case.rules.transforms.has_memory or len(rounds_sent(case)) < 2:
        return
    tune_process()
    found = explain(case, BRIEF)
    if not found.explained:
        first = found.changes[0]
        raise UserError(
            f"the rules do not explain what the adversary sent itself: {first.what}",
            where=str(case.trace.path),
            remedy=f"{first.remedy}; privaudit check says more, and with --force it is scored all "
            "the same",
        )


def attack_options_of(case: OwnTrace, attacks: Iterable[str]) -> dict[str, Any]:
    """Attack -> option -> its value, and who stated it."""
    return {
        attack: {key: {"value": value, "stated_by": who} for key, (value, who) in said.items()}
        for attack in attacks
        if (said := case.settings(attack))
    }


def settings_lines(
    case: OwnTrace, attacks: Iterable[str], *, without: Collection[str] = ()
) -> list[str]:
    """Sentences on how far the trace goes, the rules but for some, and the attacks' options."""
    lines = []
    if not case.trace.whole:
        lines.append("The trace was cut off: scored up to its last whole round.")
    guessed = sum(not seen.own_weight_known for seen in case.trace)
    if guessed:
        lines.append(
            f"Assumed, not known, in {guessed} of {len(case.trace)} rounds: the adversary's "
            "weight, 1 / participants."
        )
    rules = case.rules.model_dump(exclude=set(without))
    said = ", ".join(f"{name} {value} ({case.stated[name]})" for name, value in rules.items())
    lines.append(f"Rules of the federation, and who stated them: {said}.")
    for attack in attacks:
        settings = case.settings(attack)
        if settings:
            options = ", ".join(f"{key} {value} ({who})" for key, (value, who) in settings.items())
            lines.append(f"Options of {attack} (--attack-option {attack}.KEY=VALUE): {options}.")
    return lines
