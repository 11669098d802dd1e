"""Which layer leaks: table, figure and a sentence, from ``layers.jsonl``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from privaudit.attack.layers import ALL
from privaudit.evaluation.layers import LayerScores
from privaudit.evaluation.records import Record
from privaudit.randomness import Seed
from privaudit.report.figures import PLAIN, panels_of, short
from privaudit.report.tables import interval_text
from privaudit.statistics.intervals import Interval, auc_interval
from privaudit.statistics.pools import Holdings
from privaudit.statistics.runs import RunScores
from privaudit.statistics.told import adjusted, against_chance, design_of, is_told

CHANCE = 0.5
MOST_LAYERS = 24
"""Drawn; a table has all of them."""

NOTE = (
    "From one layer alone, by an adversary that learned from its own records: a ridge regression "
    "on the magnitudes of the layer's coordinates in shadow updates, made at the parameters of "
    "each round. It is simpler than the attacks of the table: a layer without signal here may "
    "still help one of them. Compare layers with one another, not with the table. * marks layers "
    "that tell the property from chance, by the rule of the table over all layers."
)


@dataclass(frozen=True)
class LayerCell:
    """One layer and property over all runs.

    Attributes:
        parameters: of the layer.
        share: of all parameters, in (0, 1].
        runs: federation runs with scores.
        auc: with its interval over them; None where every federation diverged.
        p_value: test against chance, one-sided (:mod:`privaudit.statistics.told`).
        q_value: the same, adjusted over all layers and properties of the run.
    """

    property: str
    participants: int
    shared: float
    layer: str
    parameters: int
    share: float
    runs: int
    auc: Interval | None
    p_value: float | None = None
    q_value: float | None = None

    @cached_property
    def told(self) -> bool:
        """Whether the property is told from this layer."""
        return is_told(self.q_value)


def layer_cells(scores: Sequence[LayerScores], records: Sequence[Record] = ()) -> list[LayerCell]:
    """One per property and layer, in the order of the rows.

    Args:
        scores: of every run.
        records: of the same runs; they know what the target draws from.
    """
    holdings = {(r.run, r.property, r.participants): r.held() for r in records}
    groups: dict[tuple[str, str], list[LayerScores]] = {}
    for row in scores:
        groups.setdefault((row.property, row.layer), []).append(row)
    sizes = {row.layer: row.parameters for row in scores}
    cells = [_cell(rows, sizes.get(ALL, 0), holdings) for rows in groups.values()]
    q_values = adjusted([cell.p_value for cell in cells])
    return [replace(cell, q_value=q) for cell, q in zip(cells, q_values, strict=True)]


def layer_table(cells: Sequence[LayerCell]) -> pd.DataFrame:
    """One row per layer, one column per property, as text; ``*`` marks what is told."""
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
        row[cell.property] = interval_text(cell.auc) + ("*" if cell.told else "")
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
            "p_value": cell.p_value,
            "q_value": cell.q_value,
            "runs": cell.runs,
        }
        for cell in cells
    ]


def layer_sentences(
    cells: Sequence[LayerCell], troubles: Mapping[str, Sequence[str]] | None = None
) -> list[str]:
    """For each property, which layers tell it and which of them best; overlap is said.

    ``troubles`` are what keeps a property from being called leaked, by its name.
    """
    wrong = troubles or {}
    return [
        f"'{name}': no leak is claimed of any layer, starred or not: {'; '.join(wrong[name])}."
        if wrong.get(name)
        else _sentence(name, [c for c in cells if c.property == name and c.layer != ALL])
        for name in dict.fromkeys(cell.property for cell in cells)
    ]


@matplotlib.rc_context(PLAIN)
def auc_by_layer(cells: Sequence[LayerCell], *, narrow: bool = False) -> Figure | None:
    """AUC from each layer alone with its interval, one panel per property, input at the top."""
    cells = [cell for cell in cells if cell.auc is not None]
    names = list(dict.fromkeys(cell.property for cell in cells))
    layers = _drawn(list(dict.fromkeys(cell.layer for cell in cells)))
    if not layers:
        return None
    height = 1.3 + 0.32 * len(layers)
    figure, panels = panels_of(len(names), width=3.0, height=height, margin=1.6, narrow=narrow)
    for axes, name in zip(panels, names, strict=True):
        axes.axvline(CHANCE, color="grey", linewidth=1, linestyle="--")
        own = {cell.layer: cell for cell in cells if cell.property == name}
        for place, layer in enumerate(layers):
            told, auc = (own[layer].told, own[layer].auc) if layer in own else (False, None)
            if auc is None:
                continue
            error = [[auc.value - auc.low], [auc.high - auc.value]]
            axes.errorbar(
                [auc.value],
                [place],
                xerr=error,
                marker="s" if layer == ALL else "o",
                color="C0" if told else "grey",
                markerfacecolor="C0" if told else "none",
                capsize=3,
            )
        axes.set_title(short(name))
        axes.set_xlim(0, 1.03)
        axes.set_xlabel("AUC from this layer alone")
    panels[0].set_yticks(np.arange(len(layers)), [short(layer) for layer in layers])
    panels[0].set_ylim(len(layers) - 0.5, -0.5)
    return figure


def _cell(
    rows: Sequence[LayerScores],
    whole: int,
    holdings: Mapping[tuple[int, str, int], Sequence[Holdings]],
) -> LayerCell:
    first = rows[0]
    rows = sorted((row for row in rows if row.scores), key=lambda row: row.run)
    held = [holdings.get((row.run, row.property, row.participants), ()) for row in rows]
    runs = [_scores(row, len(of_run)) for row, of_run in zip(rows, held, strict=True)]
    auc = p_value = None
    if runs:
        design = design_of(runs, held)
        rng = Seed(0).generator("layers", first.property, first.layer)
        p_value = against_chance(runs, design, rng).p_value
        auc = auc_interval(runs, **design.pools)
    return LayerCell(
        property=first.property,
        participants=first.participants,
        shared=first.fraction,
        layer=first.layer,
        parameters=first.parameters,
        share=first.parameters / whole if whole else 1.0,
        runs=len(runs),
        auc=auc,
        p_value=p_value,
    )


def _scores(row: LayerScores, targets: int) -> RunScores:
    """Where targets rotate, of several."""
    whose = np.arange(len(row.scores)) % targets if targets > 1 else None
    return RunScores(np.array(row.scores), np.array(row.present), targets=whose)


def _sentence(name: str, cells: Sequence[LayerCell]) -> str:
    found = [(cell.auc, cell) for cell in cells if cell.auc is not None]
    if not found:
        return f"'{name}': nothing can be said, the federation diverged."
    told = [cell.layer for _, cell in found if cell.told]
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
