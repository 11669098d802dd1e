"""The wording of the verdict, on cells made by hand: no more is claimed than they hold."""

from __future__ import annotations

import pytest
from report_content import cell, scenario

from privaudit.evaluation.cells import TableCell
from privaudit.report.verdict import basis, comparisons, strongest, verdicts


def only(*cells: TableCell, **audit: object) -> tuple[str, str]:
    """Outcome and sentence of the one property."""
    [found] = verdicts(scenario(**({"audit": audit} if audit else {})), cells)
    return found.outcome, found.sentence


def test_a_leak_names_attack_setting_and_n() -> None:
    outcome, sentence = only(cell(auc=(0.98, 0.9, 0.99), attack="magnitude-stack"))
    assert outcome == "leak"
    assert sentence == (
        "An honest-but-curious participant can tell from one round whether the target's batch "
        "holds 'bold': AUC 0.98 [0.90, 0.99] (magnitude-stack, K = 5, 100 % shared, n = 3 runs, "
        "120 rounds)."
    )


def test_the_best_of_several_is_called_that() -> None:
    weak, strong = cell(auc=(0.7, 0.6, 0.8), fraction=0.1), cell(auc=(0.9, 0.8, 0.95))
    _, sentence = only(weak, strong)
    assert "AUC 0.90 [0.80, 0.95]" in sentence
    assert sentence.endswith("; the highest of 2 cells).")


def test_a_starred_cell_goes_before_a_higher_one_that_may_be_chance() -> None:
    lucky = cell(auc=(0.95, 0.4, 1.0), q=0.2, attack="melis-rf")
    sure = cell(auc=(0.7, 0.6, 0.8), q=0.01)
    assert strongest([lucky, sure]) is sure


def test_the_rule_is_named_where_a_part_was_shared() -> None:
    assert "10 % shared, rule largest," in only(cell(fraction=0.1))[1]


def test_no_leak_says_what_would_have_been_seen() -> None:
    outcome, sentence = only(cell(auc=(0.56, 0.42, 0.69), q=0.4, detectable=0.66))
    assert outcome == "not told"
    assert sentence == (
        "'bold' was not told from chance in the one cell measured: the highest AUC was "
        "0.56 [0.42, 0.69] (linear, K = 5, 100 % shared, n = 3 runs, 120 rounds); this does not "
        "say that nothing leaks, only that an AUC of 0.66 or more would have been seen in a single "
        "cell (80 % power, one-sided 5 %)."
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
    assert "would have missed even a perfect attack: this is no evidence either way" in sentence


def test_intervals_below_the_threshold_are_said_to_be() -> None:
    small, wide = cell(auc=(0.5, 0.45, 0.55), q=0.9), cell(auc=(0.5, 0.4, 0.7), q=0.9, attack="x")
    assert "every interval lies below 0.60" in only(small)[1]
    assert "every interval" not in only(small, wide)[1]
    failed = cell(auc=None, failures=("boom",), attack="x")
    assert "every interval" not in only(small, failed)[1]


def test_scores_the_wrong_way_round_are_pointed_out() -> None:
    assert "turns those scores round" in only(cell(auc=(0.2, 0.1, 0.4), q=1.0))[1]
    assert "turns those scores round" not in only(cell(auc=(0.45, 0.3, 0.6), q=1.0))[1]


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
