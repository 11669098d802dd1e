"""What each defence promises, what it costs, and whether what was measured fits the promise."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from privaudit.accounting.claims import Claim, clients_needed
from privaudit.evaluation.cells import TableCell
from privaudit.evaluation.prices import Price, price
from privaudit.evaluation.records import Record
from privaudit.games.ending import DEFENDED
from privaudit.report.tables import clients_text, interval_text, with_rule
from privaudit.scenario.claims import training_claim
from privaudit.scenario.schema import NO_DEFENCE, PROPERTY, Scenario

USEFUL = 3.0
"""ε that a guarantee is often asked for."""


def has_defences(cells: Sequence[TableCell]) -> bool:
    """Whether there is anything to say of defences."""
    return any(cell.defence or cell.claim for cell in cells)


def table(cells: Sequence[TableCell], records: Sequence[Record]) -> pd.DataFrame:
    """One row per defence, question and number of participants, as text.

    AUCs are the highest of the attacks, at the share of the values that is largest. ``records`` are
    those that the cells are from: prices are compared run by run.
    """
    rows = []
    for defence, name, participants in dict.fromkeys(
        (c.defence, c.property, c.participants) for c in cells
    ):
        own = [
            c
            for c in cells
            if (c.defence, c.property, c.participants) == (defence, name, participants)
        ]
        most = max(cell.fraction for cell in own)
        own = [cell for cell in own if cell.fraction == most]
        known = [cell for cell in own if cell.auc is not None]
        best = max(known, key=lambda c: c.auc.value if c.auc else 0.0, default=own[0])
        ceiling, cost = best.ceiling, _price(records, best)
        rows.append(
            {
                "defence": defence or NO_DEFENCE,
                "property": name,
                "K": clients_text(participants, best.colluders),
                "ε": epsilon_text(best.claim),
                "AUC, highest": interval_text(best.auc) if known else "failed",
                "attack": best.attack,
                "ceiling": f"{ceiling.auc:.2f}" if ceiling else "–",
                "main task": interval_text(cost.accuracy) if cost.accuracy else "–",
                "accuracy lost": interval_text(cost.lost) if cost.lost else "–",
                "bytes up": f"{cost.bytes_up:,.0f}" if cost.bytes_up else "–",
            }
        )
    return pd.DataFrame(rows)


def _price(records: Sequence[Record], cell: TableCell) -> Price:
    """What the defence of a cell costs, beside none in the same runs."""
    asked = cell.property, cell.participants, cell.fraction
    alike = [r for r in records if (r.property, r.participants, r.fraction) == asked]
    plain = [record for record in alike if not record.defence] if cell.defence else []
    return price([record for record in alike if record.defence == cell.defence], plain)


def epsilon_text(claim: Claim | None) -> str:
    """``2.1 (δ = 1e-05)``, of a record where it is, or ``none``."""
    if claim is None or claim.epsilon is None:
        return "none"
    whose = "" if claim.unit == "participant" else f", {claim.unit}"
    return f"{epsilon_number(claim.epsilon)} (δ = {claim.delta:.2g}{whose})"


def epsilon_number(epsilon: float) -> str:
    """An ε, large ones as whole numbers."""
    return f"{epsilon:,.0f}" if epsilon >= 100 else f"{epsilon:.3g}"


def above_ceilings(cells: Sequence[TableCell]) -> list[str]:
    """Of each cell with more than its defence allows: the mechanism is another than it claims."""
    return [
        f"'{cell.property}', {cell.attack}, K = {cell.participants}{with_rule(cell)}: AUC "
        f"{interval_text(cell.auc)} lies wholly above {cell.ceiling.auc:.2f}, which no attack on "
        "what was claimed can exceed: the mechanism is not what was claimed."
        for cell in cells
        if cell.above_ceiling and cell.ceiling is not None
    ]


def lines(scenario: Scenario, cells: Sequence[TableCell]) -> list[str]:
    """Each defence in words, with its ε or why it has none; empty without defences."""
    if not has_defences(cells):
        return []
    found = [_line(scenario, cell) for cell in _one_each(cells)]
    if scenario.audit.properties and scenario.audit.trajectory == "common":
        found.append(
            "Promises are about what is sent in the audited rounds: the model moves by a "
            "federation beside them, which goes on without a defence (audit.trajectory)."
        )
    if any(cell.ceiling for cell in cells):
        found.append(
            "Ceiling: while a defence is what it claims to be, no attack on this question has a "
            "larger AUC, Φ(μ/√2), nor a larger advantage, 2Φ(μ/2) - 1. An interval wholly above it "
            "says that the mechanism is another; an AUC below it is no evidence of the promise."
        )
    if any(DEFENDED in cell.facts for cell in cells):
        found.append(
            "Main task: test accuracy of the model after as many rounds under the defence as are "
            "audited, in which everybody draws any of their records and sends all values "
            "(membership: of the federation listened to). Accuracy lost: by how much less that is "
            "than without a defence in the same run. Both mean and 95 % interval over runs. Bytes "
            "up: of one client in one round."
        )
    return found + _training(scenario)


def _one_each(cells: Sequence[TableCell]) -> list[TableCell]:
    """The first cell of each defence, game and number of participants that has something to say."""
    first: dict[tuple[str, str, int], TableCell] = {}
    for cell in cells:
        if cell.defence or cell.claim:
            first.setdefault((cell.defence, cell.game, cell.participants), cell)
    return list(first.values())


def _line(scenario: Scenario, cell: TableCell) -> str:
    steps = "; ".join(step.words for step in scenario.defence(cell.defence))
    named = f"Defence '{cell.defence}' ({steps})" if cell.defence else "Clipping and noise"
    where = "audited rounds" if cell.game == PROPERTY else f"rounds of {cell.game}"
    return f"{named}, K = {cell.participants}, {where}: {_promise(cell.claim)}."


def _promise(claim: Claim | None) -> str:
    """``ε = 2.1 at δ = 1e-05 (...)``, or why none."""
    if claim is None or claim.epsilon is None:
        return f"no ε: {claim.none if claim else 'nothing is promised'}"
    who = {
        ("participant", "replace-one"): "for a participant's data in place of others (replace-one)",
        ("participant", "add-or-remove"): "for a participant more or less (add-or-remove)",
        ("record", "replace-one"): "for a single record in place of another (replace-one)",
    }[claim.unit, claim.neighbours]
    if claim.unit == "record":
        return (
            f"ε = {epsilon_number(claim.epsilon)} at δ = {claim.delta:.2g} {who}, over "
            f"{claim.rounds} rounds in which a record is used {_times(claim.uses)}, noise of "
            f"{claim.multiplier:.3g} times the bound on the sum of a batch; simulated noise, which "
            "whoever has the seed can draw again; nothing is promised of what many records share"
        )
    sampled = (
        "everybody in every round"
        if claim.sampler == "everybody"
        else f"each in a round with probability {claim.share:.3g} (Poisson, by dp-accounting)"
    )
    return (
        f"ε = {epsilon_number(claim.epsilon)} at δ = {claim.delta:.2g} {who}, over "
        f"{claim.rounds} rounds, {sampled}, noise of {claim.multiplier:.3g} times the bound on the "
        "sum that is seen; simulated noise, which whoever has the seed can draw again"
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _training(scenario: Scenario) -> list[str]:
    claim = training_claim(scenario)
    if claim is None:
        return []
    name = scenario.federation.defence
    named = f"defence '{name}'" if name else "clipping and noise"
    return [f"Training before the audit, {named}: {_promise(claim)}."]


def clients_line(scenario: Scenario, cells: Sequence[TableCell], parameters: int) -> list[str]:
    """How many clients a useful ε needs, where some ε is promised; ``parameters`` of the model."""
    claims = [
        cell.claim
        for cell in cells
        if cell.claim and cell.claim.epsilon is not None and cell.claim.unit == "participant"
    ]
    if not claims or not parameters:
        return []
    claim = claims[0]
    delta = claim.delta or 0.0
    needed = clients_needed(parameters, claim.rounds, USEFUL, delta)
    return [
        f"How many clients ε = {USEFUL:g} needs (δ = {delta:.2g}, add-or-remove, {claim.rounds} "
        f"rounds, {parameters:,} parameters): about {needed:,} in each round, until the noise on "
        "the mean delta is no longer than a clipped delta (ratio z √P / K = 1, as if all deltas "
        f"pointed the same way); here there are {max(scenario.participants)}. Training may stand "
        "more noise: 'privaudit dilution' of this scenario measures accuracy by number of clients."
    ]
