"""Two audits of how much of a batch is rebuilt, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from report_content import record, scenario

from privaudit.evaluation.comparing import compared
from privaudit.evaluation.rebuilding import Rebuilt
from privaudit.evaluation.records import Record
from privaudit.scenario.schema import RECONSTRUCTION
from privaudit.studies.comparison import Comparison, answer, comparison_json, comparison_table

RUNS, ROUNDS, BATCH = 6, 4, 8


def audited(
    share: float, *, seed: int = 1, noise: int = 1, measure: str = "records"
) -> list[Record]:
    """Of each batch of eight about so much stands in the answer to it."""
    made, rows = scenario(runs=RUNS, seed=seed, audit={"rounds": ROUNDS}), []
    for run in range(RUNS):
        truth, made_up = (np.random.default_rng([one, run]) for one in (seed, noise))
        found = made_up.binomial(BATCH, share, ROUNDS) / BATCH
        of = Rebuilt(
            measure=measure,
            shares=np.diag(found if measure == "records" else 20 + 20 * found).tolist(),
            guess=(truth.integers(0, 3, ROUNDS) / BATCH).tolist(),
            answered=[BATCH] * ROUNDS,
            beside={}
            if measure == "records"
            else dict.fromkeys(("exact", "guess_exact"), [0.0] * ROUNDS),
        )
        row = record(made, run, f"batch-{BATCH}", "all", 1.0, 2, "first-layer")
        change = {"game": RECONSTRUCTION, "rebuilt": of, "scores": [], "present": []}
        rows.append(row.model_copy(update=change))
    return rows


def comparison(first: Sequence[Record], second: Sequence[Record]) -> Comparison:
    return Comparison(compared(first, second), 0, [], [])


def test_less_of_the_batches_is_told_and_said_in_its_own_unit() -> None:
    found = comparison(audited(0.9), audited(0.2, noise=2))
    (cell,) = found.cells
    assert (cell.paired, cell.less, cell.more) == (True, True, False)
    assert answer(found).startswith("The second leaks less than the first in 1 of 1 cells")
    assert "records 0." in answer(found)
    assert "AUC" not in answer(found)
    (row,) = comparison_json(found)
    assert row["statistic"] == "records"
    assert row["difference"] == pytest.approx(row["second"] - row["first"])
    images = comparison(audited(0.9, measure="images"), audited(0.2, noise=2, measure="images"))
    text = comparison_table(images)["difference"][0]
    assert " dB [" in text
    assert text.endswith("*")


def test_other_federations_are_not_paired_and_other_measures_are_not_compared() -> None:
    (cell,) = compared(audited(0.9), audited(0.9, seed=2, noise=2))
    assert (cell.paired, cell.more, cell.less) == (False, False, False)
    assert compared(audited(0.9), audited(0.9, measure="images")) == []


def test_all_right_in_both_is_not_known_to_be_right_for_ever() -> None:
    (cell,) = compared(audited(1.0), audited(1.0))
    assert cell.same
    assert cell.difference is not None
    assert cell.difference.value == 0
    assert cell.difference.low < 0 < cell.difference.high
    images = compared(*(audited(1.0, measure="images") for _ in range(2)))
    assert images[0].difference is not None
    assert images[0].difference.p_value == 1.0
