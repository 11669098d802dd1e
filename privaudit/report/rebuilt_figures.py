"""Figures of rebuilt records: how much was rebuilt, and what it looks like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from privaudit.evaluation.rebuilt_cells import RebuiltCell
from privaudit.evaluation.rebuilt_runs import MOST_SHOWN
from privaudit.report.figures import NARROW, PLAIN, STYLES, label_left, name_lines, panels_of
from privaudit.report.looks import look_of

TILE, SPACE, LABELS = 0.7, 0.25, 1.5
"""Inches of an image, of what stands below it, and of what stands to the left."""


@matplotlib.rc_context(PLAIN)
def rebuilt_by_fraction(cells: Sequence[RebuiltCell], *, narrow: bool = False) -> Figure | None:
    """What was rebuilt by shared fraction, one panel per size of batch, with 95 % intervals."""
    cells = [cell for cell in cells if cell.measure is not None and cell.answered]
    if not cells or cells[0].measure is None:
        return None
    measure, sizes = cells[0].measure, sorted({cell.batch for cell in cells})
    figure, panels = panels_of(len(sizes), width=2.9, height=3.2, margin=1.8, narrow=narrow)
    for axes, size in zip(panels, sizes, strict=True):
        _panel(axes, [cell for cell in cells if cell.batch == size])
        axes.set_title(f"batches of {size}")
    label_left(panels, f"{measure.title}{f', {measure.unit}' if measure.unit else ''}")
    name_lines(figure, panels)
    return figure


def _panel(axes: Axes, cells: Sequence[RebuiltCell]) -> None:
    attacks = list(dict.fromkeys(cell.attack for cell in cells))
    numbers = sorted({cell.participants for cell in cells})
    rules = sorted({cell.rule for cell in cells if cell.rule != "all"}) or ["all"]
    defences = list(dict.fromkeys(cell.defence for cell in cells))
    variants = [(r, k, d) for r in rules for k in numbers for d in defences]
    lines = [(a, v) for a in attacks for v in variants]
    guesses = [cell.guess.value for cell in cells if cell.guess is not None]
    axes.axhline(float(np.mean(guesses)), color="grey", linewidth=1, linestyle="--")
    for position, (attack, (rule, participants, defence)) in enumerate(lines):
        line = sorted(
            (
                c
                for c in cells
                if (c.attack, c.participants, c.defence) == (attack, participants, defence)
                and c.rule in (rule, "all")
            ),
            key=lambda c: c.fraction,
        )
        points = [(c.fraction, c.found) for c in line if c.found is not None]
        x = [100 * f + 0.8 * (position - (len(lines) - 1) / 2) for f, _ in points]
        error = [[p.value - p.low for _, p in points], [p.high - p.value for _, p in points]]
        name = attack + (f", {rule}" if len(rules) > 1 else "") + f", K={participants}"
        name += f", {defence or 'none'}" if len(defences) > 1 else ""
        colour, mark = look_of(attack)
        style = STYLES[position % len(variants) % len(STYLES)]
        axes.errorbar(
            x,
            [p.value for _, p in points],
            error,
            marker=mark,
            color=colour,
            ls=style,
            capsize=3,
            label=name,
        )
    axes.set_xlabel("parameters shared (%)")
    axes.set_xlim(0, 108)
    axes.set_xticks(sorted({100 * c.fraction for c in cells}))
    axes.set_ylim(bottom=0)


@matplotlib.rc_context(PLAIN)
def rebuilt_images(shown: Mapping[str, Any], *, narrow: bool = False) -> Figure | None:
    """Truth, what each attack rebuilt and the nearest own images, side by side.

    On a narrow page as many records beside one another as there is room for, the others below.

    Args:
        shown: of one cell (:func:`privaudit.evaluation.rebuilt_runs.shown_records`).
    """
    channels, height, width = shown["shape"]
    count = len(shown["truth"])
    columns = min(count, int((NARROW - LABELS) / TILE)) if narrow else MOST_SHOWN
    of = [("truth", shown["truth"], None)]
    of += [(name, found["images"], found["psnr"]) for name, found in shown["attacks"].items()]
    of.append(("nearest own", shown["own"]["images"], shown["own"]["psnr"]))
    rows = [
        (name, images[start : start + columns], decibels and decibels[start : start + columns])
        for start in range(0, count, columns)
        for name, images, decibels in of
    ]
    figure = Figure(figsize=(LABELS + TILE * columns, (TILE + SPACE) * len(rows)))
    grid = figure.subplots(len(rows), columns, squeeze=False)
    figure.subplots_adjust(
        LABELS / figure.get_figwidth(), 0.04, 0.99, 0.99, wspace=0.06, hspace=SPACE / TILE
    )
    for of_row, (name, images, decibels) in zip(grid, rows, strict=True):
        for axes in of_row[len(images) :]:  # all of one scale, however many there are
            axes.remove()
        for number, axes in enumerate(of_row[: len(images)]):
            image = np.array(images[number], dtype=np.uint8).reshape(channels, height, width)
            axes.imshow(
                image[0] if channels == 1 else image.transpose(1, 2, 0),
                cmap="gray",
                vmin=0,
                vmax=255,
                interpolation="nearest",
            )
            axes.set_xticks([])
            axes.set_yticks([])
            if decibels is not None:
                axes.set_xlabel(f"{decibels[number]:.1f} dB", fontsize="x-small", labelpad=1)
        of_row[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize="small")
    return figure
