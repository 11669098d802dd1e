"""What ``privaudit attack`` says of a property that stays: did it appear on the way, and when?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from privaudit.statistics.appearing import FEWEST, MOST, Appearance, appearance

Found = Mapping[str, Mapping[str, list[float]]]
"""Property -> attack -> a score per round."""


def appeared(found: Found, seed: int) -> Iterator[tuple[str, str, Appearance]]:
    """(property, attack, what its scores say); nothing of fewer or more rounds than are looked at.

    Args:
        found: scores of attacks that take no mean over rounds out, as of a property that stays.
        seed: of the permutations.
    """
    for name, by_attack in found.items():
        for attack, scores in by_attack.items():
            if FEWEST <= len(scores) <= MOST:
                yield name, attack, appearance(np.array(scores), seed)


def as_rows(found: Found, seed: int) -> list[dict[str, Any]]:
    """For machines; ``end`` is the round after the last."""
    return [
        {"property": name, "attack": attack, "found": said.found, **asdict(said)}
        for name, attack, said in appeared(found, seed)
    ]


def as_lines(found: Found, seed: int) -> list[str]:
    """For people, rounds numbered as in the table above them."""
    return [_line(name, attack, said) for name, attack, said in appeared(found, seed)]


def _line(name: str, attack: str, said: Appearance) -> str:
    start = f"Did '{name}' appear on the way ({attack})?"
    p_value = f"p = {said.p_value:.2g}, ranks permuted over the rounds"
    if not said.found:
        return f"{start} No stretch of rounds stands out ({p_value})."
    alarm = (
        "whoever listened along would have raised no alarm at 5 % false ones"
        if said.alarm is None
        else f"whoever listened along would have raised the alarm after round {said.alarm}, at "
        "5 % false ones"
    )
    return (
        f"{start} Rounds {said.start} to {said.end - 1} stand out ({p_value}, a straight drift "
        f"taken out); {alarm}."
    )
