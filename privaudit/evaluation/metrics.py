"""What scores are measured by: name, title, what a blind guess gets, how its interval is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from privaudit.statistics.intervals import (
    Interval,
    accuracy_interval,
    advantage_interval,
    auc_interval,
    precision_interval,
    tpr_at_fpr_interval,
)
from privaudit.statistics.runs import RunScores

THRESHOLD = 0.0
"""An attack says "present" above this score; it is the attack's own, not fitted to the truth."""

Runs = Sequence[RunScores]
Pools = Mapping[str, float]
"""How far finite pools move an audit: keywords of :func:`auc_interval`."""


@dataclass(frozen=True)
class Measure:
    """One metric.

    Attributes:
        name: in records and tables for machines.
        title: in tables for people.
        chance: what a blind guess gets; None where that depends on the share of each kind.
        interval: over runs, at the attack's threshold; None where it is not estimable.
        formula: for whoever does not know the title.
    """

    name: str
    title: str
    chance: float | None
    interval: Callable[[Runs, float, Pools], Interval | None]
    formula: str = ""


def _tpr(percent: int) -> Measure:
    fpr = percent / 100
    return Measure(
        f"tpr_at_{percent}_fpr",
        f"TPR at {percent} % FPR",
        fpr,
        lambda runs, threshold, pools: tpr_at_fpr_interval(runs, fpr, **pools),
    )


METRICS = {
    measure.name: measure
    for measure in (
        Measure("auc", "AUC", 0.5, lambda runs, threshold, pools: auc_interval(runs, **pools)),
        Measure(
            "accuracy",
            "accuracy",
            None,
            lambda runs, threshold, pools: accuracy_interval(runs, threshold, **pools),
        ),
        Measure(
            "precision",
            "precision",
            None,
            lambda runs, threshold, pools: precision_interval(runs, threshold, **pools),
        ),
        Measure(
            "advantage",
            "advantage",
            0.0,
            lambda runs, threshold, pools: advantage_interval(runs, threshold, **pools),
            formula="TPR - FPR",
        ),
        _tpr(10),
        _tpr(1),
    )
}
"""Every metric, in the order of tables."""


def measure_all(
    runs: Runs, names: Iterable[str] = METRICS, *, threshold: float = THRESHOLD, **pools: float
) -> dict[str, Interval | None]:
    """Name -> interval over runs; None where a metric is not estimable.

    Args:
        runs: at least one.
        names: of the metrics.
        threshold: a score above says "present".
        pools: finite pools that intervals allow for, as :func:`auc_interval` has them.
    """
    return {name: METRICS[name].interval(runs, threshold, pools) for name in names}
