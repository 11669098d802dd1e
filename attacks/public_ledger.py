"""What can be read off a public ledger, a channel each, by somebody who never took part."""

from __future__ import annotations

from privaudit.attack.public_ledger import LedgerAttack, Outsider
from privaudit.observation.public import PublicRound

ACCEPTED = 1
"""Of the contract's codes."""


class Verdicts(LedgerAttack):
    """Who was refused: a batch unlike the others gives a longer delta."""

    name = "ledger-verdicts"
    source = "own: outcome codes of the contract"

    def read(self, seen: PublicRound, given: Outsider) -> dict[int, float]:
        """1 for a refused delta, 0 for an accepted one."""
        return {client: float(code != ACCEPTED) for client, code in seen.outcomes.items()}


class Pay(LedgerAttack):
    """Who earned how much: more records earn more, a batch unlike the others less."""

    name = "ledger-pay"
    source = "own: amounts that the contract credits"
    unusual = -1

    def read(self, seen: PublicRound, given: Outsider) -> dict[int, float]:
        """What a client earned in a federated round, in equal shares of its budget."""
        share = seen.budget / given.clients
        return {client: amount / share for client, amount in seen.amounts.items()}


class Participation(LedgerAttack):
    """Whose name stands there at all."""

    name = "ledger-participation"
    source = "own: accounts that the contract settles with"

    def read(self, seen: PublicRound, given: Outsider) -> dict[int, float]:
        """1 for whoever took part."""
        return dict.fromkeys(seen.outcomes, 1.0)
