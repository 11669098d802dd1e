"""Scores meet the truth in the judge; records become cells, the same whatever order they are in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_data import table

from privaudit.custody.plan import make_plan
from privaudit.errors import UserError
from privaudit.evaluation.cells import TableCell, auc_cells, table_cells
from privaudit.evaluation.judge import judge
from privaudit.evaluation.metrics import METRICS
from privaudit.evaluation.records import Record, parse_records
from privaudit.scenario.grid import Cell, cells_of
from privaudit.scenario.load import check_scenario
from privaudit.scenario.schema import Scenario

DATA = table(40)
PRESENT = [True, False, True, False, True, False]
PERFECT = [1.0, -1.0, 2.0, -2.0, 3.0, -3.0]


def scenario(**audit: Any) -> Scenario:
    """Two properties, of which one has published numbers."""
    return check_scenario(
        {
            "name": "made-up",
            "runs": 4,
            "seed": 11,
            "audit": {"properties": ["secret", "other"], "attacks": ["linear"]} | audit,
            "report": {"published": {"secret": {"0.1": 0.93, "1.0": 0.99}}},
        },
        where="test",
    )


def record(
    run: int = 0,
    scores: Sequence[float] | None = PERFECT,
    present: Sequence[bool] | None = PRESENT,
    *,
    name: str = "secret",
    fraction: float = 1.0,
    attack: str = "linear",
    reason: str = "",
    **audit: Any,
) -> Record:
    rule = "all" if fraction == 1.0 else "largest"
    return judge(
        make_plan(scenario(**audit), DATA),
        Cell(run, name, rule, fraction, 5),
        attack,
        checksum=DATA.checksum,
        scores=None if scores is None else list(scores),
        present=None if present is None else list(present),
        reason=reason,
    )


def noisy(run: int, rounds: int = 30, shift: float = 0.6, **more: Any) -> Record:
    rng = np.random.default_rng(run)
    present = [bool(i % 2) for i in range(rounds)]
    scores = rng.standard_normal(rounds) + shift * np.array(present)
    return record(run, scores.tolist(), present, **more)


def test_scores_and_truth_are_joined_round_by_round() -> None:
    scores, present = [0.5, -0.1, -0.3, 0.2], [True, True, False, False]
    joined = record(2, scores, present, name="other", fraction=0.1)
    assert (joined.scores, joined.present) == (scores, present)
    assert (joined.run, joined.property, joined.rule) == (2, "other", "largest")
    assert (joined.fraction, joined.participants, joined.attack) == (0.1, 5, "linear")
    assert (joined.status, joined.reason, joined.view) == ("ok", "", "participant")
    # Of four pairs only (-0.1, 0.2) is in the wrong order; 0.5 and -0.3 are on the right side of 0.
    auc, accuracy, advantage = (joined.metrics[m] for m in ("auc", "accuracy", "advantage"))
    assert auc is not None
    assert accuracy is not None
    assert advantage is not None
    assert (auc.value, auc.n) == (0.75, 4)
    assert accuracy.value == 0.5
    assert advantage.value == 0.0
    assert auc.low <= auc.value <= auc.high
    assert joined.metrics["tpr_at_1_fpr"] is None  # two negatives cannot resolve 1 %


def test_a_record_says_where_it_comes_from() -> None:
    made = record()
    assert made.dataset == {"name": DATA.name, "checksum": DATA.checksum}
    assert made.configuration == scenario().model_dump(mode="json")
    assert {"python", "privaudit", "torch", "numpy"} <= set(made.versions)
    assert (made.scenario, made.seed, made.chance) == ("made-up", 11, 0.5)


def test_a_score_of_zero_is_not_a_claim() -> None:
    accuracy = record(scores=[0.0] * 6).metrics["accuracy"]
    assert accuracy is not None
    assert accuracy.value == 0.5
    one_sided = record(scores=[0.1] * 6).metrics["advantage"]
    assert one_sided is not None
    assert one_sided.value == 0.0


def test_a_failed_cell_keeps_its_reason() -> None:
    failed = record(scores=None, present=None, reason="RuntimeError: no")
    assert (failed.status, failed.reason) == ("failed", "RuntimeError: no")
    assert (failed.scores, failed.present, failed.metrics) == ([], [], {})


def test_scores_that_do_not_fit_the_truth_are_our_bug() -> None:
    with pytest.raises(ValueError, match="equally long"):
        record(scores=[1.0], present=[True, False])


def test_records_survive_json() -> None:
    made = [record(), record(scores=None, present=None, reason="no")]
    assert parse_records([r.model_dump(mode="json") for r in made], where="x") == made


def test_a_line_that_is_no_record_is_named() -> None:
    row = record().model_dump(mode="json")
    with pytest.raises(
        UserError, match=r"records\.jsonl: line 2 is not a record: status"
    ) as failure:
        parse_records([row, row | {"status": "fine"}], where="records.jsonl")
    assert "\n" not in str(failure.value)


def test_cells_have_their_runs_and_published_numbers() -> None:
    cells = table_cells(
        [
            noisy(run, name=name, fraction=fraction)
            for run in range(2)
            for name in ("secret", "other")
            for fraction in (0.1, 0.5, 1.0)
        ]
    )
    found = {(cell.property, cell.fraction): cell for cell in cells}
    assert len(cells) == len(found) == 6
    assert {key: cell.published for key, cell in found.items()} == {
        ("secret", 0.1): 0.93,
        ("secret", 0.5): None,
        ("secret", 1.0): 0.99,
        ("other", 0.1): None,
        ("other", 0.5): None,
        ("other", 1.0): None,
    }
    assert {(cell.runs, cell.rounds, cell.failures) for cell in cells} == {(2, 60, ())}
    assert all(set(cell.metrics) == set(METRICS) for cell in cells)


def test_the_cell_is_the_mean_over_runs() -> None:
    """One perfect run and one that is right in 5 of 9 pairs."""
    second = record(1, [1.0, 0.5, -1.0, 0.0, 0.7, -0.2], PRESENT)
    [cell] = table_cells([record(0), second])
    by_hand = np.mean([[a > b for a in (1.0, -1.0, 0.7)] for b in (0.5, 0.0, -0.2)])
    assert cell.auc is not None
    assert cell.auc.value == pytest.approx((1 + by_hand) / 2)


def test_failed_runs_are_counted_beside_the_good_ones() -> None:
    broken = record(1, None, None, reason="ValueError: singular")
    [cell] = table_cells([noisy(0), broken, noisy(2)])
    assert (cell.runs, cell.rounds, cell.failures) == (2, 60, ("ValueError: singular",))
    assert cell.auc == table_cells([noisy(0), noisy(2)])[0].auc
    [lost] = table_cells([broken])
    assert (lost.runs, lost.auc, lost.p_value, lost.q_value) == (0, None, None, None)
    assert lost.failures == ("ValueError: singular",)


def test_q_values_are_adjusted_over_the_whole_table() -> None:
    """Benjamini-Hochberg by hand; cells without a test are outside the family."""
    strengths = {0.1: 1.5, 0.3: 0.8, 0.5: 0.3, 1.0: 0.0}
    lost = [record(0, None, None, fraction=0.7, reason="no")]
    made = [noisy(r, 40, s, fraction=f) for f, s in strengths.items() for r in range(2)]
    cells = table_cells([*made, *lost])
    tested = sorted((c for c in cells if c.p_value is not None), key=lambda c: c.p_value or 0.0)
    assert len(tested) == 4
    expected, smallest = [], 1.0
    for rank in range(len(tested), 0, -1):
        smallest = min(smallest, (tested[rank - 1].p_value or 0.0) * len(tested) / rank)
        expected.append(smallest)
    assert [c.q_value for c in tested] == pytest.approx(expected[::-1])
    alone = table_cells([noisy(r, 40, 0.3, fraction=0.5) for r in range(2)])[0]
    assert alone.q_value == alone.p_value
    again = next(c for c in cells if c.fraction == 0.5)
    assert again.p_value == alone.p_value  # the test of a cell does not depend on the others
    assert (again.q_value or 0.0) > (alone.q_value or 0.0)


@settings(max_examples=15)
@given(st.permutations(range(5)))
def test_the_order_of_the_records_of_a_cell_does_not_matter(order: list[int]) -> None:
    records = [noisy(0), noisy(1), noisy(2), *(_failed(run) for run in (3, 4))]
    before = [r.model_copy(deep=True) for r in records]
    expected = table_cells(records)
    assert table_cells([records[i] for i in order]) == expected
    assert expected[0].failures == ("run 3 broke", "run 4 broke")
    assert table_cells(records) == expected
    assert records == before


def test_the_auc_alone_is_that_of_the_table() -> None:
    records = [
        *(noisy(run) for run in range(3)),
        *(noisy(r, 40, 0.3, fraction=0.5) for r in (0, 1)),
    ]
    records.append(_failed(3))
    whole = [(cell.sent, cell.fraction, cell.runs, cell.auc) for cell in table_cells(records)]
    alone = auc_cells(records)
    assert [(cell.sent, cell.fraction, cell.runs, cell.auc) for cell in alone] == whole
    assert {tuple(cell.metrics) for cell in alone} == {("auc",)}


def _failed(run: int) -> Record:
    return record(run, None, None, reason=f"run {run} broke")


def test_cells_do_not_depend_on_how_they_are_interleaved() -> None:
    made = [noisy(r, 30, 0.5, fraction=f) for f in (0.1, 1.0) for r in range(3)]
    by_run = sorted(made, key=lambda r: r.run)

    def by_fraction(cells: list[TableCell]) -> list[TableCell]:
        return sorted(cells, key=lambda c: c.fraction)

    assert by_fraction(table_cells(by_run)) == by_fraction(table_cells(made))


def test_with_labels_on_runs_only_the_runs_together_have_an_auc() -> None:
    """Schedule ``dataset``: every run has one label, each federation is there with both."""
    rng = np.random.default_rng(5)
    records = [
        record(
            run,
            (rng.standard_normal(8) + 9 * (run % 2)).tolist(),
            [bool(run % 2)] * 8,
            schedule="dataset",
        )
        for run in range(8)
    ]
    assert all(set(r.metrics.values()) == {None} for r in records)
    [cell] = table_cells(records)
    assert cell.auc is not None
    assert (cell.runs, cell.auc.value) == (8, 1.0)
    assert cell.p_value is not None
    # The states of four federations may be swapped: no finer p-value than 1 / 2^4 is possible.
    assert cell.p_value >= 1 / 16
    assert cell.permutation_p == 1 / 16
    assert [r.pair for r in records] == [0, 0, 1, 1, 2, 2, 3, 3]
    [fewer] = table_cells(records[1:])
    assert (fewer.runs, len(fewer.failures)) == (6, 1)


def test_at_fraction_one_the_rules_are_one_federation() -> None:
    made = scenario(fractions=[0.5, 1.0], rules=["largest", "random"], properties=["secret"])
    first = [cell for cell in cells_of(made) if cell.run == 0]
    assert [(c.rule, c.fraction) for c in first] == [
        ("largest", 0.5),
        ("all", 1.0),
        ("random", 0.5),
    ]
    assert len(cells_of(made)) == 3 * made.runs
    assert len({c.name for c in first}) == 3
