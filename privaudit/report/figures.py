"""Figures as SVG text, the same bytes for the same data."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib
import pandas as pd
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from privaudit.evaluation.cells import TableCell
from privaudit.scenario.schema import NO_DEFENCE

INK = "#1a1b1c"
"""Colour of text and axes, and of nothing else: a page may replace it by its own."""

STYLE: Any = {
    "svg.hashsalt": "privaudit",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    # Of middling lightness: to be seen on white and on black, and by the colour-blind.
    "axes.prop_cycle": cycler(color=["#2f83c5", "#d9722e", "#2a9d74", "#b45fb0", "#a88a1e"]),
} | {f"{part}color": INK for part in ("text.", "axes.edge", "axes.label", "xtick.", "ytick.")}
PLAIN: Any = STYLE | {"text.parse_math": False}
"""For figures with names of others in them: a dollar sign is no formula."""

MOST_LETTERS = 28
MOST_BESIDE, COLUMNS = 3, 2
"""Panels side by side; more stand in so many columns, where a narrow page leaves them readable."""
MARKERS = "osD^vP*X"


@matplotlib.rc_context(STYLE)
def accuracy_by_round(rows: Sequence[dict[str, Any]]) -> str | None:
    """Fig. 2 of the seed paper: accuracy of the federated training, mean and range over runs.

    Beside it the bytes that the training moved.
    """
    if not rows:
        return None
    frame = pd.DataFrame(rows)
    by_round = frame.groupby("round")[["train_accuracy", "test_accuracy"]].agg(
        ["mean", "min", "max"]
    )
    figure, (axes, traffic) = _figures(("round", "accuracy"), ("round", "MB, all clients, summed"))
    for name, label in (("train_accuracy", "clients, training"), ("test_accuracy", "test set")):
        part = by_round[name]
        axes.plot(part.index + 1, part["mean"], marker="o", markersize=3, label=label)
        axes.fill_between(part.index + 1, part["min"], part["max"], alpha=0.2)
    axes.set_ylim(0, 1)
    axes.set_xlim(0.5, by_round.index.max() + 1.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="lower right")
    axes.set_title(f"Accuracy, runs: {frame['run'].nunique()} (band: their range)")
    _traffic_panel(traffic, frame)
    return as_svg(figure)


def _traffic_panel(axes: Axes, frame: pd.DataFrame) -> None:
    """Bytes moved up to and including each round, mean over runs; the ways may coincide."""
    by_round = frame.groupby("round")[["bytes_up", "bytes_down"]].mean().cumsum() / 1e6
    axes.plot(by_round.index + 1, by_round["bytes_up"], marker="o", markersize=3, label="up")
    axes.plot(by_round.index + 1, by_round["bytes_down"], linestyle="--", label="down")
    axes.set_ylim(bottom=0)
    axes.set_xlim(0.5, by_round.index.max() + 1.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="lower right")
    axes.set_title("Parameters sent")


@matplotlib.rc_context(PLAIN)
def auc_by_fraction(cells: Sequence[TableCell]) -> str | None:
    """AUC of each attack by shared fraction, one panel per property, with 95 % intervals."""
    cells = [cell for cell in cells if cell.auc is not None]
    if not cells:
        return None
    names = list(dict.fromkeys(cell.property for cell in cells))
    figure, panels = panels_of(len(names), width=3.2, height=3.6, margin=1.2)
    for axes, name in zip(panels, names, strict=True):
        _fraction_panel(axes, [cell for cell in cells if cell.property == name], name)
    label_left(panels, "AUC (0.5 = blind guess)")
    panels[-1].legend(fontsize="small")
    return as_svg(figure)


@matplotlib.rc_context(STYLE)
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
    axes.set_xticks(frame.index)
    records = rows[0]["records"]
    axes.set_title(f"One FedAvg round, {records} records a device")
    return as_svg(figure)


def _fraction_panel(axes: Axes, cells: Sequence[TableCell], title: str) -> None:
    axes.axhline(0.5, color="grey", linewidth=1, linestyle="--")
    rules = sorted({c.rule for c in cells if c.rule != "all"}) or ["all"]
    attacks = list(dict.fromkeys(c.attack for c in cells))
    numbers = sorted({c.participants for c in cells})
    defences = list(dict.fromkeys(c.defence for c in cells))
    series = [(a, r, k, d) for a in attacks for r in rules for k in numbers for d in defences]
    for position, (attack, rule, participants, defence) in enumerate(series):
        line = sorted(
            (
                c
                for c in cells
                if (c.attack, c.participants, c.defence) == (attack, participants, defence)
                and c.rule in (rule, "all")
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
        extra += f", {defence or NO_DEFENCE}" if len(defences) > 1 else ""
        marker = MARKERS[position % len(MARKERS)]
        axes.errorbar(x, y, yerr=error, marker=marker, capsize=3, label=attack + extra)
    axes.set_xlabel("parameters shared (%)")
    axes.set_xlim(0, 108)
    axes.set_xticks(sorted({100 * c.fraction for c in cells}))
    axes.set_ylim(0.2, 1.03)
    axes.set_title(short(title))


def panels_of(
    count: int, *, width: float, height: float, margin: float
) -> tuple[Figure, list[Axes]]:
    """So many panels of one scale upwards, in one row or several.

    Args:
        count: at least 1.
        width: of a panel, inches.
        height: of a row.
        margin: what all of them leave beside themselves.
    """
    columns = count if count <= MOST_BESIDE else COLUMNS
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns + margin, height * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
    for axes in panels[count:]:
        axes.remove()
    return figure, panels[:count]


def label_left(panels: Sequence[Axes], text: str) -> None:
    """What the y axis is, at the first panel of each row."""
    for axes in panels:
        if axes.get_subplotspec().is_first_col():  # type: ignore[union-attr]
            axes.set_ylabel(text)


def short(name: str) -> str:
    """A name that leaves room for what it is the name of; tables have it whole."""
    return name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 1]}…"


def _figure(xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    figure, [axes] = _figures((xlabel, ylabel))
    return figure, axes


def _figures(*labels: tuple[str, str]) -> tuple[Figure, list[Axes]]:
    """Panels side by side with these labels on x and y."""
    width = 6.0 if len(labels) == 1 else 4.8 * len(labels)
    figure = Figure(figsize=(width, 3.6), layout="constrained")
    panels = list(figure.subplots(1, len(labels), squeeze=False)[0])
    for axes, (xlabel, ylabel) in zip(panels, labels, strict=True):
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
    return figure, panels


def as_svg(figure: Figure) -> str:
    """The figure as SVG text without a date."""
    buffer = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
