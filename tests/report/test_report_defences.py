"""What a report says of defences: more than was claimed, prices, and how many clients it takes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from report_content import cell, record, scenario

from privaudit.accounting.claims import ceiling_over, claim_over, clients_needed, nothing
from privaudit.accounting.gaussian import epsilon_at
from privaudit.evaluation.cells import TableCell
from privaudit.evaluation.prices import price
from privaudit.evaluation.records import Record
from privaudit.games.ending import BYTES_UP, DEFENDED
from privaudit.report import defences
from privaudit.report.tables import cell_text, interval_text, long_table, wide_table
from privaudit.report.verdict import comparisons, headline

PRIVATE = {"defences": {"private": [{"kind": "dp-fedavg", "bound": 1.0, "multiplier": 4.0}]}}


def behind(defence: str, auc: tuple[float, float, float], **facts: float) -> TableCell:
    claims = {
        "private": {"claim": claim_over(4.0, 10, 1e-5), "ceiling": ceiling_over(4.0, 1)},
        "quantise": {"claim": nothing("no noise is added")},
        "": {},
    }
    return replace(cell(auc=auc), defence=defence, facts=facts, **claims[defence])


BARE = behind("", (0.9, 0.8, 0.95), **{DEFENDED: 0.9, BYTES_UP: 400.0})
BITS = behind("quantise", (0.88, 0.8, 0.93), **{DEFENDED: 0.89, BYTES_UP: 104.0})
TRUE = behind("private", (0.6, 0.5, 0.7), **{DEFENDED: 0.7, BYTES_UP: 400.0})
FALSE = behind("private", (0.8, 0.7, 0.9))


def in_run(one: TableCell, run: int, shift: float) -> Record:
    """A record of a run that goes ``shift`` better, whatever the defence."""
    made = record(scenario(), run, one.property, one.rule, one.fraction, one.participants, "linear")
    facts = dict(one.facts) | {DEFENDED: one.facts[DEFENDED] + shift}
    return made.model_copy(update={"defence": one.defence, "facts": facts})


def test_an_interval_wholly_above_the_ceiling_says_that_the_mechanism_is_another() -> None:
    assert not TRUE.above_ceiling
    assert FALSE.above_ceiling
    (said,) = defences.above_ceilings([BARE, BITS, TRUE, FALSE])
    assert "the mechanism is not what was claimed" in said
    assert "defence private" in said
    assert comparisons([FALSE])[0] == said
    assert cell_text(FALSE) == "0.80 [0.70, 0.90]* (above its ceiling 0.64)"
    assert cell_text(TRUE) == "0.60 [0.50, 0.70]* (ceiling 0.64)"
    assert cell_text(BARE) == "0.90 [0.80, 0.95]*"
    edge = replace(FALSE, ceiling=ceiling_over(4.0, 10))
    assert not edge.above_ceiling


def test_the_table_has_a_row_for_each_with_its_price() -> None:
    cells = [BARE, BITS, TRUE]
    records = [
        in_run(one, run, shift) for one in cells for run, shift in enumerate((-0.02, 0.0, 0.02))
    ]
    frame = defences.table(cells, records)
    assert frame["defence"].tolist() == ["none", "quantise", "private"]
    assert frame["ε"].tolist() == ["none", "none", "7.51 (δ = 1e-05)"]
    assert frame["ceiling"].tolist() == ["–", "–", "0.64"]
    assert [text[:4] for text in frame["main task"]] == ["0.90", "0.89", "0.70"]
    lost = price(
        [r for r in records if r.defence == "private"], [r for r in records if not r.defence]
    )
    assert frame["accuracy lost"].tolist() == ["–", "0.01 [0.01, 0.01]", interval_text(lost.lost)]
    assert lost.lost.value == pytest.approx(0.2)
    assert lost.lost.low == pytest.approx(0.2), "run by run: what runs share is gone"
    assert lost.accuracy.high - lost.accuracy.low > 0.05
    assert frame["bytes up"].tolist() == ["400", "104", "400"]


def test_tables_keep_defences_apart_and_name_them() -> None:
    cells = [BARE, BITS, TRUE]
    assert wide_table(cells)["rule"].tolist() == ["all", "all, quantise", "all, private"]
    rows = long_table(cells).to_dict("records")
    assert [row["defence"] for row in rows] == ["none", "quantise", "private"]
    assert rows[1]["no_epsilon_because"] == "no noise is added"
    assert "defence" not in long_table([cell()]).columns
    assert headline(scenario(audit={"defences": ["none", "quantise"]}), [BITS, BARE]) is BARE


def test_the_promise_in_words_and_the_clients_it_takes() -> None:
    made = scenario(**PRIVATE, audit={"defences": ["none", "private"]})
    lines = " ".join(defences.lines(made, [BARE, TRUE]))
    assert "at δ = 1e-05 for a participant's data in place of others (replace-one)" in lines
    assert "simulated noise" in lines
    assert "an AUC below it is no evidence of the promise" in lines
    (line,) = defences.clients_line(made, [BARE, TRUE], 1000)
    assert f"about {clients_needed(1000, 10, 3.0, 1e-5):,} in each round" in line
    assert defences.clients_line(made, [BARE, BITS], 1000) == []
    assert defences.lines(made, [cell()]) == []


def test_a_promise_to_single_records_says_so() -> None:
    of_a_record = {
        "claim": claim_over(8.0, 10, 1e-5, uses=2, unit="record"),
        "ceiling": ceiling_over(8.0, 20),
    }
    by_record = replace(
        TRUE, defence="records", property="membership", game="membership", **of_a_record
    )
    stated = f"{epsilon_at(2 * 20**0.5 / 8, 1e-5):.3g} (δ = 1e-05, record)"
    assert defences.table([by_record], [])["ε"].tolist() == [stated]
    steps = {"records": [{"kind": "dp-sgd", "bound": 1.0, "multiplier": 8.0}]}
    made = scenario(defences=steps, audit={"defences": ["none", "records"]})
    (line, *_) = defences.lines(made, [by_record])
    assert "for a single record in place of another (replace-one), over 10 rounds" in line
    assert "in which a record is used 2 times" in line
    assert defences.clients_line(made, [by_record], 1000) == [], "noise does not go by clients"
