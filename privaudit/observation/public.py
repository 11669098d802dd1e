"""What everybody can read on the public ledger of a federation: verdicts and pay, no deltas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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


Seen = Observation | PublicRound
"""What an adversary is shown of a round."""
