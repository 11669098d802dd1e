"""``[whose]``: that game."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field

from .values import MOST_VALUES, Attacks, Section, SomeValues, distinct

WHOSE_OF = "whose-"
"""What is asked about is called this, the property, and what the ledger says."""

LISTED, UNLISTED = "listed", "unlisted"
MOST_ROUNDS = 10_000
"""Between two claims."""


def claims_every(said: str) -> int | None:
    """Rounds between two claims of ``claims-N``; None where the ledger says something else."""
    found = re.fullmatch(r"claims-([1-9]\d{0,4})", said)
    return int(found[1]) if found else None


def _known(names: list[str]) -> list[str]:
    for name in names:
        every = claims_every(name)
        if name not in (LISTED, UNLISTED) and not (every and 2 <= every <= MOST_ROUNDS):
            raise ValueError(
                f"'{name}' must be {LISTED}, {UNLISTED}, or claims-N with N from 2 to "
                f"{MOST_ROUNDS:,}, as in claims-50"
            )
    return distinct(names)


@dataclass(frozen=True)
class Whose:
    """One question about the clients.

    Attributes:
        about: the property.
        says: what the ledger publishes of who took part.
    """

    about: str
    says: str

    @property
    def name(self) -> str:
        """As a target of the scenario."""
        return f"{WHOSE_OF}{self.about}-{self.says}"


class WhoseSection(Section):
    """``[whose]``: which clients hold a property, by the sums alone and who was in them?"""

    properties: Annotated[list[str], Field(max_length=MOST_VALUES), AfterValidator(distinct)] = (
        Field(
            [],
            description="properties that half of the clients hold in every batch of theirs, and "
            "the others in none; empty = those of audit.properties",
        )
    )
    ledgers: Annotated[list[str], SomeValues, AfterValidator(_known)] = Field(
        [LISTED, "claims-50", UNLISTED],
        description="what the public ledger says of who took part: listed (in every round, as it "
        "does where each delta is settled), claims-N (cumulative reward roots: each client claims "
        "after N rounds, which tells in how many of them it took part) or unlisted (nothing)",
    )
    attacks: Attacks = Field(
        ["whose-contrast", "whose-least-squares"], description="attacks to run"
    )

    def asked(self, properties: list[str]) -> dict[str, Whose]:
        """Target -> what is asked, in table order; ``properties`` are those of the audit."""
        names = self.properties or properties
        found = [Whose(name, says) for name in names for says in self.ledgers]
        return {one.name: one for one in found}
