"""What a ledger publishes of federated rounds: verdicts and pay, of each or of a block at once.

A reward policy is a reward rule (:mod:`.rewards`) and how many federated rounds are settled at
once: ``contribution``, or ``contribution-per-10``. Of a block of rounds the ledger shows of each
client that it took part, one verdict (accepted, if any of its deltas was) and what all of them
earned.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from privaudit.errors import UserError
from privaudit.federation.rewards import Delivery, rewards, round_budget, rule_named

MOST_ROUNDS = 10_000
"""That are settled at once."""


@dataclass(frozen=True)
class RewardPolicy:
    """A reward rule, and how many federated rounds it settles at once."""

    rule: str
    block: int = 1


@dataclass(frozen=True)
class Settlement:
    """What everybody can read of some federated rounds in a row.

    Attributes:
        rounds: how many they are.
        budget: wei that they could pay.
        outcomes: client -> the contract's code for its verdict, for all who took part.
        amounts: client -> wei, for the same.
    """

    rounds: int
    budget: int
    outcomes: dict[int, int]
    amounts: dict[int, int]


def policy_named(name: str) -> RewardPolicy:
    """The reward policy with this name: a rule, or ``RULE-per-N``.

    Raises:
        UserError: there is no such rule, or N is no number of rounds.
    """
    rule, per, block = name.partition("-per-")
    rule_named(rule)
    if not per:
        return RewardPolicy(rule)
    if not re.fullmatch(r"[1-9]\d{0,4}", block) or not 2 <= int(block) <= MOST_ROUNDS:
        raise UserError(f"'{name}': settled per 2 to {MOST_ROUNDS:,} rounds, as in {rule}-per-10")
    return RewardPolicy(rule, int(block))


def settle(rule: str, budget: int | None, rounds: Sequence[Sequence[Delivery]]) -> Settlement:
    """Settle federated rounds at once: each is split by the rule on its own, then added up.

    Args:
        rule: name of a reward rule.
        budget: wei of one round; None = the usual one for its cohort.
        rounds: at least one, each with every delivery of its cohort.
    """
    budgets = [round_budget(budget, len(cohort)) for cohort in rounds]
    amounts: dict[int, int] = {}
    outcomes: dict[int, int] = {}
    for wei, cohort in zip(budgets, rounds, strict=True):
        for client, amount in rewards(rule, wei, cohort).items():
            amounts[client] = amounts.get(client, 0) + amount
        for delivery in cohort:
            before = outcomes.get(delivery.client)
            if before is None or delivery.accepted:
                outcomes[delivery.client] = delivery.outcome
    return Settlement(len(rounds), sum(budgets), outcomes, amounts)


def settlements(
    policy: RewardPolicy, budget: int | None, rounds: Sequence[Sequence[Delivery]]
) -> Iterator[Settlement]:
    """All federated rounds, block by block, the last one with what is left."""
    for first in range(0, len(rounds), policy.block):
        yield settle(policy.rule, budget, rounds[first : first + policy.block])
