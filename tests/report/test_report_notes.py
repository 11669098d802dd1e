"""Notes on power and on finite pools: both ways, the worst cell, and what cannot be known."""

from __future__ import annotations

from dataclasses import replace

from report_content import cell, content, scenario

from privaudit.evaluation.cells import table_cells
from privaudit.report.notes import pool_notes, power_note, reading
from privaudit.statistics.pools import Holdings

HELD = Holdings(110, 110, 32, others=3, other_records=110, overlap=0.2)


def test_power_is_stated_both_ways_for_the_weakest_cell() -> None:
    cells = [cell(detectable=0.7, if_all=0.64), cell(detectable=0.8, if_all=0.7, attack="x")]
    assert power_note(cells) == [
        "Would have been starred in 80 of 100 such audits, in every cell: an AUC of 0.80 if it "
        "alone leaked, an AUC of 0.70 if all 2 cells did (d' of runs deviating by 0.2)."
    ]
    [alone] = power_note(cells[:1])
    assert alone.startswith("Would have been starred in 80 of 100 such audits: an AUC of 0.70 (d'")
    [none] = power_note([*cells, cell(detectable=None, if_all=0.9, attack="y")])
    assert ": not even a perfect attack if it alone leaked, an AUC of 0.90 if all 3" in none
    assert "not even a perfect attack" in power_note([cell(detectable=None)])[0]
    assert power_note([cell(auc=None)]) == []


def test_the_note_on_pools_is_about_the_cell_where_they_matter_most() -> None:
    few, many = cell(holdings=HELD, participants=2), cell(holdings=replace(HELD, others=30))
    [note] = pool_notes(scenario(), [many, few])
    assert note == (
        "The target's 110 + 110 records with and without the property differ by chance by up to "
        f"AUC 0.70 in one deal of 20 (tau {HELD.tau:.2f}; runs share 20 % of its records) ('bold', "
        "K = 2, where it is most); the test allows for it."
    )
    writers = replace(HELD, groups=(9, 11), group_weight=0.2, icc=0.07)
    assert (
        "from 9 and 11 groups, which explain 7 %"
        in pool_notes(scenario(), [cell(holdings=writers)])[0]
    )
    noisy = scenario(federation={"noise": 0.1})
    assert "taking deltas without clipping and noise" in pool_notes(noisy, [few])[0]


def test_without_what_the_target_held_the_page_says_so() -> None:
    [note] = pool_notes(scenario(), [cell()])
    assert "By how much cannot be known here: the records do not say what it held" in note
    known, unknown = pool_notes(scenario(), [cell(holdings=HELD), cell(attack="x")])
    assert known.startswith("The target's 110 + 110")
    assert "cannot be known here in 1 of 2 cells" in unknown
    assert pool_notes(scenario(), [cell(auc=None)]) == []


def test_old_records_rest_on_the_permutation_test() -> None:
    made = scenario()
    found = content(made)
    [old] = found.cells
    assert old.p_value == old.permutation_p
    records = [r.model_copy(update={"holdings": HELD}) for r in found.records]
    [new] = table_cells(records)
    assert new.permutation_p == old.p_value
    assert new.p_value is not None
    assert new.p_value >= new.permutation_p
    assert new.auc is not None
    assert old.auc is not None
    assert new.auc.low < old.auc.low < old.auc.high < new.auc.high


def test_what_questions_rest_on_is_said_once() -> None:
    asked = {"questions": ["sizes", "holders", "labels"]}
    note = reading(scenario(public_ledger=asked, federation={"rounds": 12}))[0]
    assert note.endswith(
        "Runs: 3, of 40 audited rounds per cell and of 12 rounds of ordinary training per cell."
    )
