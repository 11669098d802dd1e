"""Which layer leaks: table, figure and a sentence, from ``layers.jsonl``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from privaudit.evaluation.layers import ALL, LayerScores
from privaudit.report.figures import MARKERS, PLAIN, as_svg, short
from privaudit.report.tables import interval_text
from privaudit.statistics.intervals import Interval, auc_interval
from privaudit.statistics.runs import RunScores

CHANCE = 0.5
MOST_LAYERS = 24
"""Drawn; a table has all of them."""

NOTE = (
    "From one layer alone, by an adversary that learned from its own records: a ridge regression "
    "on the magnitudes of the layer's coordinates in shadow updates, made at the parameters of "
    "each round. It is simpler than the attacks of the table: a layer without signal here may "
    "still help one of them. Compare layers with one another, not with the table."
)


@dataclass(frozen=True)
class LayerCell:
    """One layer and property over all runs.

    Attributes:
        parameters: of the layer.
        share: of all parameters, in (0, 1].
        runs: federation runs with scores.
        auc: with its interval over them; None where every federation diverged.
    """

    property: str
    participants: int
    shared: float
    layer: str
    parameters: int
    share: float
    runs: int
    auc: Interval | None


def layer_cells(scores: Sequence[LayerScores]) -> list[LayerCell]:
    """One per property and layer, in the order of the rows."""
    groups: dict[tuple[str, str], list[LayerScores]] = {}
    for row in scores:
        groups.setdefault((row.property, row.layer), []).append(row)
    sizes = {row.layer: row.parameters for row in scores}
    return [_cell(rows, sizes.get(ALL, 0)) for rows in groups.values()]


def layer_table(cells: Sequence[LayerCell]) -> pd.DataFrame:
    """One row per layer, one column per property, as text."""
    rows: dict[str, dict[str, str]] = {}
    for cell in cells:
        row = rows.setdefault(
            cell.layer,
            {
                "layer": cell.layer,
                "parameters": f"{cell.parameters:,}",
                "of all": f"{100 * cell.share:.1f} %",
            },
        )
        row[cell.property] = interval_text(cell.auc)
    return pd.DataFrame(list(rows.values())).fillna("–")


def layer_rows(cells: Sequence[LayerCell]) -> list[dict[str, Any]]:
    """For machines; null where there is no number."""
    return [
        {
            "property": cell.property,
            "participants": cell.participants,
            "shared_fraction": cell.shared,
            "layer": cell.layer,
            "parameters": cell.parameters,
            "parameter_share": cell.share,
            "auc": cell.auc.value if cell.auc else None,
            "low": cell.auc.low if cell.auc else None,
            "high": cell.auc.high if cell.auc else None,
            "runs": cell.runs,
        }
        for cell in cells
    ]


def layer_sentences(cells: Sequence[LayerCell]) -> list[str]:
    """For each property, which layers tell it and which of them best; overlap is said."""
    return [
        _sentence(name, [c for c in cells if c.property == name and c.layer != ALL])
        for name in dict.fromkeys(cell.property for cell in cells)
    ]


@matplotlib.rc_context(PLAIN)
def auc_by_layer(cells: Sequence[LayerCell]) -> str | None:
    """AUC from each layer alone with its interval, one panel per property, input at the top."""
    cells = [cell for cell in cells if cell.auc is not None]
    names = list(dict.fromkeys(cell.property for cell in cells))
    layers = _drawn(list(dict.fromkeys(cell.layer for cell in cells)))
    if not layers:
        return None
    height = 1.3 + 0.32 * len(layers)
    figure = Figure(figsize=(3.0 * len(names) + 1.6, height), layout="constrained")
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        axes.axvline(CHANCE, color="grey", linewidth=1, linestyle="--")
        own = {cell.layer: cell.auc for cell in cells if cell.property == name}
        for place, layer in enumerate(layers):
            auc = own.get(layer)
            if auc is None:
                continue
            error = [[auc.value - auc.low], [auc.high - auc.value]]
            told = auc.low > CHANCE
            axes.errorbar(
                [auc.value],
                [place],
                xerr=error,
                marker=MARKERS[1 if layer == ALL else 0],
                color="C0" if told else "grey",
                markerfacecolor="C0" if told else "none",
                capsize=3,
            )
        axes.set_title(short(name))
        axes.set_xlim(0, 1.03)
        axes.set_xlabel("AUC from this layer alone")
    panels[0].set_yticks(np.arange(len(layers)), [short(layer) for layer in layers])
    panels[0].set_ylim(len(layers) - 0.5, -0.5)
    return as_svg(figure)


def _cell(rows: Sequence[LayerScores], whole: int) -> LayerCell:
    first = rows[0]
    rows = sorted((row for row in rows if row.scores), key=lambda row: row.run)
    runs = [RunScores(np.array(row.scores), np.array(row.present)) for row in rows]
    return LayerCell(
        property=first.property,
        participants=first.participants,
        shared=first.fraction,
        layer=first.layer,
        parameters=first.parameters,
        share=first.parameters / whole if whole else 1.0,
        runs=len(runs),
        auc=auc_interval(runs) if runs else None,
    )


def _sentence(name: str, cells: Sequence[LayerCell]) -> str:
    found = [(cell.auc, cell) for cell in cells if cell.auc is not None]
    if not found:
        return f"'{name}': nothing can be said, the federation diverged."
    told = [cell.layer for auc, cell in found if auc.low > CHANCE]
    best, cell = max(found, key=lambda pair: pair[0].value)
    if not told:
        return (
            f"'{name}': no single layer tells it; the highest AUC is "
            f"{interval_text(best)}, from {cell.layer}."
        )
    least = min((auc for auc, _ in found), key=lambda auc: auc.high)
    apart = (
        "its interval is apart from the lowest layer's"
        if best.low > least.high
        else ("all intervals overlap")
    )
    alone = f"{cell.layer} ({interval_text(best)})"
    return f"'{name}': told from {_listed(told)} alone, best from {alone}; {apart}."


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _drawn(layers: Sequence[str]) -> list[str]:
    """Of a deep model every n-th layer; always the last one, and all of them together."""
    alone = [layer for layer in layers if layer != ALL]
    if len(alone) > MOST_LAYERS:
        places = np.linspace(0, len(alone) - 1, MOST_LAYERS).astype(int)
        alone = [alone[place] for place in places]
    return [*alone, *(layer for layer in layers if layer == ALL)]
