"""The four answers at the top of a page: of the same numbers as the verdicts below."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from report_content import cell, scenario

from privaudit.evaluation.cells import TableCell
from privaudit.report.in_short import InShort, between, found_beside_a_coin, of_run
from privaudit.report.next_step import Next
from privaudit.report.troubles import troubles_of
from privaudit.report.verdict import LEAK, NONE, verdicts
from privaudit.statistics.intervals import Interval

STEP = Next("how many clients dilute it?", "privaudit dilution quickstart")


def of(*cells: TableCell) -> InShort:
    made = scenario(audit={"attacks": ["linear"]})
    return of_run(made, verdicts(made, cells, troubles_of(["bold"], cells)), STEP)


def test_a_leak_is_said_in_pairs_and_the_strongest_cell_beside_the_one_fixed_beforehand() -> None:
    fixed = cell(auc=(0.78, 0.61, 0.87))
    strong = cell(auc=(0.99, 0.91, 1.0), attack="magnitude-stack", at_least=0.86)
    found = of(fixed, strong)
    assert found.outcome == LEAK
    assert found.leak == (
        "Yes: 'bold'. Of 100 pairs of rounds, one with 'bold' and one without, the attack names "
        "the right one in 78; a coin in 50. The strongest attack and share measured: 99, at "
        "least 86."
    )
    assert found.sure.startswith("Between 61 and 87 of 100 with 95 % confidence")
    assert "strongest" not in of(fixed).leak


def test_a_leak_whose_interval_holds_a_coin_says_why_it_is_one() -> None:
    assert "another test" in of(cell(auc=(0.64, 0.49, 0.76))).sure
    assert "another test" not in of(cell(auc=(0.64, 0.51, 0.76))).sure


def test_where_nothing_is_told_no_number_is_called_a_leak() -> None:
    found = of(cell(auc=(0.6, 0.4, 0.8), q=0.3))
    assert found.outcome == NONE
    assert found.leak.startswith("None was found")
    assert "no proof" in found.leak
    assert "another test" not in found.sure


@given(st.floats(0, 1), st.floats(0, 1))
def test_only_an_interval_that_holds_a_coin_needs_the_other_test(one: float, two: float) -> None:
    low, high = sorted((one, two))
    auc = Interval((low + high) / 2, low, high, 3, 120, "")
    assert bool(found_beside_a_coin(auc)) == (low <= 0.5 <= high)
    assert f"{round(100 * low)} and {round(100 * high)} of 100" in between(auc)
