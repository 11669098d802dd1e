"""What a public ledger leaks, and how far its pay is from what deltas were worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from privaudit.evaluation.cells import TableCell
from privaudit.evaluation.records import Record
from privaudit.games.pay_facts import PAY_ERROR, RIDERS, WITHIN, WITHIN_TOLD
from privaudit.scenario.schema import Scenario
from privaudit.statistics.intervals import Interval
from privaudit.statistics.rebuilt import mean_over_runs

ATTACKS = ("ledger-verdicts", "ledger-pay")
"""Channels that say something of a round in which everybody takes part."""
PART = 0.4
"""Share of its records that every second client trains on, where sizes are looked for: whoever says
that all have as many is wrong by more than 20 % about everybody."""


@dataclass(frozen=True)
class Paid:
    """Of one defence and reward policy at one number of participants, with intervals over runs.

    Attributes:
        leak: AUC of the better of the attacks on the ledger, of the property that leaks most; None
            where all of them failed.
        attack: its name.
        error: share of all pay that would have to move for pay to be as leave-one-out says.
        riders: who rides free -> what it earns, in equal shares.
        verdicts: AUC of the attack on verdicts alone, of the property that leaks most there.
        sizes: share of the clients whose number of records is found within 20 % by who knows how
            many there are in all, or by who does not, where that is more; None where ordinary
            training was not looked at.
    """

    leak: Interval | None
    attack: str
    error: Interval | None
    riders: dict[str, Interval]
    verdicts: Interval | None = None
    sizes: Interval | None = None


def asked_of(scenario: Scenario, rewards: Sequence[str]) -> dict[str, object]:
    """The table ``[public_ledger]`` that asks what there is to know of these reward policies."""
    questions = ["rounds", *(["sizes"] if scenario.federation.rounds else [])]
    asked = {"questions": questions, "rewards": list(rewards), "attacks": list(ATTACKS)}
    return asked | {"part": PART}


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
    named = {
        question: [
            name
            for name, one in scenario.asked_of_ledgers.items()
            if (one.question, one.reward) == (question, reward)
        ]
        for question in ("rounds", "sizes")
    }
    own = [cell for cell in cells if cell.property in named["rounds"]]
    of = {
        question: [record for record in records if record.property in names]
        for question, names in named.items()
    }
    if not own or not of["rounds"]:
        return None
    best = _largest(own)
    read = _largest([cell for cell in own if cell.attack == ATTACKS[0]])
    riders = {kind: _mean(of["rounds"], fact) for kind, fact in RIDERS.items()}
    sizes = [found for fact in (WITHIN, WITHIN_TOLD) if (found := _mean(of["sizes"], fact))]
    return Paid(
        leak=best.auc if best else None,
        attack=best.attack if best else "",
        error=_mean(of["rounds"], PAY_ERROR),
        riders={kind: found for kind, found in riders.items() if found is not None},
        verdicts=read.auc if read else None,
        sizes=max(sizes, key=lambda found: found.value, default=None),
    )


def _largest(cells: Sequence[TableCell]) -> TableCell | None:
    known = [cell for cell in cells if cell.auc is not None]
    return max(known, key=lambda cell: cell.auc.value if cell.auc else 0.0, default=None)


def _mean(records: Sequence[Record], fact: str) -> Interval | None:
    """Over runs; None where fewer than two state it."""
    found: dict[int, list[float]] = {}
    for record in records:
        if fact in record.facts:
            found.setdefault(record.run, []).append(record.facts[fact])
    if len(found) < 2:
        return None
    top = float(records[0].participants) if fact in RIDERS.values() else 1.0
    return mean_over_runs(list(found.values()), top=top, counted=False)
