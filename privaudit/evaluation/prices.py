"""What a defence costs the main task, over runs: accuracy, and how much of it is lost. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from privaudit.evaluation.records import Record
from privaudit.games.ending import BYTES_UP, DEFENDED
from privaudit.statistics.intervals import Interval
from privaudit.statistics.rebuilt import gain_over_runs, mean_over_runs

LOSS_ALLOWED = 0.05
"""Of the main task's accuracy, where nobody says how much a defence may cost."""


@dataclass(frozen=True)
class Price:
    """Of one defence, with 95 % intervals over runs.

    Attributes:
        accuracy: of the main task under it; None where it was not measured in two runs.
        lost: by how much less that is than without a defence, run by run; None where there is none
            to compare with, and for no defence itself.
        bytes_up: that a client sends in a round, mean; None where it was not counted.
    """

    accuracy: Interval | None
    lost: Interval | None
    bytes_up: float | None


def price(records: Sequence[Record], undefended: Sequence[Record]) -> Price:
    """What a defence costs.

    Args:
        records: under the defence; of a run that has several, their mean counts.
        undefended: without a defence, of the same questions and clients; none where ``records``
            are these themselves.
    """
    own, plain = _by_run(records, DEFENDED), _by_run(undefended, DEFENDED)
    both = sorted(set(own) & set(plain))
    sent = _by_run(records, BYTES_UP)
    return Price(
        accuracy=mean_over_runs([[value] for value in own.values()], counted=False)
        if len(own) > 1
        else None,
        lost=gain_over_runs([[plain[n]] for n in both], [[own[n]] for n in both], counted=False)
        if len(both) > 1
        else None,
        bytes_up=float(np.mean(list(sent.values()))) if sent else None,
    )


def _by_run(records: Sequence[Record], fact: str) -> dict[int, float]:
    """Run -> mean of a fact over its records that state it."""
    found: dict[int, list[float]] = {}
    for record in records:
        if fact in record.facts:
            found.setdefault(record.run, []).append(record.facts[fact])
    return {run: float(np.mean(values)) for run, values in sorted(found.items())}
