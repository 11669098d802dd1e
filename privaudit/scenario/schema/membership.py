"""``[membership]``: that game."""

from __future__ import annotations

from pydantic import Field

from privaudit.observation.rules import MOST_RECORDS

from .values import Attacks, Section


class MembershipSection(Section):
    """``[membership]``: which of some records of the target's were trained on?"""

    candidates: int = Field(
        200,
        ge=4,
        le=MOST_RECORDS,
        multiple_of=2,
        description="records of the target's that the adversary asks about, an even number; the "
        "target trains on a random half of them, everybody else on as many records",
    )
    attacks: Attacks = Field(
        ["loss-trajectory", "gradient-cosine", "membership-stack"], description="attacks to run"
    )
