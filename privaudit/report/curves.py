"""Figures made from single scores: ROC curves, and the AUC over the audited rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from privaudit.evaluation.cells import TableCell
from privaudit.evaluation.records import Record, with_scores
from privaudit.report.figures import (
    MOST_BESIDE,
    NARROW,
    PLAIN,
    label_left,
    name_lines,
    panels_of,
    short,
)
from privaudit.report.looks import look_of
from privaudit.scenario.schema import PROPERTY
from privaudit.statistics.intervals import auc_interval
from privaudit.statistics.roc import roc_curve
from privaudit.statistics.runs import FloatArray, RunScores, Unit, label_unit, pool

MOST_PROPERTIES, MOST_ATTACKS = 6, 2
LEAST_PER_WINDOW = 4
"""Rounds of each kind, in each run, that an AUC within a window needs."""


def shown_cells(cells: Sequence[TableCell]) -> list[TableCell]:
    """The cells single scores are drawn of: most parameters shared, fewest participants.

    The two attacks with the highest mean AUC there, the six properties with the highest AUC; each
    in table order.
    """
    good = [cell for cell in cells if cell.auc is not None]
    if not good:
        return []
    clients = min(cell.participants for cell in good)
    good = [cell for cell in good if cell.participants == clients]
    share = max(cell.fraction for cell in good)
    sent = next(cell.sent for cell in good if cell.fraction == share)
    good = [cell for cell in good if (cell.fraction, cell.sent) == (share, sent)]
    attacks = _highest(good, "attack", MOST_ATTACKS)
    good = [cell for cell in good if cell.attack in attacks]
    names = _highest(good, "property", MOST_PROPERTIES)
    return [cell for cell in good if cell.property in names]


def left_out(cells: Sequence[TableCell]) -> str:
    """What of attacks and properties :func:`shown_cells` leaves out, to be said; or nothing."""
    shown, good = shown_cells(cells), [cell for cell in cells if cell.auc is not None]
    parts = []
    for kind, several in (("attack", "attacks"), ("property", "properties")):
        drawn, there = ({getattr(cell, kind) for cell in some} for some in (shown, good))
        if len(drawn) < len(there):
            parts.append(f"the {len(drawn)} of {len(there)} {several} with the highest AUC there")
    return f"; drawn are {' and '.join(parts)}" if parts else ""


@matplotlib.rc_context(PLAIN)
def roc_curves(
    records: Sequence[Record], cells: Sequence[TableCell], *, narrow: bool = False
) -> Figure | None:
    """ROC of the shown cells, linear and with both axes logarithmic.

    Few properties have a column each, linear above; more have a row each, linear on the left.
    Mean over runs of the true positive rate at each expected false positive rate; band: their
    range.
    """
    shown = shown_cells(cells)
    if not shown:
        return None
    names = list(dict.fromkeys(cell.property for cell in shown))
    beside = len(names) <= MOST_BESIDE
    size = (2.9 * len(names) + 1.0, 5.8) if beside else (6.8, 2.9 * len(names))
    shape = (2, len(names)) if beside else (len(names), 2)
    if narrow:
        size, shape = (NARROW, 6.0 * len(names)), (2 * len(names), 1)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(*shape, squeeze=False)
    pairs = panels.reshape(-1, 2) if narrow else panels.T if beside else panels
    for (linear, logarithmic), name in zip(pairs, names, strict=True):
        for cell in (c for c in shown if c.property == name):
            _roc_lines((linear, logarithmic), cell, scores_of(records, cell))
        linear.set_title(short(name))
        _frame(linear, logarithmic)
    for axes in panels[:, 0]:
        axes.set_ylabel("true positive rate")
    return figure


@matplotlib.rc_context(PLAIN)
def auc_by_window(
    records: Sequence[Record], cells: Sequence[TableCell], *, narrow: bool = False
) -> Figure | None:
    """AUC of the shown cells within consecutive windows of the audited rounds, with intervals.

    None where the rounds are too few for two windows with enough rounds of each kind, and where
    scores are of no rounds.
    """
    asked = [cell for cell in cells if cell.game == PROPERTY]
    scores = [(cell, scores_of(records, cell)) for cell in shown_cells(asked)]
    count = min((len(windows(runs)) for _, runs in scores), default=0)
    if not count:
        return None
    cut = [(cell, windows(runs, most=count)) for cell, runs in scores]
    shown = [(cell, parts) for cell, parts in cut if parts]
    names = list(dict.fromkeys(cell.property for cell, _ in shown))
    figure, panels = panels_of(len(names), width=2.9, height=3.0, margin=1.8, narrow=narrow)
    for axes, name in zip(panels, names, strict=True):
        axes.axhline(0.5, color="grey", linewidth=1, linestyle="--")
        own = [(cell, parts) for cell, parts in shown if cell.property == name]
        for position, (cell, parts) in enumerate(own):
            _window_line(axes, cell, parts, position)
        axes.set_title(short(name))
        axes.set_xlabel("audited round")
        axes.set_xlim(0, max(last for _, parts in own for _, last, _ in parts) + 2)
        axes.set_ylim(0, 1.03)
    label_left(panels, "AUC within the window")
    name_lines(figure, panels)
    return figure


def scores_of(records: Sequence[Record], cell: TableCell) -> list[RunScores]:
    """Scores and labels of a cell, by run."""
    names = ("property", "rule", "fraction", "participants", "attack", "defence")
    found = (r for r in records if all(getattr(r, n) == getattr(cell, n) for n in names))
    return [record.run_scores() for record in with_scores(found)]


Window = tuple[int, int, list[RunScores]]
"""First round, last round (0-based, both inside), and the runs cut to them."""


def windows(runs: Sequence[RunScores], *, most: int = 5) -> list[Window]:
    """As many equal windows, up to ``most``, as leave enough rounds of each kind in each run."""
    of_rounds = label_unit(runs) is Unit.ROUND
    length = min(run.n_rounds for run in runs)
    for count in range(min(most, length // (2 * LEAST_PER_WINDOW)), 1, -1):
        edges = np.linspace(0, length, count + 1).astype(int)
        pairs = zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        cut = [
            (
                start,
                stop - 1,
                [
                    replace(
                        r,
                        scores=r.scores[start:stop],
                        present=r.present[start:stop],
                        targets=None,
                        possible=None,
                    )
                    for r in runs
                ],
            )
            for start, stop in pairs
        ]
        if all(_enough(part, of_rounds) for _, _, part in cut):
            return cut
    return []


def _enough(runs: Sequence[RunScores], of_rounds: bool) -> bool:
    if of_rounds:
        return min(min(run.n_present, run.n_absent) for run in runs) >= LEAST_PER_WINDOW
    return min(run.n_rounds for run in runs) >= 2 * LEAST_PER_WINDOW


def mean_roc(runs: Sequence[RunScores]) -> tuple[FloatArray, FloatArray]:
    """Expected false positive rates [P] and, for each run, the true positive rates there [R, P].

    Where labels belong to runs their rounds are pooled, and R is 1.
    """
    parts = [pool(runs)] if label_unit(runs) is Unit.RUN else list(runs)
    curves = [roc_curve(run.scores, run.present) for run in parts]
    grid = np.unique(np.concatenate([curve.fpr for curve in curves]))
    return grid, np.array([np.interp(grid, curve.fpr, curve.tpr) for curve in curves])


def _roc_lines(panels: tuple[Axes, Axes], cell: TableCell, runs: Sequence[RunScores]) -> None:
    colour = look_of(cell.attack).colour
    rates, found = mean_roc(runs)
    value = f"{cell.attack} ({cell.auc.value:.2f})" if cell.auc else cell.attack
    for axes, start in zip(panels, (0, 1), strict=True):
        x, part = rates[start:], found[:, start:]  # a rate of 0 has no logarithm
        axes.plot(x, part.mean(axis=0), label=value, color=colour)
        axes.fill_between(
            x,
            part.min(axis=0),
            part.max(axis=0),
            alpha=0.15,
            color=colour,
            linewidth=0,
        )


def _frame(linear: Axes, logarithmic: Axes) -> None:
    for axes in (linear, logarithmic):
        grid = np.geomspace(1e-3, 1, 50)
        axes.plot(grid, grid, color="grey", linewidth=1, linestyle="--")
        axes.set_xlabel("false positive rate")
    linear.legend(fontsize="small", loc="lower right", title="attack (AUC)", title_fontsize="small")
    linear.set_xlim(-0.02, 1.02)
    linear.set_ylim(-0.02, 1.04)
    ticks = [0.01, 0.03, 0.1, 0.3, 1.0]
    logarithmic.set_xscale("log")
    logarithmic.set_yscale("log")
    logarithmic.set_xticks(ticks, [f"{t:g}" for t in ticks])
    logarithmic.set_yticks(ticks, [f"{t:g}" for t in ticks])
    logarithmic.minorticks_off()
    logarithmic.set_xlim(0.009, 1.15)
    logarithmic.set_ylim(0.009, 1.15)


def _window_line(axes: Axes, cell: TableCell, parts: Sequence[Window], position: int) -> None:
    tau, overlap = (cell.design.tau or 0.0, cell.design.overlap) if cell.design else (0.0, 0.0)
    found = [auc_interval(runs, tau=tau, overlap=overlap) for _, _, runs in parts]
    middles = [(first + last) / 2 + 1 + 0.8 * position for first, last, _ in parts]
    y = [interval.value for interval in found]
    error = [[i.value - i.low for i in found], [i.high - i.value for i in found]]
    colour, marker = look_of(cell.attack)
    axes.errorbar(middles, y, yerr=error, marker=marker, color=colour, capsize=3, label=cell.attack)


def _highest(cells: Sequence[TableCell], key: str, most: int) -> set[str]:
    """The names with the highest mean AUC."""
    values: dict[str, list[float]] = {}
    for cell in cells:
        if cell.auc is not None:
            values.setdefault(getattr(cell, key), []).append(cell.auc.value)
    ordered = sorted(values, key=lambda name: -float(np.mean(values[name])))
    return set(ordered[:most])
