"""The one place where an attack's scores meet the ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from privaudit.evaluation.records import Metric, Record, targets_in
from privaudit.experiment.cells import Cell, federation_of
from privaudit.experiment.plan import Plan
from privaudit.statistics.intervals import (
    Interval,
    accuracy_interval,
    advantage_interval,
    auc_interval,
    tpr_at_fpr_interval,
)
from privaudit.statistics.pools import Holdings
from privaudit.statistics.runs import RunScores

METRICS = ("auc", "accuracy", "advantage", "tpr_at_10_fpr", "tpr_at_1_fpr")
THRESHOLD = 0.0
"""An attack says "present" above this score; it is the attack's own, not fitted to the truth."""


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
        "property": cell.property,
        "rule": cell.rule,
        "fraction": cell.fraction,
        "participants": cell.participants,
        "attack": attack,
        "view": scenario["audit"]["threat_model"],
        "holdings": _as_written(holdings),
    }
    schedule = scenario["audit"]["schedule"]
    if schedule == "dataset":
        identity["pair"] = federation_of(schedule, cell.run)
    if scores is None or present is None:
        return Record(**identity, status="failed", reason=reason)
    targets = targets_in(scenario, cell.participants)
    run = RunScores(np.array(scores), np.array(present), targets=targets)
    one_label = len(set(present)) < 2  # schedule `dataset`: only runs together have both
    metrics = {name: None if one_label else _metric(measure([run], name)) for name in METRICS}
    return Record(**identity, status="ok", metrics=metrics, scores=scores, present=present)


def _as_written(holdings: Sequence[Holdings]) -> Holdings | list[Holdings] | None:
    """One target's by itself, those of several as a list."""
    if len(holdings) > 1:
        return list(holdings)
    return holdings[0] if holdings else None


def measure(runs: list[RunScores], name: str, *, tau: float = 0.0) -> Interval | None:
    """One metric over runs, with its interval; None where it is not estimable.

    The interval of the AUC allows for finite pools of that ``tau``.
    """
    if name == "auc":
        return auc_interval(runs, tau=tau)
    if name == "accuracy":
        return accuracy_interval(runs, THRESHOLD)
    if name == "advantage":
        return advantage_interval(runs, THRESHOLD)
    return tpr_at_fpr_interval(runs, {"tpr_at_10_fpr": 0.1, "tpr_at_1_fpr": 0.01}[name])


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
