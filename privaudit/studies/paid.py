"""What a public ledger leaks, and how far its pay is from what deltas were worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from privaudit.evaluation.cells import TableCell
from privaudit.evaluation.records import Record
from privaudit.games.pay_facts import PAY_ERROR, RIDERS
from privaudit.scenario.schema import PUBLIC_LEDGER, Scenario
from privaudit.statistics.intervals import Interval
from privaudit.statistics.rebuilt import mean_over_runs

ATTACKS = ("ledger-verdicts", "ledger-pay")
"""Channels that say something of a round in which everybody takes part."""


@dataclass(frozen=True)
class Paid:
    """Of one defence and reward policy at one number of participants, with intervals over runs.

    Attributes:
        leak: AUC of the better of the attacks on the ledger, of the property that leaks most; None
            where all of them failed.
        attack: its name.
        error: share of all pay that would have to move for pay to be as leave-one-out says.
        riders: who rides free -> what it earns, in equal shares.
    """

    leak: Interval | None
    attack: str
    error: Interval | None
    riders: dict[str, Interval]


def can_be_asked(scenario: Scenario) -> bool:
    """Whether the game public-ledger has anything to ask of a scenario's audited rounds."""
    audit = scenario.audit
    fixed = audit.schedule == "single-batch" and audit.targets != "rotate"
    return bool(audit.properties) and fixed and audit.alpha is None


def paid(
    scenario: Scenario,
    cells: Sequence[TableCell],
    records: Sequence[Record],
    reward: str,
) -> Paid | None:
    """What is known of a reward policy; None where no ledger was looked at.

    Args:
        scenario: with ``[public_ledger]``, or nothing is known.
        cells: of one defence and number of participants.
        records: of the same.
        reward: name of the policy.
    """
    asked = {n for n, one in scenario.asked_of_ledgers.items() if one.reward == reward}
    own = [cell for cell in cells if cell.property in asked]
    of = [record for record in records if record.game == PUBLIC_LEDGER and record.property in asked]
    if not own or not of:
        return None
    known = [cell for cell in own if cell.auc is not None]
    best = max(known, key=lambda cell: cell.auc.value if cell.auc else 0.0, default=None)
    riders = {kind: _mean(of, fact) for kind, fact in RIDERS.items()}
    return Paid(
        leak=best.auc if best else None,
        attack=best.attack if best else "",
        error=_mean(of, PAY_ERROR),
        riders={kind: found for kind, found in riders.items() if found is not None},
    )


def _mean(records: Sequence[Record], fact: str) -> Interval | None:
    """Over runs; None where fewer than two state it."""
    found: dict[int, list[float]] = {}
    for record in records:
        if fact in record.facts:
            found.setdefault(record.run, []).append(record.facts[fact])
    if len(found) < 2:
        return None
    top = 1.0 if fact == PAY_ERROR else float(records[0].participants)
    return mean_over_runs(list(found.values()), top=top, counted=False)
