"""Figures made from single scores: which cells, which windows, and the mean ROC curve."""

from __future__ import annotations

import re

import numpy as np
import pytest
from report_content import cell, content, layer_scores, scenario

from privaudit.report.curves import (
    auc_by_window,
    left_out,
    mean_roc,
    roc_curves,
    scores_of,
    shown_cells,
    windows,
)
from privaudit.report.figures import as_svg, auc_by_fraction
from privaudit.report.layers import auc_by_layer, layer_cells
from privaudit.statistics.intervals import tpr_at_fpr_interval
from privaudit.statistics.runs import RunScores


def runs(rounds: int = 40, count: int = 3, shift: float = 1.0) -> list[RunScores]:
    rng = np.random.default_rng(1)
    present = np.arange(rounds) % 2 == 1
    return [RunScores(rng.standard_normal(rounds) + shift * present, present) for _ in range(count)]


def test_the_mean_curve_is_of_the_table() -> None:
    made = runs()
    rates, found = mean_roc(made)
    mean = found.mean(axis=0)
    tpr = tpr_at_fpr_interval(made, 0.1)
    assert tpr is not None
    assert np.interp(0.1, rates, mean) == pytest.approx(tpr.value)
    assert (rates[0], rates[-1], mean[-1]) == (0.0, 1.0, 1.0)
    assert (np.diff(found, axis=1) >= 0).all()


def test_runs_with_one_label_are_pooled() -> None:
    made = [RunScores(np.arange(4.0) + 4 * has, np.full(4, bool(has))) for has in (0, 1)]
    rates, found = mean_roc(made)
    assert found.shape == (1, rates.size)
    assert found[0, 1] == 1.0  # told apart above every absent score


def test_windows_are_equal_and_cover_every_round() -> None:
    parts = windows(runs(40))
    edges = [(first, last) for first, last, _ in parts]
    assert edges == [(0, 7), (8, 15), (16, 23), (24, 31), (32, 39)]
    assert sum(part[0].n_rounds for _, _, part in parts) == 40
    assert (len(windows(runs(34))), len(windows(runs(100)))) == (4, 5)


def test_too_few_rounds_have_no_windows() -> None:
    assert windows(runs(14)) == windows(runs(3)) == []
    late = RunScores(np.arange(40.0), np.arange(40) >= 20)
    assert windows([late]) == []


def test_the_most_shared_and_the_fewest_clients_are_drawn() -> None:
    cells = [
        cell(fraction=0.1, auc=(0.99, 0.9, 1.0)),
        cell(auc=(0.8, 0.7, 0.9)),
        cell(participants=9),
        cell("dead", None, failures=("boom",)),
    ]
    assert shown_cells(cells) == [cells[1]]
    assert shown_cells([]) == shown_cells(cells[3:]) == []


def test_two_attacks_and_six_properties_at_most() -> None:
    cells = [
        cell(f"p{n}", (0.5 + n / 20, 0.4, 1.0), attack=attack)
        for n in range(8)
        for attack in ("a", "b", "c")
    ]
    found = shown_cells(cells)
    assert {c.property for c in found} == {f"p{n}" for n in range(2, 8)}
    assert {c.attack for c in found} == {"a", "b"}


def test_scores_are_those_of_the_cell_in_order_of_runs() -> None:
    made = content(scenario(audit={"attacks": ["linear", "melis-rf"]}))
    found = scores_of(list(reversed(made.records)), made.cells[0])
    own = [r for r in made.records if r.attack == made.cells[0].attack]
    assert [list(run.scores) for run in found] == [r.scores for r in own]


def test_names_with_dollars_are_no_formulas() -> None:
    made = content(scenario(audit={"properties": [r"$\nonsense{$ & <b>"]}))
    for drawn in (roc_curves(made.records, made.cells), auc_by_window(made.records, made.cells)):
        assert drawn is not None
        assert r"$\nonsense{$ &amp; &lt;b&gt;" in as_svg(drawn)
    assert roc_curves([], []) is None
    assert auc_by_window([], []) is None


def test_what_is_not_drawn_is_said() -> None:
    many = [
        cell(name, (0.6 + 0.01 * n, 0.5, 0.9), attack=attack)
        for n, name in enumerate("abcdefgh")
        for attack in ("linear", "melis-rf", "magnitude-stack")
    ]
    said = left_out(many)
    assert "2 of 3 attacks" in said
    assert "6 of 8 properties" in said
    assert left_out([cell()]) == ""


def width(svg: str) -> float:
    """Of a figure, in points."""
    found = re.search(r'<svg[^>]* width="([\d.]+)pt"', svg)
    assert found
    return float(found[1])


@pytest.mark.parametrize("count", [2, 5])
def test_more_properties_make_a_figure_longer_not_wider(count: int) -> None:
    """Shown at the width of a page, six panels side by side had letters of four pixels."""
    names = [f"property {number}" for number in range(count)]
    asked = scenario(audit={"properties": names})
    made = content(asked)
    figures = [
        auc_by_fraction(made.cells),
        roc_curves(made.records, made.cells),
        auc_by_window(made.records, made.cells),
        auc_by_layer(layer_cells(layer_scores(asked))),
    ]
    for figure in figures:
        assert figure is not None
        svg = as_svg(figure)
        assert width(svg) < 620
        assert all(name in svg for name in names)
