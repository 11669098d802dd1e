"""What the answers of ``privaudit attack`` say of trace, rules and options, whatever was asked."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from privaudit.attack.own_trace import OwnTrace


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
    rules = case.rules.model_dump(exclude=set(without))
    said = ", ".join(f"{name} {value} ({case.stated[name]})" for name, value in rules.items())
    lines.append(f"Rules of the federation, and who stated them: {said}.")
    for attack in attacks:
        settings = case.settings(attack)
        if settings:
            options = ", ".join(f"{key} {value} ({who})" for key, (value, who) in settings.items())
            lines.append(f"Options of {attack} (--attack-option {attack}.KEY=VALUE): {options}.")
    return lines
