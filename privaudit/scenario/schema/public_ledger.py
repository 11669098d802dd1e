"""``[public_ledger]``: that game."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from privaudit.federation.settling import policy_named

from .values import Attacks, Section, Share, SomeValues, distinct

Question = Literal["rounds", "sizes", "cohorts", "holders", "labels"]
OF_CLIENTS = ("sizes", "holders", "labels")
"""Questions about clients: which records each of them trains on is the answer."""
OF_A_PROPERTY = ("rounds", "holders")
"""Questions that are asked of every property of the audit."""
ON_LEDGER = "ledger-"
"""What is asked about is called this, the question and the reward policy."""


def _known_policies(names: list[str]) -> list[str]:
    for name in names:
        policy_named(name)
    return distinct(names)


@dataclass(frozen=True)
class Asked:
    """One question about one ledger.

    Attributes:
        question: ``rounds`` (which hold the property), ``sizes`` (who trains on all its records),
            ``cohorts`` (who takes part in a round), ``holders`` (who trains on records with the
            property alone) or ``labels`` (who trains on half of the classes alone).
        reward: name of the reward policy by which the ledger pays.
        about: the property of a question about rounds or holders; else empty.
    """

    question: Question
    reward: str
    about: str = ""

    @property
    def name(self) -> str:
        """As a target of the scenario."""
        named = {"rounds": self.about, "holders": f"holders-{self.about}"}
        return f"{ON_LEDGER}{named.get(self.question, self.question)}-{self.reward}"

    @property
    def of_clients(self) -> bool:
        """Whether there is one answer for each client."""
        return self.question in OF_CLIENTS

    @property
    def federation(self) -> str:
        """Questions that have this in common are of the same rounds: cohorts of those of sizes."""
        training = {"sizes": "cohorts"}.get(self.question, self.question)
        return f"{training} {self.about}"


class PublicLedgerSection(Section):
    """``[public_ledger]``: what does who only reads the public ledger learn?"""

    questions: Annotated[list[Question], SomeValues, AfterValidator(distinct)] = Field(
        ["rounds"],
        description="rounds (in which of the audited rounds do the target's records have a "
        "property of audit.properties?), sizes (which clients train on all their records, which "
        "on a part?), cohorts (who takes part in which round? needs federation.cohort), holders "
        "(which clients train on records with a property of audit.properties alone, which on "
        "records without it?), labels (which clients train on records of half of the classes "
        "alone, which on all?); all but rounds of ordinary training by [federation], from the "
        "initial weights on; of holders and labels everybody trains on as many records",
    )
    rewards: Annotated[list[str], SomeValues, AfterValidator(_known_policies)] = Field(
        ["equal", "samples", "contribution"],
        description="reward policies, each a ledger of its own: a rule of ledger.reward, and what "
        "is done to it: -reputation, -laplace-S or -gaussian-S (noise), -per-N or -pool-N (N "
        "rounds settled at once), as in novelty-pool-10 (docs/ledger.md)",
    )
    part: Share = Field(
        0.8, description="share of its records that every second client trains on, of sizes"
    )
    attacks: Attacks = Field(
        ["ledger-verdicts", "ledger-pay", "ledger-participation"],
        description="attacks to run, one for each channel",
    )

    def asked(self, properties: list[str]) -> dict[str, Asked]:
        """Target -> what is asked of which ledger, in table order."""
        about = [
            (question, name)
            for question in self.questions
            for name in (properties if question in OF_A_PROPERTY else [""])
        ]
        found = [Asked(q, reward, name) for q, name in about for reward in self.rewards]
        named = {one.name: one for one in found}
        if len(named) < len(found):
            raise ValueError("a property is called like another question of [public_ledger]")
        return named
