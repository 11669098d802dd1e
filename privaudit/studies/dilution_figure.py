"""The figure of a dilution measurement: small multiples, one panel per question and share."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from privaudit.report.figures import NARROW, PLAIN, label_lines, short
from privaudit.report.findings import error_bars
from privaudit.report.looks import look_of
from privaudit.studies.dilution_curves import Curve

MISFIT = 0.05
"""A law whose p-value is below is not drawn."""

WIDTH, HEIGHT, LABELS = 2.5, 2.2, 1.9
"""Inches of a panel, and of what stands beside the last one of a row."""


@matplotlib.rc_context(PLAIN)
def dilution_figure(curves: Sequence[Curve], threshold: float, *, narrow: bool = False) -> Figure:
    """AUC by honest clients: a row per attacker and property, a column per share.

    One line per attack in each panel, named beside the last panel of its row.

    Args:
        curves: at least one.
        threshold: the AUC below which an attacker is called harmless; a band.
        narrow: for a page on a telephone, all panels below one another.
    """
    rows = list(dict.fromkeys((curve.attacker, curve.property) for curve in curves))
    shares = list(dict.fromkeys(curve.share for curve in curves))
    places = [(row, share) for row in rows for share in shares]
    columns = 1 if narrow else len(shares)
    lines = -(-len(places) // columns)
    width = NARROW if narrow else max(WIDTH * columns + LABELS, 5.6)
    figure = Figure(figsize=(width, HEIGHT * lines + 0.4), layout="constrained")
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for number, (axes, ((attacker, name), share)) in enumerate(
        zip(panels.flat, places, strict=True)
    ):
        key = (attacker, name, share)
        own = [c for c in curves if (c.attacker, c.property, c.share) == key]
        _panel(axes, own, threshold)
        axes.set_title(f"{short(name)}, {attacker}\n{share} shared", fontsize="small")
        if number % columns == columns - 1:
            label_lines(axes)
    for axes in panels[:, 0]:
        axes.set_ylabel("AUC")
    colluding = any(c.participants[0] != c.honest[0] + 1 for c in curves)
    for axes in panels[-1]:
        axes.set_xlabel("honest clients" + ("" if colluding else " (K - 1)"))
    return figure


def _panel(axes: Axes, curves: Sequence[Curve], threshold: float) -> None:
    axes.axhline(0.5, color="grey", linewidth=1, linestyle="--")
    axes.axhspan(1 - threshold, threshold, color="grey", alpha=0.12, linewidth=0)
    for number, curve in enumerate(curves):
        colour, mark = look_of(curve.attack)
        x = np.array(curve.honest) * 1.04 ** (number - (len(curves) - 1) / 2)
        y = [interval.value for interval in curve.aucs]
        bars = error_bars(curve.aucs)
        axes.errorbar(x, y, bars, marker=mark, color=colour, ls="", capsize=3, label=curve.attack)
        if curve.moment and (curve.moment.misfit_p or 1.0) >= MISFIT:
            grid = np.geomspace(curve.honest[0], curve.honest[-1], 40)
            axes.plot(grid, [curve.moment.auc(n).value for n in grid], color=colour, linewidth=1)
    axes.set_xscale("log")
    ticks = sorted({n for curve in curves for n in curve.honest})
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.minorticks_off()
    axes.set_ylim(0, 1.03)
