"""Published values outside our intervals: which, on which side, and what may explain them."""

from __future__ import annotations

import pytest
from report_content import cell, scenario

from privaudit.report.notes import footnotes
from privaudit.report.published import explanation, gap_sentence, published_gaps


def test_a_value_above_is_said_to_be_above() -> None:
    made = cell("region", (0.61, 0.5, 0.7), fraction=0.1, participants=2, published=0.84)
    assert gap_sentence(made) == (
        "'region', 10 % shared, rule largest, K = 2, linear: published 0.84, ours "
        "0.61 [0.50, 0.70] (n = 3 runs, 120 rounds): the published value lies above our interval."
    )


def test_a_value_below_is_said_to_be_below() -> None:
    found = gap_sentence(cell(auc=(0.9, 0.8, 0.95), runs=1, published=0.7))
    assert found is not None
    assert "(n = 1 run, 40 rounds): the published value lies below" in found


@pytest.mark.parametrize("published", [None, 0.7, 0.8, 0.9, 0.904, 0.696])
def test_nothing_is_said_of_a_value_inside_or_on_the_limit_as_printed(
    published: float | None,
) -> None:
    assert gap_sentence(cell(auc=(0.8, 0.7, 0.9), published=published)) is None


def test_a_failed_cell_has_no_gap() -> None:
    assert gap_sentence(cell(auc=None, published=0.9)) is None


def test_the_explanation_names_what_the_run_knows_and_that_it_is_not_measured() -> None:
    made = scenario(
        data={"name": "csi", "text": "lemmas"},
        federation={"partition": "by-group", "rounds": 0},
        audit={"auxiliary_overlap": 0.25},
    )
    text = explanation(made)
    for part in (
        "nobody holds records of the same group",
        "also holds 25 % of the target's records",
        "text variant 'lemmas'",
        "40 audited rounds of fedsgd, from the initial weights",
        "not measured here",
    ):
        assert part in text
    assert "text variant" not in explanation(scenario())
    assert "partition 'iid'" in explanation(scenario())
    assert "also holds none of the target's records" in explanation(scenario())


def test_gaps_are_notes_under_the_table_together_with_the_remarks() -> None:
    made = scenario(report={"published_source": "Table 1", "notes": ["The split is not stated."]})
    outside, inside = cell(published=0.99), cell(published=0.8, attack="x")
    notes = footnotes(made, [outside, inside])
    assert notes[-4] == "published: Table 1."
    assert notes[-3] == gap_sentence(outside)
    assert notes[-2].startswith("What may explain a published value outside")
    assert notes[-1] == "The split is not stated."
    assert published_gaps(made, [inside]) == []
    assert footnotes(made, [inside])[-2:] == ["published: Table 1.", "The split is not stated."]
