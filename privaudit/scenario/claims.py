"""What the defences of a scenario promise, and what no attack on its cells can exceed if they do.

A promise is about what is sent in the rounds of a cell. Games ask about other records in a
participant's place, so their neighbours are of the kind ``replace-one``. The answers to be told
apart differ in one round where the property comes and goes by the round, and in all rounds where
it stays, or where records were trained on.

Why one round is enough there, although an attack scores a round by whatever it saw in all of them:
take a round t with the property and a round u without, and the federation in which the target's
batches of these two were exchanged. Schedules are as likely one way as the other, so that P(score
of t > score of u) is as large as the attack can tell the two federations apart, which differ in two
rounds of one μ each: Φ(√2 μ / 2) = Φ(μ / √2). Of two candidates of the game membership, one trained
on and one not, the same holds, with the rounds of all training; of two runs with and without the
property, too.
"""

from __future__ import annotations

from dataclasses import replace

from privaudit.accounting.claims import (
    Ceiling,
    Claim,
    ceiling_over,
    claim_over,
    nothing,
    rounds_within,
)
from privaudit.defences.mechanism import noise_multiplier
from privaudit.defences.sharing import Sharing
from privaudit.defences.transforms import Transforms
from privaudit.errors import UserError
from privaudit.scenario.grid import Cell, cells_of, rounds_of
from privaudit.scenario.schema import (
    MEMBERSHIP,
    PROPERTY,
    PUBLIC_LEDGER,
    RECONSTRUCTION,
    WHOSE,
    Scenario,
)

USUAL_DELTA = 1e-5
OF_RECORDS = (
    "what is promised to single records says nothing of a property, which all records of a batch "
    "have"
)
OF_LEDGERS = "verdicts and pay are made of single deltas, and noise on their sum covers no ledger"
ONE_ROUND, ALL_ROUNDS = "single-batch", "dataset"
"""Schedules of which it is known in how many rounds answers differ."""


def claim_of(scenario: Scenario, cell: Cell) -> Claim | None:
    """What the defence of a cell promises over its rounds; None where it has none."""
    transforms = _transforms(scenario, cell)
    if not transforms.defences and not transforms.noise:
        return None
    if cell.game == PUBLIC_LEDGER:
        return nothing(OF_LEDGERS)
    found, rounds = _multiplier(scenario, cell), rounds_of(scenario, cell)
    delta = _delta(scenario, cell.participants)
    if not isinstance(found, str):
        return claim_over(found, rounds, delta, share=_share(scenario, cell))
    if transforms.in_training is None:
        return nothing(found)
    if cell.game in (PROPERTY, WHOSE):
        return nothing(OF_RECORDS)
    return _of_a_record(
        transforms.in_training.multiplier, rounds, delta, _uses(scenario, cell.game)
    )


def ceiling_of(scenario: Scenario, cell: Cell) -> Ceiling | None:
    """What no attack on a cell can exceed while its claim is true; None where nothing is known."""
    found, schedule = _multiplier(scenario, cell), scenario.audit.schedule
    if cell.game in (RECONSTRUCTION, PUBLIC_LEDGER, WHOSE):
        return None
    if cell.game == PROPERTY and schedule not in (ONE_ROUND, ALL_ROUNDS):
        return None
    one = cell.game == PROPERTY and schedule == ONE_ROUND
    rounds, known = 1 if one else rounds_of(scenario, cell), []
    if not isinstance(found, str):
        known.append(ceiling_over(found, rounds))
    by_record = _transforms(scenario, cell).in_training
    if by_record is not None and cell.game == MEMBERSHIP:
        uses = rounds * _uses(scenario, cell.game)
        known.append(ceiling_over(by_record.multiplier, uses))
    return min(known, key=lambda ceiling: ceiling.auc, default=None)


def training_claim(scenario: Scenario) -> Claim | None:
    """What the defence of ordinary training promises; None where there is none, or no training."""
    transforms, federation = scenario.training_transforms, scenario.federation
    if not scenario.training_rounds or not (transforms.defences or transforms.noise):
        return None
    found = _of_training(
        scenario, transforms, federation.participants, federation.cohort, server=False
    )
    delta = _delta(scenario, federation.participants)
    if isinstance(found, str) and transforms.in_training is not None:
        uses = _uses(scenario, MEMBERSHIP)
        return _of_a_record(
            transforms.in_training.multiplier, scenario.training_rounds, delta, uses
        )
    if isinstance(found, str):
        return nothing(found)
    share = (federation.cohort or federation.participants) / federation.participants
    return claim_over(
        found,
        scenario.training_rounds,
        delta,
        neighbours="add-or-remove",
        share=share,
    )


def check_budget_of_privacy(scenario: Scenario, *, where: str) -> None:
    """Refuse a scenario that spends more than ``accounting.budget``.

    Raises:
        UserError: it does; says in which round.
    """
    budget = scenario.accounting.budget if scenario.accounting else None
    if budget is None:
        return
    seen = set()
    for cell in cells_of(scenario):
        alike = replace(cell, run=0, property="")
        if alike not in seen:
            seen.add(alike)
            named = f"defence '{cell.defence}', K = {cell.participants}, {cell.game}"
            _within(budget, claim_of(scenario, cell), named, where)
    named = f"federation.defence '{scenario.federation.defence}', training"
    _within(budget, training_claim(scenario), named, where)


def _within(budget: float, claim: Claim | None, named: str, where: str) -> None:
    if claim is None or claim.epsilon is None or claim.epsilon <= budget:
        return
    assert claim.multiplier is not None
    assert claim.delta is not None
    last = rounds_within(
        budget,
        claim.multiplier,
        claim.rounds,
        claim.delta,
        neighbours=claim.neighbours,
        share=claim.share,
        uses=claim.uses,
    )
    raise UserError(
        f"accounting.budget: ε = {budget:g} is spent in round {last + 1} of {claim.rounds}, all of "
        f"them take {claim.epsilon:.3g} ({named}; {claim.neighbours}, δ = {claim.delta:g})",
        where=where,
        remedy=f"run {last} rounds, add more noise or allow more",
    )


def _transforms(scenario: Scenario, cell: Cell) -> Transforms:
    return scenario.transforms(Sharing(cell.rule, cell.fraction), cell.defence)


def _multiplier(scenario: Scenario, cell: Cell) -> float | str:
    """Noise on what the adversary of a cell sees, in units of the bound; or why there is none."""
    federation, audit = scenario.federation, scenario.audit
    transforms, server = _transforms(scenario, cell), audit.threat_model == "server"
    cohort = federation.cohort if cell.participants == federation.participants else None
    if cell.game == MEMBERSHIP:
        # Everybody trains on as many records.
        alike = federation.norm_bound is None
        return _of_training(
            scenario, transforms, cell.participants, cohort, server=server, alike=alike
        )
    # Everybody draws as many records, and the target is in every cohort: nothing is amplified.
    clients = cell.participants if cohort is None else max(2, min(cohort, cell.participants))
    honest = max(1, clients - 1 - audit.colluding(cell.participants))
    bounded = scenario.audited_norm_bound is not None
    if bounded and not (server or transforms.averages_equally):
        return "a refused delta changes what the others count (norm_bound)"
    return noise_multiplier(transforms, server=server, honest=honest)


def _of_training(
    scenario: Scenario,
    transforms: Transforms,
    participants: int,
    cohort: int | None,
    *,
    server: bool,
    alike: bool = False,
) -> float | str:
    federation = scenario.federation
    some = cohort is not None and cohort < participants
    if some and federation.sampler != "poisson":
        return "a cohort of a fixed size is no Poisson sample (federation.sampler = 'poisson')"
    honest = max(1, participants - 1 - scenario.audit.colluding(participants))
    found = noise_multiplier(transforms, server=server, honest=honest)
    if isinstance(found, str) or server or transforms.averages_equally or alike:
        return found
    return "weights go by the clients' records: a defence that counts deltas alike has one"


def _of_a_record(multiplier: float, rounds: int, delta: float, uses: int) -> Claim:
    """What DP-SGD promises each record of a client, whoever looks, whatever is done afterwards.

    Neither weights, nor refusals, nor who takes part depend on what is in a record.
    """
    return claim_over(multiplier, rounds, delta, uses=uses, unit="record")


def _uses(scenario: Scenario, game: str) -> int:
    """In how many batches of a round a record of a client can be: once in each pass over them."""
    return scenario.federation.local_epochs if game == MEMBERSHIP else 1


def _delta(scenario: Scenario, participants: int) -> float:
    stated = scenario.accounting.delta if scenario.accounting else None
    return stated or min(USUAL_DELTA, 0.1 / participants)


def _share(scenario: Scenario, cell: Cell) -> float:
    federation = scenario.federation
    if cell.game != MEMBERSHIP or cell.participants != federation.participants:
        return 1.0
    return (federation.cohort or cell.participants) / cell.participants
