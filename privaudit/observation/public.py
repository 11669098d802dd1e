"""What everybody can read on the public ledger of a federation, with the sums that go with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from privaudit.observation.views import Observation


@dataclass(frozen=True)
class PublicRound:
    """One round of the ledger.

    Attributes:
        first: 0-based number of the first federated round it settles.
        rounds: how many it settles.
        budget: wei it could pay.
        outcomes: client -> the contract's code for its verdict: 1 accepted, 6 its norm is out of
            bounds (``contracts/README.md``); of everybody who took part, nobody else.
        amounts: client -> wei, for the same.
    """

    first: int
    rounds: int
    budget: int
    outcomes: Mapping[int, int]
    amounts: Mapping[int, int]


@dataclass(frozen=True)
class SummedRound:
    """One federated round, as who sees its sum and reads the ledger sees it.

    Attributes:
        seen: the sum, as a participant sees it.
        took_part: client -> in how many of the rounds since the ledger last said so, this one
            among them, its delta was accepted; of everybody who took part in one. Empty where the
            ledger says nothing yet.
    """

    seen: Observation
    took_part: Mapping[int, int] = field(default_factory=dict)


Seen = Observation | PublicRound | SummedRound
"""What an adversary is shown of a round."""
