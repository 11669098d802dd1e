"""Cells of every game in one frame: a row per cell, the same columns whatever was asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from privaudit.evaluation.cells import TableCell
from privaudit.evaluation.metrics import METRICS
from privaudit.evaluation.rebuilt_cells import RebuiltCell
from privaudit.scenario.schema import NO_DEFENCE, RECONSTRUCTION
from privaudit.statistics.intervals import Interval

COLUMNS = {
    "game": "what was asked: property, membership, reconstruction, public-ledger, ...",
    "target": "about what: a property, members, batch-B, a channel of the ledger",
    "attack": "name",
    "view": "what the adversary sees: participant, server, sum, public",
    "rule": "which parameters are shared; all where everything is",
    "share": "of the parameters, above 0, at most 1",
    "defence": "name; none where there is none",
    "participants": "K, clients in a round",
    "colluders": "of them, besides the adversary",
    "statistic": "auc, or of batches: records, labels (share), images (dB), words (F1)",
    "value": "mean over runs; missing where every run failed",
    "low": "of the 95 % interval over runs",
    "high": "of the same",
    "blind": "what a guess without the trace gets: 0.5 of an AUC; measured for rebuilt records",
    "n": "scores behind it: rounds, candidates, records of a ledger; of rebuilt records rounds",
    "runs": "federation runs with scores",
    "failed_runs": "runs without",
    "p_value": "test against chance, one-sided",
    "q_value": "the same, adjusted over the table (Benjamini-Hochberg)",
    "told": "whether the attack did better than a blind guess: a star in tables",
}
"""Column -> what it holds. All games have all of them."""


def tidy_cells(cells: Sequence[TableCell], rebuilt: Sequence[RebuiltCell] = ()) -> pd.DataFrame:
    """One row per cell with :data:`COLUMNS`, unrounded, in the order of the tables.

    Args:
        cells: of games with an AUC.
        rebuilt: of the game reconstruction.
    """
    rows: Iterable[dict[str, Any]] = [*map(_scored, cells), *map(_rebuilt, rebuilt)]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    numbers = ["value", "low", "high", "blind", "p_value", "q_value"]
    return frame.astype(dict.fromkeys(numbers, "float64"))


def _scored(cell: TableCell) -> dict[str, Any]:
    return {
        **_place(cell),
        "game": cell.game,
        "statistic": "auc",
        **_limits(cell.auc),
        "blind": METRICS["auc"].chance,
    }


def _rebuilt(cell: RebuiltCell) -> dict[str, Any]:
    return {
        **_place(cell),
        "game": RECONSTRUCTION,
        "statistic": cell.measure.name if cell.measure else None,
        **_limits(cell.found),
        "blind": cell.guess.value if cell.guess else None,
    }


def _place(cell: TableCell | RebuiltCell) -> dict[str, Any]:
    """What cells of all games have."""
    return {
        "target": cell.property,
        "attack": cell.attack,
        "view": cell.view,
        "rule": cell.rule,
        "share": cell.fraction,
        "defence": cell.defence or NO_DEFENCE,
        "participants": cell.participants,
        "colluders": cell.colluders,
        "n": cell.rounds,
        "runs": cell.runs,
        "failed_runs": len(cell.failures),
        "p_value": cell.p_value,
        "q_value": cell.q_value,
        "told": cell.told,
    }


def _limits(found: Interval | None) -> dict[str, float | None]:
    if found is None:
        return dict.fromkeys(("value", "low", "high"))
    return {"value": found.value, "low": found.low, "high": found.high}
