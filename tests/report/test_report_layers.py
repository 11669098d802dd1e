"""What is said about layers: no more than the intervals hold."""

from __future__ import annotations

import json

import pytest
from report_content import audit_entries, content, layer_scores, scenario

from privaudit.attack.layers import ALL
from privaudit.evaluation.layers import LayerScores
from privaudit.report.drawings import drawings
from privaudit.report.figures import as_svg
from privaudit.report.layers import (
    MOST_LAYERS,
    LayerCell,
    auc_by_layer,
    layer_cells,
    layer_rows,
    layer_sentences,
    layer_table,
)
from privaudit.report.plain import report_json, report_markdown
from privaudit.statistics.intervals import Interval


def cell(layer: str, *auc: float, name: str = "bold") -> LayerCell:
    interval = Interval(*auc, 3, 120, "made up") if auc else None
    q_value = (0.01 if auc[1] > 0.5 else 0.5) if auc else None
    return LayerCell(name, 5, 1.0, layer, 10, 0.1, 3 if auc else 0, interval, q_value, q_value)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (
            [cell("a", 0.9, 0.8, 0.95), cell("b", 0.5, 0.3, 0.7), cell(ALL, 0.95, 0.9, 0.99)],
            "'bold': told from a alone, best from a (0.90 [0.80, 0.95]); its interval is apart "
            "from the lowest layer's.",
        ),
        (
            [cell("a", 0.8, 0.6, 0.9), cell("b", 0.7, 0.55, 0.85), cell("c", 0.6, 0.51, 0.7)],
            "'bold': told from a, b and c alone, best from a (0.80 [0.60, 0.90]); all intervals "
            "overlap.",
        ),
        (
            [cell("a", 0.6, 0.45, 0.7), cell("b", 0.5, 0.3, 0.7)],
            "'bold': no single layer tells it; the highest AUC is 0.60 [0.45, 0.70], from a.",
        ),
        ([cell("a"), cell(ALL)], "'bold': nothing can be said, the federation diverged."),
    ],
)
def test_sentences_claim_what_the_intervals_hold(cells: list[LayerCell], said: str) -> None:
    assert layer_sentences(cells) == [said]


def test_cells_are_over_runs_and_know_their_share() -> None:
    made = scenario(audit={"properties": ["bold", "serif"]})
    cells = layer_cells(layer_scores(made))
    assert [(c.property, c.layer) for c in cells] == [
        (name, layer) for name in ("bold", "serif") for layer in ("hidden", "output", ALL)
    ]
    assert [c.share for c in cells[:3]] == [0.9, 0.1, 1.0]
    assert {c.runs for c in cells} == {3}
    hidden, output = cells[0].auc, cells[1].auc
    assert hidden is not None
    assert output is not None
    assert hidden.low > 0.75
    assert output.low < 0.5 < output.high
    assert layer_cells(list(reversed(layer_scores(made))))[0].runs == 3


def test_a_run_that_diverged_is_not_counted() -> None:
    rows = layer_scores(scenario())
    empty = {"scores": [], "present": []}
    rows = [r.model_copy(update=empty) if r.run == 1 else r for r in rows]
    assert {c.runs for c in layer_cells(rows)} == {2}
    gone = [LayerScores.model_validate(r.model_dump() | empty) for r in rows]
    assert {c.auc for c in layer_cells(gone)} == {None}
    assert layer_table(layer_cells(gone))["bold"].tolist() == ["–"] * 3
    assert auc_by_layer(layer_cells(gone)) is None
    assert layer_rows(layer_cells(gone))[0]["auc"] is None


def test_a_deep_model_is_drawn_in_part_and_listed_whole() -> None:
    cells = [cell(f"layer{n}", 0.6, 0.5, 0.7) for n in range(100)] + [cell(ALL, 0.7, 0.6, 0.8)]
    figure = auc_by_layer(cells)
    assert figure is not None
    svg = as_svg(figure)
    assert svg.count(">layer") == MOST_LAYERS
    assert ">layer99<" in svg
    assert f">{ALL}<" in svg
    assert len(layer_table(cells)) == 101


def test_every_form_of_the_report_has_them() -> None:
    made = scenario()
    whole = content(made, layers=layer_cells(layer_scores(made)), audits=audit_entries(made))
    text = report_markdown(whole, drawings(whole))
    assert "\n## Which layer leaks\n" in text
    assert "figures/auc_by_layer.svg" in text
    assert "\n### Audit entries\n" in text
    document = json.loads(report_json(whole))
    assert [row["layer"] for row in document["layers"]] == ["hidden", "output", ALL]
    assert document["audit_entries"][0]["sha256"] == "d" * 64
    bare = json.loads(report_json(content(made)))
    assert (bare["layers"], bare["layers_note"], bare["audit_entries"]) == ([], None, [])
