"""What there is to know of a ledger's pay: how far from worth it is, what it promises and tells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from privaudit.accounting.pay import of_size, of_values
from privaudit.attack.public_ledger import sizes_of_shares
from privaudit.federation.rewards import ACCEPTED
from privaudit.federation.settling import RewardPolicy, Settlement
from privaudit.observation.public import PublicRound

PAY_ERROR = "pay_error"
"""Fact: share of all pay that would have to move for pay to be as worth is, in [0, 1]."""
EPSILON_ROUND, EPSILON = "pay_epsilon_round", "pay_epsilon"
"""Facts of a policy with noise, where nobody is refused: ε of what its ledger says of one round,
and of all of them (:mod:`privaudit.accounting.pay`); of noise on sizes the second one, between a
size and its double."""
RIDERS = {"random": "rider_random", "stale": "rider_stale"}
"""Facts: what a free rider earns in the last client's place, in equal shares."""
POISONERS = {"scaled": "poisoner_scaled", "flipped": "poisoner_flipped"}
"""Facts: what somebody earns there who sends harm (:mod:`.worth`), likewise."""
WITHIN, WITHIN_TOLD = "sizes_within_20", "sizes_within_20_told"
"""Facts: share of the clients whose number of records is found within 20 %, by who knows none of
them, and by who knows how many there are in all."""
CLOSE = 0.2


def pay_of(ledger: Sequence[Settlement], clients: int) -> np.ndarray:
    """[K] wei of each client over all rounds."""
    return np.array(
        [float(sum(s.amounts.get(client, 0) for s in ledger)) for client in range(clients)]
    )


def equal_shares(ledger: Sequence[Settlement], clients: int) -> float:
    """What the last client earns, in equal shares of all that is paid; 0 where nothing is."""
    pay = pay_of(ledger, clients)
    return float(pay[-1] / pay.mean()) if pay.sum() > 0 else 0.0


def pay_error(ledger: Sequence[Settlement], worth: np.ndarray | None) -> dict[str, float]:
    """The fact :data:`PAY_ERROR`; none where nothing was paid, or worth anything.

    Args:
        ledger: what was paid.
        worth: [K] shares that clients should have; None = nobody should.
    """
    pay = pay_of(ledger, 0 if worth is None else len(worth))
    if worth is None or pay.sum() == 0:
        return {}
    return {PAY_ERROR: float(np.abs(pay / pay.sum() - worth).sum() / 2)}


def promised(policy: RewardPolicy, ledger: Sequence[Settlement]) -> dict[str, float]:
    """ε of noise on what is paid by; nothing where there is none, or a verdict says more."""
    refused = any(code != ACCEPTED for one in ledger for code in one.outcomes.values())
    if policy.noise is None or refused:
        return {}
    if policy.rule == "samples":
        return {EPSILON: of_size(policy.noise, policy.scale)}
    clients = max((len(one.outcomes) for one in ledger), default=1)
    rounds = sum(one.rounds for one in ledger)
    pooled = policy.block if policy.pooled else 1
    found = of_values(policy.noise, policy.scale, clients, rounds, pooled)
    return {EPSILON_ROUND: found.one_round, EPSILON: found.all_rounds}


def sizes_found(true: np.ndarray, ledger: Sequence[PublicRound]) -> dict[str, float]:
    """How many clients' numbers of records are found within 20 %.

    Args:
        true: [K] numbers of records.
        ledger: what everybody can read.
    """
    found: dict[int, list[float]] = {}
    pay = np.zeros(len(true))
    for seen in ledger:
        clients = [client for client, amount in seen.amounts.items() if amount]
        amounts = np.array([seen.amounts[client] for client in clients], dtype=float)
        sizes = sizes_of_shares(amounts, seen.budget) if clients else None
        for client, size in zip(clients, [] if sizes is None else sizes, strict=False):
            found.setdefault(client, []).append(float(size))
        pay[clients] += amounts
    guesses = np.array([np.median(found.get(client, [0.0])) for client in range(len(true))])
    told = pay / pay.sum() * true.sum() if pay.sum() else pay
    return {WITHIN: _close(guesses, true), WITHIN_TOLD: _close(told, true)}


def _close(guesses: np.ndarray, true: np.ndarray) -> float:
    return float(np.mean(np.abs(guesses - true) <= CLOSE * true))
