"""A promise of differential privacy in full: ε, δ, whose, against what, and how it was counted.

All rounds add Gaussian noise of one multiplier to a sum in which everybody's delta counts alike, no
longer than a bound. Where everybody takes part the count is exact (:mod:`.gaussian`); where each
takes part by itself with some probability it is dp-accounting's (:mod:`.sampled`).

The unit may be a record instead, in the sums of gradients of its client's batches. In a pass over
the records each is in one batch, so that a pass is one use of it, whatever batches come before and
after; that batches are shuffled is not counted in its favour.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict

from privaudit.accounting.gaussian import (
    epsilon_at,
    greatest_advantage,
    greatest_auc,
    over_rounds,
)

Neighbours = Literal["add-or-remove", "replace-one"]
Sampler = Literal["everybody", "poisson"]
Unit = Literal["participant", "record"]

CHANGE: dict[Neighbours, float] = {"add-or-remove": 1.0, "replace-one": 2.0}
"""How far neighbours move the sum, in units of the bound."""


class Claim(BaseModel):
    """What a defence promises a participant, or in one line why nothing.

    Attributes:
        none: why there is no ε; empty where there is one.
        epsilon: of all rounds together, at least 0.
        delta: that ε is stated at, in (0, 1).
        neighbours: what is told apart: with and without a participant, or with other records.
        sampler: ``everybody`` takes part in every round, or ``poisson``.
        share: of the participants in a round; 1 for everybody.
        rounds: that are counted.
        multiplier: deviation of the noise on the sum, in units of the bound.
        uses: of a record in a round, each behind noise of its own; 1 where the unit is a
            participant.
        unit: whose data are protected: all of a participant's, or each single record.
        simulated: the noise is drawn from a seed, which whoever has it can draw again.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    none: str = ""
    epsilon: float | None = None
    delta: float | None = None
    neighbours: Neighbours = "replace-one"
    sampler: Sampler = "everybody"
    share: float = 1.0
    rounds: int = 0
    multiplier: float | None = None
    uses: int = 1
    unit: Unit = "participant"
    simulated: bool = True


def nothing(reason: str) -> Claim:
    """No promise, and why not."""
    return Claim(none=reason)


def mu_over(multiplier: float, rounds: int, neighbours: Neighbours) -> float:
    """μ of so many rounds in which everybody takes part."""
    return over_rounds(CHANGE[neighbours] / multiplier, rounds)


def claim_over(
    multiplier: float,
    rounds: int,
    delta: float,
    *,
    neighbours: Neighbours = "replace-one",
    share: float = 1.0,
    uses: int = 1,
    unit: Unit = "participant",
) -> Claim:
    """What noise of this multiplier promises over so many rounds.

    Args:
        multiplier: deviation of the noise on the sum, in units of the bound, above 0.
        rounds: at least 1, with noise drawn anew in each.
        delta: in (0, 1).
        neighbours: what is told apart.
        share: in (0, 1]: with which probability each participant is in a round.
        uses: of a unit in a round, at least 1; more than one where everybody takes part.
        unit: whose data are protected.

    Raises:
        UserError: ``share`` below 1 without dp-accounting (the extra ``accounting``).
    """
    if share >= 1.0:
        epsilon = epsilon_at(mu_over(multiplier, rounds * uses, neighbours), delta)
    else:
        from privaudit.accounting.sampled import sampled_epsilon

        epsilon = sampled_epsilon(multiplier, rounds, delta, share=share, neighbours=neighbours)
    return Claim(
        epsilon=epsilon,
        delta=delta,
        neighbours=neighbours,
        sampler="everybody" if share >= 1.0 else "poisson",
        share=min(1.0, share),
        rounds=rounds,
        multiplier=multiplier,
        uses=uses,
        unit=unit,
    )


class Ceiling(BaseModel):
    """What no attack on one question can exceed while a claim is true.

    Attributes:
        auc: Φ(μ/√2).
        advantage: 2Φ(μ/2) - 1.
        rounds: whose noise stands between the two answers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    auc: float
    advantage: float
    rounds: int


def ceiling_over(multiplier: float, rounds: int, neighbours: Neighbours = "replace-one") -> Ceiling:
    """The ceiling where the answers differ in so many rounds; amplification is not taken in."""
    mu = mu_over(multiplier, rounds, neighbours)
    return Ceiling(auc=greatest_auc(mu), advantage=greatest_advantage(mu), rounds=rounds)


def rounds_within(
    budget: float,
    multiplier: float,
    rounds: int,
    delta: float,
    *,
    neighbours: Neighbours = "replace-one",
    share: float = 1.0,
    uses: int = 1,
) -> int:
    """How many of the rounds, 0 to ``rounds``, keep ε within a budget."""

    def spent(count: int) -> float:
        claim = claim_over(multiplier, count, delta, neighbours=neighbours, share=share, uses=uses)
        return claim.epsilon or 0.0

    inside, outside = 0, rounds + 1
    while outside - inside > 1:
        middle = (inside + outside) // 2
        inside, outside = (middle, outside) if spent(middle) <= budget else (inside, middle)
    return inside


def clients_needed(
    parameters: int,
    rounds: int,
    epsilon: float,
    delta: float,
    *,
    ratio: float = 1.0,
    neighbours: Neighbours = "add-or-remove",
) -> int:
    """Clients in a round until noise that promises this ε is no longer than the mean delta.

    Noise on the mean of K deltas of length C has the length z C √P / K, so that with z of the claim
    K = z √P / ratio. A number to begin with, and no bound either way: the mean is as long as each
    delta only where all clients pull the same way, and training may stand noise far longer than
    the mean, because it points elsewhere in every round. What it costs the task, a measurement at
    several K says (:mod:`privaudit.studies.dilution_prices`).

    Args:
        parameters: P, of the model.
        rounds: of training.
        epsilon: above 0.
        delta: in (0, 1).
        ratio: of noise to signal that training still stands, above 0.
        neighbours: of the claim.
    """
    from privaudit.accounting.gaussian import mu_of

    multiplier = CHANGE[neighbours] * math.sqrt(rounds) / mu_of(epsilon, delta)
    return math.ceil(multiplier * math.sqrt(parameters) / ratio)
