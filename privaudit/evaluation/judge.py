"""The one place where an attack's scores meet the ground truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

import numpy as np

from privaudit.accounting.claims import Ceiling, Claim
from privaudit.custody.plan import Plan
from privaudit.evaluation.metrics import METRICS, measure_all
from privaudit.evaluation.rebuilding import Rebuilt
from privaudit.evaluation.records import Metric, Record, targets_in
from privaudit.observation.views import OutsiderView, SumView
from privaudit.scenario.grid import Cell, federation_of
from privaudit.scenario.schema import PROPERTY, PUBLIC_LEDGER, WHOSE
from privaudit.statistics.intervals import Interval
from privaudit.statistics.pools import Holdings
from privaudit.statistics.runs import RunScores

OF_LEDGERS = {PUBLIC_LEDGER: OutsiderView.name, WHOSE: SumView.name}
"""Game -> what its adversary sees, whatever the threat model of the scenario."""


def judge(
    plan: Plan,
    cell: Cell,
    attack: str,
    *,
    checksum: str,
    scores: list[float] | None,
    present: list[bool] | None,
    reason: str = "",
    holdings: Sequence[Holdings] = (),
    facts: Mapping[str, float] | None = None,
    rebuilt: Rebuilt | None = None,
    claim: Claim | None = None,
    ceiling: Ceiling | None = None,
) -> Record:
    """The record of one attack on one cell; without scores it is a failed one with its reason.

    Args:
        plan: of the run.
        cell: what was attacked.
        attack: name of the attack.
        checksum: of the data set.
        scores: [T], one per audited round.
        present: [T], the ground truth.
        reason: why there are no scores.
        holdings: what each target draws from; empty where nobody wrote it down.
        facts: what else a reader needs.
        claim: what the defence of the cell promises.
        ceiling: what no attack exceeds if that is true.
        rebuilt: instead of scores and truth, where records were to be rebuilt.
    """
    scenario = plan.scenario
    identity: dict[str, Any] = {
        "scenario": scenario["name"],
        "configuration": scenario,
        "dataset": {"name": plan.dataset.name, "checksum": checksum},
        "model_source": plan.model.model_dump(),
        "attack_source": plan.attacks[attack].model_dump(),
        "versions": plan.versions,
        "commit": plan.commit,
        "dirty": plan.dirty,
        "run": cell.run,
        "seed": scenario["seed"],
        "game": cell.game,
        "property": cell.property,
        "rule": cell.rule,
        "fraction": cell.fraction,
        "participants": cell.participants,
        "attack": attack,
        "view": OF_LEDGERS.get(cell.game, scenario["audit"]["threat_model"]),
        "holdings": _as_written(holdings),
        "facts": dict(facts or {}),
        "defence": cell.defence,
        "claim": claim,
        "ceiling": ceiling,
    }
    schedule = scenario["audit"]["schedule"]
    by_round = cell.game == PROPERTY
    if by_round and schedule == "dataset":
        identity["pair"] = federation_of(schedule, cell.run)
    if rebuilt is not None:
        return Record(**identity, status="ok", scores=rebuilt.found, rebuilt=rebuilt)
    if scores is None or present is None:
        return Record(**identity, status="failed", reason=reason)
    targets = targets_in(scenario, cell.participants) if by_round else None
    run = RunScores(np.array(scores), np.array(present), targets=targets)
    one_label = len(set(present)) < 2  # schedule `dataset`: only runs together have both
    tau = sqrt(sum(held.tau**2 for held in holdings)) / len(holdings) if holdings else 0.0
    found = dict.fromkeys(METRICS) if one_label else measure_all([run], tau=tau)
    metrics = {name: _metric(interval) for name, interval in found.items()}
    return Record(**identity, status="ok", metrics=metrics, scores=scores, present=present)


def _as_written(holdings: Sequence[Holdings]) -> Holdings | list[Holdings] | None:
    """One target's by itself, those of several as a list."""
    if len(holdings) > 1:
        return list(holdings)
    return holdings[0] if holdings else None


def _metric(interval: Interval | None) -> Metric | None:
    if interval is None:
        return None
    return Metric(
        value=interval.value,
        low=interval.low,
        high=interval.high,
        n=interval.n_rounds,
        method=interval.method,
    )
