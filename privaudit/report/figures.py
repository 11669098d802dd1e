"""Figures as SVG text, the same bytes for the same data."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from privaudit.evaluation.cells import TableCell
from privaudit.report.looks import COLOURS, look_of
from privaudit.scenario.schema import NO_DEFENCE

INK = "#1a1b1c"
"""Colour of text and axes, and of nothing else: a page may replace it by its own."""

QUIET = "#7c848c"
"""Of lines that are no attack's: colours are for attacks."""

STYLE: Any = {
    "svg.hashsalt": "privaudit",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "axes.prop_cycle": cycler(color=COLOURS),
} | {f"{part}color": INK for part in ("text.", "axes.edge", "axes.label", "xtick.", "ytick.")}
PLAIN: Any = STYLE | {"text.parse_math": False}
"""For figures with names of others in them: a dollar sign is no formula."""

NARROW = 4.1
"""Inches of a figure that a telephone shows in its own width, letters as large as they are."""

MOST_LETTERS = 28
MOST_BESIDE_A_PANEL, MOST_LETTERS_BESIDE = 6, 20
"""Names of lines, and their letters, that fit beside a panel."""

LEGEND_ROW, LEGEND_MARK, LEGEND_LETTER = 0.18, 0.6, 0.07
"""Inches of a row of names below, and across of its mark and of a letter."""

MOST_BESIDE, COLUMNS = 3, 2
"""Panels side by side; more stand in so many columns, where a narrow page leaves them readable."""
STYLES = ("-", "--", ":", "-.")
"""Of lines of one attack that differ in what is shared, in K or in the defence."""


@matplotlib.rc_context(STYLE)
def accuracy_by_round(rows: Sequence[dict[str, Any]], *, narrow: bool = False) -> Figure | None:
    """Fig. 2 of the seed paper: accuracy of the federated training, mean and range over runs.

    Beside it the bytes that the training moved.
    """
    if not rows:
        return None
    frame = pd.DataFrame(rows)
    by_round = frame.groupby("round")[["train_accuracy", "test_accuracy"]].agg(
        ["mean", "min", "max"]
    )
    figure, (axes, traffic) = _figures(
        ("round", "accuracy"), ("round", "MB, all clients, summed"), narrow=narrow
    )
    for name, label, style in (
        ("train_accuracy", "clients, training", "--"),
        ("test_accuracy", "test set", "-"),
    ):
        part = by_round[name]
        axes.plot(
            part.index + 1, part["mean"], color=QUIET, ls=style, marker="o", ms=3, label=label
        )
        axes.fill_between(part.index + 1, part["min"], part["max"], color=QUIET, alpha=0.2, lw=0)
    axes.set_ylim(0, 1)
    axes.set_xlim(0.5, by_round.index.max() + 1.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="lower right")
    axes.set_title(f"Accuracy, runs: {frame['run'].nunique()} (band: their range)")
    _traffic_panel(traffic, frame)
    return figure


def _traffic_panel(axes: Axes, frame: pd.DataFrame) -> None:
    """Bytes moved up to and including each round, mean over runs; the ways may coincide."""
    by_round = frame.groupby("round")[["bytes_up", "bytes_down"]].mean().cumsum() / 1e6
    for name, label, style in (("bytes_up", "up", "-"), ("bytes_down", "down", "--")):
        axes.plot(by_round.index + 1, by_round[name], color=QUIET, ls=style, label=label)
    axes.set_ylim(bottom=0)
    axes.set_xlim(0.5, by_round.index.max() + 1.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="lower right")
    axes.set_title("Parameters sent")


@matplotlib.rc_context(PLAIN)
def auc_by_fraction(cells: Sequence[TableCell], *, narrow: bool = False) -> Figure | None:
    """AUC of each attack by shared fraction, one panel per property, with 95 % intervals."""
    cells = [cell for cell in cells if cell.auc is not None]
    if not cells:
        return None
    names = list(dict.fromkeys(cell.property for cell in cells))
    figure, panels = panels_of(len(names), width=2.9, height=3.2, margin=1.8, narrow=narrow)
    for axes, name in zip(panels, names, strict=True):
        _fraction_panel(axes, [cell for cell in cells if cell.property == name], name)
    label_left(panels, "AUC (0.5 = blind guess)")
    name_lines(figure, panels)
    return figure


@matplotlib.rc_context(STYLE)
def seconds_by_devices(timings: Sequence[dict[str, Any]], *, narrow: bool = False) -> Figure | None:
    """Seconds of one training round by number of devices, simulated on one core."""
    rows = [row for row in timings if row["stage"] == "devices"]
    if not rows:
        return None
    frame = pd.DataFrame(rows).groupby("devices")["seconds"].agg(["median", "min", "max"])
    figure, [axes] = _figures(("devices", "seconds per round"), narrow=narrow)
    spread = [frame["median"] - frame["min"], frame["max"] - frame["median"]]
    axes.errorbar(frame.index, frame["median"], yerr=spread, color=QUIET, marker="o", capsize=3)
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.set_xticks(frame.index)
    records = rows[0]["records"]
    axes.set_title(f"One FedAvg round, {records} records a device")
    return figure


def _fraction_panel(axes: Axes, cells: Sequence[TableCell], title: str) -> None:
    axes.axhline(0.5, color="grey", linewidth=1, linestyle="--")
    rules = sorted({c.rule for c in cells if c.rule != "all"}) or ["all"]
    attacks = list(dict.fromkeys(c.attack for c in cells))
    numbers = sorted({c.participants for c in cells})
    defences = list(dict.fromkeys(c.defence for c in cells))
    variants = [(r, k, d) for r in rules for k in numbers for d in defences]
    series = [(a, v) for a in attacks for v in variants]
    for position, (attack, (rule, participants, defence)) in enumerate(series):
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
        colour, mark = look_of(attack)
        style = STYLES[position % len(variants) % len(STYLES)]
        axes.errorbar(
            x, y, error, marker=mark, color=colour, ls=style, capsize=3, label=attack + extra
        )
    axes.set_xlabel("parameters shared (%)")
    axes.set_xlim(0, 108)
    axes.set_xticks(sorted({100 * c.fraction for c in cells}))
    axes.set_ylim(0.2, 1.03)
    axes.set_title(short(title))


def panels_of(
    count: int, *, width: float, height: float, margin: float, narrow: bool = False
) -> tuple[Figure, list[Axes]]:
    """So many panels of one scale upwards, in one row or several.

    Args:
        count: at least 1.
        width: of a panel, inches.
        height: of a row.
        margin: what all of them leave beside themselves.
        narrow: all below one another, :data:`NARROW`.
    """
    columns = 1 if narrow else count if count <= MOST_BESIDE else COLUMNS
    rows = -(-count // columns)
    size = (NARROW if narrow else width * columns + margin, height * rows)
    figure = Figure(figsize=size, layout="constrained")
    panels = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
    for axes in panels[count:]:
        axes.remove()
    return figure, panels[:count]


def label_left(panels: Sequence[Axes], text: str) -> None:
    """What the y axis is, at the first panel of each row."""
    for axes in panels:
        if axes.get_subplotspec().is_first_col():  # type: ignore[union-attr]
            axes.set_ylabel(text)


def name_lines(figure: Figure, panels: Sequence[Axes]) -> None:
    """Names beside the last panel of each row; many or long ones in a legend below."""
    entries: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if len(entries) <= MOST_BESIDE_A_PANEL and all(len(n) <= MOST_LETTERS_BESIDE for n in entries):
        for axes in panels:
            if axes is panels[-1] or axes.get_subplotspec().is_last_col():  # type: ignore[union-attr]
                label_lines(axes)
    else:
        widest = LEGEND_MARK + LEGEND_LETTER * max(map(len, entries))
        columns = min(3, max(1, int(figure.get_figwidth() / widest)))
        below: Any = {"loc": "outside lower center", "ncols": columns, "fontsize": "small"}
        room = LEGEND_ROW * -(-len(entries) // columns)  # or many names leave none for the panels
        figure.set_figheight(figure.get_figheight() + room)
        figure.legend(list(entries.values()), list(entries), **below)


def label_lines(axes: Axes) -> None:
    """The name of each line beside its last point, on the right of the panel, with its mark.

    Names that would lie on one another are moved apart.
    """
    handles, labels = axes.get_legend_handles_labels()
    ends: list[tuple[float, str, Any]] = []
    for handle, label in zip(handles, labels, strict=True):
        line: Any = handle[0] if isinstance(handle, ErrorbarContainer) else handle
        values = np.asarray(line.get_ydata(), dtype=float)
        if len(values):
            ends.append((float(values[-1]), label, line))
    low, high = axes.get_ylim()
    places = _apart([(value - low) / (high - low) for value, _, _ in ends])
    for place, (_, label, line) in zip(places, ends, strict=True):
        beside: Any = {"transform": axes.transAxes, "clip_on": False}
        axes.plot([1.05], [place], marker=line.get_marker(), color=line.get_color(), **beside)
        axes.text(1.1, place, label, va="center", fontsize="small", **beside)


def _apart(places: Sequence[float], least: float = 0.09) -> list[float]:
    """The same places, in the same order of height, no two nearer than ``least``."""
    order = sorted(range(len(places)), key=lambda n: places[n])
    moved = [places[n] for n in order]
    for n in range(1, len(moved)):
        moved[n] = max(moved[n], moved[n - 1] + least)
    beyond = max(0.0, moved[-1] - 1.0) if moved else 0.0
    if moved and beyond:
        moved[-1] -= beyond
        for n in range(len(moved) - 2, -1, -1):
            moved[n] = min(moved[n], moved[n + 1] - least)
    found = dict(zip(order, moved, strict=True))
    return [found[n] for n in range(len(places))]


def short(name: str) -> str:
    """A name that leaves room for what it is the name of; tables have it whole."""
    return name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 1]}…"


def _figures(*labels: tuple[str, str], narrow: bool) -> tuple[Figure, list[Axes]]:
    """Panels side by side with these labels on x and y; below one another where it is narrow."""
    width = 6.0 if len(labels) == 1 else 4.8 * len(labels)
    size, shape = ((width, 3.6), (1, len(labels)))
    if narrow:
        size, shape = ((NARROW, 3.0 * len(labels)), (len(labels), 1))
    figure = Figure(figsize=size, layout="constrained")
    panels = list(figure.subplots(*shape, squeeze=False).flat)
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
