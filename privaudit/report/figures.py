"""Figures as SVG text, the same bytes for the same data."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from privaudit.evaluation.cells import TableCell

STYLE: Any = {
    "svg.hashsalt": "privaudit",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
}
MARKERS = "osD^vP*X"


def accuracy_by_round(rows: Sequence[dict[str, Any]]) -> str | None:
    """Fig. 2 of the seed paper: accuracy of the federated training, mean and range over runs."""
    if not rows:
        return None
    frame = pd.DataFrame(rows)
    by_round = frame.groupby("round")[["train_accuracy", "test_accuracy"]].agg(
        ["mean", "min", "max"]
    )
    figure, axes = _figure("round", "accuracy")
    for name, label in (("train_accuracy", "clients, training"), ("test_accuracy", "test set")):
        part = by_round[name]
        axes.plot(part.index + 1, part["mean"], marker="o", markersize=3, label=label)
        axes.fill_between(part.index + 1, part["min"], part["max"], alpha=0.2)
    axes.set_ylim(0, 1)
    axes.set_xlim(0.5, by_round.index.max() + 1.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="lower right")
    axes.set_title(f"Accuracy per round, runs: {frame['run'].nunique()} (band: their range)")
    return as_svg(figure)


def auc_by_fraction(cells: Sequence[TableCell]) -> str | None:
    """AUC of each attack by shared fraction, one panel per property, with 95 % intervals."""
    cells = [cell for cell in cells if cell.auc is not None]
    if not cells:
        return None
    names = list(dict.fromkeys(cell.property for cell in cells))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.2 * len(names) + 1.2, 3.6), layout="constrained")
        panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
        for axes, name in zip(panels, names, strict=True):
            _fraction_panel(axes, [cell for cell in cells if cell.property == name], name)
        panels[0].set_ylabel("AUC (0.5 = blind guess)")
        panels[-1].legend(fontsize="small")
        return as_svg(figure)


def seconds_by_devices(timings: Sequence[dict[str, Any]]) -> str | None:
    """Seconds of one training round by number of devices, simulated on one core."""
    rows = [row for row in timings if row["stage"] == "devices"]
    if not rows:
        return None
    frame = pd.DataFrame(rows).groupby("devices")["seconds"].agg(["median", "min", "max"])
    figure, axes = _figure("devices", "seconds per round")
    spread = [frame["median"] - frame["min"], frame["max"] - frame["median"]]
    axes.errorbar(frame.index, frame["median"], yerr=spread, marker="o", capsize=3)
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    records = rows[0]["records"]
    axes.set_title(f"One FedAvg round, {records} records a device, one core (median, range)")
    return as_svg(figure)


def _fraction_panel(axes: Axes, cells: Sequence[TableCell], title: str) -> None:
    axes.axhline(0.5, color="grey", linewidth=1, linestyle="--")
    rules = sorted({c.rule for c in cells if c.rule != "all"}) or ["all"]
    attacks = list(dict.fromkeys(c.attack for c in cells))
    numbers = sorted({c.participants for c in cells})
    series = [(a, r, k) for a in attacks for r in rules for k in numbers]
    for position, (attack, rule, participants) in enumerate(series):
        line = sorted(
            (
                c
                for c in cells
                if c.attack == attack and c.participants == participants and c.rule in (rule, "all")
            ),
            key=lambda c: c.fraction,
        )
        points = [(c.fraction, c.auc) for c in line if c.auc is not None]
        # Side by side, so that equal points stay visible.
        x = [100 * f + 0.8 * (position - (len(series) - 1) / 2) for f, _ in points]
        y = [auc.value for _, auc in points]
        error = [
            [auc.value - auc.low for _, auc in points],
            [auc.high - auc.value for _, auc in points],
        ]
        extra = (f", {rule}" if len(rules) > 1 else "") + (
            f", K={participants}" if len(numbers) > 1 else ""
        )
        marker = MARKERS[position % len(MARKERS)]
        axes.errorbar(x, y, yerr=error, marker=marker, capsize=3, label=attack + extra)
    axes.set_xlabel("parameters shared (%)")
    axes.set_xlim(0, 108)
    axes.set_xticks(sorted({100 * c.fraction for c in cells}))
    axes.set_ylim(0.2, 1.03)
    axes.set_title(title)


def _figure(xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6, 3.6), layout="constrained")
        axes = figure.subplots()
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        return figure, axes


def as_svg(figure: Figure) -> str:
    """The figure as SVG text without a date."""
    buffer = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
