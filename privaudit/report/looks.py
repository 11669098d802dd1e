"""How an attack looks: one colour and one mark, the same in every figure of every page.

Both follow from its place in :data:`ATTACKS`. A new attack goes last, so that those before keep
theirs; one of somebody else takes a place after the list that follows from its name.
"""

from __future__ import annotations

from typing import NamedTuple
from zlib import crc32

COLOURS = (
    "#2f83c5",
    "#d9722e",
    "#2a9d74",
    "#b45fb0",
    "#a88a1e",
    "#cf5560",
    "#7b78cf",
    "#7d8f45",
)
"""Of middling lightness: to be seen on white and on black; marks tell them apart without colour."""

MARKS = "osD^vP*X"

ATTACKS = (
    "melis-rf",
    "linear",
    "magnitude-stack",
    "loss-trajectory",
    "gradient-cosine",
    "fedmia",
    "embedding-rows",
    "melis-embedding",
    "membership-stack",
    "first-layer",
    "spear",
    "gradient-matching",
    "moved-words",
    "ledger-verdicts",
    "ledger-pay",
    "ledger-participation",
    "label-counts",
    "whose-contrast",
    "whose-least-squares",
)
"""The attacks of this repository, in the order of ``pyproject.toml``."""


class Look(NamedTuple):
    """Of a line or a point."""

    colour: str
    mark: str


def look_of(attack: str) -> Look:
    """What an attack is drawn with, wherever it is drawn."""
    if attack in ATTACKS:
        return numbered(ATTACKS.index(attack))
    return numbered(len(ATTACKS) + crc32(attack.encode()) % (len(COLOURS) * len(MARKS)))


def numbered(place: int) -> Look:
    """The look of what is no attack, by its place; the first 64 differ, the first 8 in colour."""
    turn, colour = divmod(place, len(COLOURS))
    return Look(COLOURS[colour], MARKS[(colour + turn) % len(MARKS)])
