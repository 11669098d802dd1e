"""The wording of the verdict, on cells made by hand: no more is claimed than they hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from report_content import cell, scenario

from privaudit.evaluation.cells import TableCell
from privaudit.report.troubles import nothing_measured, troubles_of
from privaudit.report.verdict import basis, comparisons, headline, strongest, verdicts
from privaudit.statistics.pools import Holdings


def only(
    *cells: TableCell,
    training: Sequence[dict[str, Any]] = (),
    endings: Sequence[dict[str, Any]] = (),
    **audit: object,
) -> tuple[str, str]:
    """Outcome and sentence of the one property."""
    made = scenario(**({"audit": audit} if audit else {}))
    [found] = verdicts(made, cells, troubles_of(["bold"], cells, training, endings))
    return found.outcome, found.sentence


def test_a_leak_names_attack_setting_and_n() -> None:
    outcome, sentence = only(cell(auc=(0.98, 0.9, 0.99), attack="magnitude-stack"))
    assert outcome == "leak"
    assert sentence == (
        "An honest-but-curious participant can tell from one round whether the target's batch "
        "holds 'bold': AUC 0.98 [0.90, 0.99] (magnitude-stack, K = 5, 100 % shared, n = 3 runs, "
        "120 rounds)."
    )


def test_the_cell_fixed_beforehand_comes_first_and_the_highest_is_corrected() -> None:
    first = cell(auc=(0.9, 0.8, 0.95))
    chosen = cell(auc=(0.97, 0.9, 0.99), fraction=0.1, at_least=0.85)
    outcome, sentence = only(chosen, first, attacks=["linear"])
    assert outcome == "leak"
    assert (
        ": AUC 0.90 [0.80, 0.95] (linear, K = 5, 100 % shared, n = 3 runs, 120 rounds)" in sentence
    )
    assert sentence.endswith(
        "; the cell fixed beforehand: most shared, fewest participants, first attack. The highest "
        "of 2 cells: AUC 0.97, at least 0.85 (corrected for choosing among 2 cells); linear, "
        "K = 5, 10 % shared, rule largest, n = 3 runs, 120 rounds."
    )
    same = cell(auc=(0.9, 0.8, 0.95), at_least=0.75)
    assert only(same, cell(auc=(0.7, 0.6, 0.8), fraction=0.1))[1].endswith(
        "It is the highest of 2 cells, too: at least 0.75 (corrected for choosing among 2 cells)."
    )


@pytest.mark.parametrize("lost", [True, False])
def test_the_cell_fixed_beforehand_is_named_where_only_another_was_told(lost: bool) -> None:
    first = cell(auc=None, failures=("boom",)) if lost else cell(auc=(0.6, 0.4, 0.8), q=0.3)
    outcome, sentence = only(first, cell(auc=(0.9, 0.8, 0.95), fraction=0.1, at_least=0.7))
    assert outcome == "leak"
    assert ": the highest of 2 cells: AUC 0.90, at least 0.70 (corrected" in sentence
    assert ("it failed. 1 of 2 cells have no result." in sentence) == lost
    assert ("AUC 0.60 [0.40, 0.80]" in sentence) == (not lost)


def test_what_is_fixed_beforehand_does_not_depend_on_results() -> None:
    made = scenario(audit={"attacks": ["melis-rf", "linear"], "fractions": [0.1, 1.0]})
    cells = [
        cell(fraction=f, participants=k, attack=a, auc=(0.5 + 0.1 * (f < 1), 0.4, 0.9))
        for f in (0.1, 1.0)
        for k in (5, 2)
        for a in ("linear", "melis-rf")
    ]
    found = headline(made, cells)
    assert found is not None
    assert (found.fraction, found.participants, found.attack) == (1.0, 2, "melis-rf")


def test_a_starred_cell_goes_before_a_higher_one_that_may_be_chance() -> None:
    lucky = cell(auc=(0.95, 0.4, 1.0), q=0.2, attack="melis-rf")
    sure = cell(auc=(0.7, 0.6, 0.8), q=0.01)
    assert strongest([lucky, sure]) is sure


def test_the_rule_is_named_where_a_part_was_shared() -> None:
    assert "10 % shared, rule largest," in only(cell(fraction=0.1))[1]


def test_no_leak_says_what_would_have_been_seen() -> None:
    outcome, sentence = only(cell(auc=(0.56, 0.42, 0.69), q=0.4, detectable=0.66, if_all=0.6))
    assert outcome == "not told"
    assert sentence == (
        "'bold' was not told from chance in the one cell measured: the highest AUC was "
        "0.56 [0.42, 0.69] (linear, K = 5, 100 % shared, n = 3 runs, 120 rounds); this does not "
        "say that nothing leaks, only that an AUC of 0.66 or more would have been starred in 80 of "
        "100 such audits if it alone leaked (0.60 if all cells did)."
    )


@pytest.mark.parametrize("word", ["safe", "private", "secure", "harmless", "no leak"])
def test_no_leak_is_never_called_safe(word: str) -> None:
    assert word not in only(cell(auc=(0.5, 0.45, 0.55), q=0.9))[1]


def test_the_weakest_power_of_the_cells_counts() -> None:
    cells = [
        cell(auc=(0.5, 0.4, 0.7), q=0.9, detectable=d, attack=a)
        for d, a in ((0.6, "x"), (0.8, "y"))
    ]
    assert "an AUC of 0.80 or more" in only(*cells)[1]


def test_without_power_there_is_no_evidence_either_way() -> None:
    sentence = only(cell(auc=(0.5, 0.1, 0.9), q=1.0, detectable=None))[1]
    assert "would have missed even a perfect attack: no evidence either way" in sentence


def test_intervals_near_chance_are_said_to_be_on_both_sides() -> None:
    small, wide = cell(auc=(0.5, 0.45, 0.55), q=0.9), cell(auc=(0.5, 0.4, 0.7), q=0.9, attack="x")
    near = "every interval lies between 0.40 and 0.60"
    assert near in only(small)[1]
    assert near not in only(small, wide)[1]
    below = cell(auc=(0.32, 0.22, 0.45), q=1.0, attack="x")
    assert "every interval" not in only(small, below)[1]
    sentence = only(small, cell(auc=None, failures=("boom",), attack="x"))[1]
    assert "every interval" not in sentence
    assert "1 of them have no result" in sentence


def test_scores_the_wrong_way_round_are_pointed_out() -> None:
    assert (
        "wholly below 0.50: those scores carry information"
        in only(cell(auc=(0.2, 0.1, 0.4), q=1.0))[1]
    )
    assert "wholly below" not in only(cell(auc=(0.45, 0.3, 0.6), q=1.0))[1]


def rows(**last: Any) -> list[dict[str, Any]]:
    """Training of two runs, the second one's last round as given."""
    fine = {"test_loss": 1.0, "train_loss": 1.0, "test_accuracy": 0.5, "rejected": {}}
    made = [fine | {"run": run, "round": number} for run in (0, 1) for number in (0, 1)]
    return [*made[:-1], made[-1] | last]


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ({"test_loss": 179.9}, "diverged in 1 of 2 runs (in run 1 the test loss at its end is 180"),
        ({"test_loss": None}, "the test loss at its end is not finite"),
        ({"train_loss": None, "test_loss": 3.0}, "the training diverged in 1 of 2 runs"),
        (
            {"rejected": {"2": "not finite"}},
            "diverged in 1 of 2 runs (in run 1 deltas were not finite in 1 of 2 rounds)",
        ),
    ],
)
def test_no_leak_is_claimed_from_a_federation_that_diverged(last: Any, said: str) -> None:
    outcome, sentence = only(cell(auc=(1.0, 0.95, 1.0)), training=rows(**last))
    assert outcome == "unknown"
    assert sentence.startswith("No leak of 'bold' is claimed: the training diverged")
    assert said in sentence
    assert only(cell(auc=(1.0, 0.95, 1.0)), training=rows())[0] == "leak"
    assert only(cell(), training=rows(rejected={"2": "norm above bound"}))[0] == "leak"


def ending(**last: Any) -> list[dict[str, Any]]:
    """Two federations of the property, the second as given, and one of another."""
    fine = {"participants": 3, "rounds": 40, "heard": 40, "own": 40, "not_finite": 0}
    fine |= {"property": "bold", "test_loss": 0.7}
    return [fine | {"run": 0}, fine | {"run": 1} | last, fine | {"run": 1, "property": "serif"}]


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (
            {"test_loss": 2e32},
            "the audited rounds diverged in 1 of 2 federations (in run 1, K = 3: the test loss "
            "after them is 2e+32)",
        ),
        ({"test_loss": None}, "the test loss after them is not finite"),
        ({"not_finite": 5}, "K = 3: deltas were not finite in 5 of 40 rounds"),
        ({"heard": 0}, "in 1 of 2 federations the aggregate held nothing but the adversary's own"),
        ({"heard": 0, "own": 0}, "the aggregate held nothing at all in every audited round"),
    ],
)
def test_no_leak_is_claimed_where_the_audited_rounds_went_wrong(last: Any, said: str) -> None:
    """Whatever the training did: there may have been none."""
    outcome, sentence = only(cell(auc=(1.0, 0.95, 1.0)), endings=ending(**last))
    assert outcome == "unknown"
    assert sentence.startswith("No leak of 'bold' is claimed: ")
    assert said in sentence
    assert only(cell(auc=(1.0, 0.95, 1.0)), endings=ending())[0] == "leak"


def test_where_nothing_was_measured_is_told_from_where_something_went_wrong() -> None:
    good, deaf = cell(), ending(heard=0)
    assert nothing_measured([good], rows(), deaf) == ""
    assert nothing_measured([good], rows(test_loss=None), ending(test_loss=None)) == ""
    assert "no cell has scores" in nothing_measured([cell(auc=None)])
    assert "every score" in nothing_measured([cell(silent=3)])
    assert "every federation diverged" in nothing_measured([good], rows(test_loss=None)[-1:])
    assert "every federation diverged" in nothing_measured([good], (), ending(not_finite=1)[1:2])
    assert "nothing of another client" in nothing_measured([good], (), deaf[1:2])


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (cell(holdings=Holdings(99, 99, 8, label_agreement=0.97)), "'bold' is almost the label"),
        (cell(holdings=Holdings(1, 99, 1)), "the target holds a single record with it"),
        (cell(holdings=Holdings(99, 1, 1)), "the target holds a single record without it"),
        (cell(holdings=Holdings(9, 99, 1), fewest=(1, 99)), "a single record with it"),
        (cell(auc=(0.5, 0.4, 0.6), q=1.0, silent=3), "nothing was heard"),
    ],
)
def test_no_leak_is_claimed_where_the_audit_is_about_something_else(
    found: TableCell, said: str
) -> None:
    outcome, sentence = only(found)
    assert outcome == "unknown"
    assert said in sentence
    assert only(cell(holdings=Holdings(99, 99, 8, label_agreement=0.8), silent=1))[0] == "leak"


def test_failed_cells_are_unknown_with_their_reason() -> None:
    found = only(cell(auc=None, failures=("RuntimeError: singular",)))
    assert found == (
        "unknown",
        "Nothing can be said about 'bold': every cell failed (RuntimeError: singular).",
    )
    assert only()[1] == "Nothing can be said about 'bold': nothing was measured."


def test_an_untested_cell_is_not_a_leak() -> None:
    assert only(cell(q=None))[0] == "not told"


def test_one_verdict_a_property_in_the_order_of_the_scenario() -> None:
    made = scenario(audit={"properties": ["bold", "serif", "italic"]})
    cells = [cell("serif", (0.5, 0.4, 0.6), q=0.8), cell("bold"), cell("italic", None)]
    found = [(v.property, v.outcome) for v in verdicts(made, cells)]
    assert found == [("bold", "leak"), ("serif", "not told"), ("italic", "unknown")]


def test_the_threat_model_and_the_schedule_are_in_the_sentence() -> None:
    assert only(cell(), threat_model="server")[1].startswith("An honest-but-curious server can")
    made = scenario(runs=4, audit={"schedule": "dataset"})
    assert "the target's data hold 'bold', runs with it compared with runs without" in (
        verdicts(made, [cell()])[0].sentence
    )
    assert "sees every client's delta" in basis(scenario(audit={"threat_model": "server"}), [])[0]


def test_overlapping_intervals_are_no_difference() -> None:
    cells = [cell(auc=(0.75, 0.6, 0.85), fraction=0.1), cell(auc=(0.85, 0.8, 0.9))]
    assert comparisons(cells) == [
        "Sharing 10 % instead of 100 % of the parameters, AUC: 'bold' 0.75 [0.60, 0.85] instead of "
        "0.85 [0.80, 0.90]. The two intervals overlap: no difference is claimed."
    ]


def test_a_difference_is_claimed_only_where_the_intervals_are_apart() -> None:
    cells = [
        cell("bold", (0.6, 0.55, 0.65), fraction=0.1),
        cell("bold", (0.85, 0.8, 0.9)),
        cell("serif", (0.8, 0.7, 0.9), fraction=0.1),
        cell("serif", (0.85, 0.8, 0.9)),
    ]
    [sentence] = comparisons(cells)
    assert sentence.endswith(
        "The two intervals are apart for 'bold'; "
        "the others overlap, no difference is claimed there."
    )
    [alone] = comparisons(cells[:2])
    assert alone.endswith("The two intervals are apart for 'bold'.")


def test_more_participants_are_compared_with_fewer() -> None:
    cells = [cell(auc=(0.9, 0.8, 0.95)), cell(auc=(0.6, 0.5, 0.7), participants=33)]
    [sentence] = comparisons(cells)
    assert sentence.startswith("With K = 33 instead of K = 5 participants, AUC: 'bold' 0.60 [")


def test_only_what_was_told_is_compared_and_like_with_like() -> None:
    chance = [cell(q=0.5, fraction=0.1), cell(q=0.5)]
    assert comparisons(chance) == []
    other_attack = [cell(attack="melis-rf", fraction=0.1, auc=(0.6, 0.5, 0.7)), cell()]
    assert comparisons(other_attack) == []
    rules = [
        cell(auc=(0.95, 0.9, 0.99)),
        cell(auc=(0.8, 0.7, 0.9), fraction=0.1, rule="largest"),
        cell(auc=(0.6, 0.5, 0.7), fraction=0.1, rule="random"),
    ]
    assert "'bold' 0.80" in comparisons(rules)[0]


def test_a_single_run_and_failed_runs_are_admitted() -> None:
    lines = basis(scenario(runs=1), [cell(runs=1, failures=("boom",)), cell(attack="x")])
    assert "Measured on 1 independent federation run of 40 audited rounds" in lines[0]
    assert "say nothing about other runs" in lines[1]
    assert lines[2].startswith("1 of 2 cells had failed runs")
    assert len(basis(scenario(), [cell()])) == 1
