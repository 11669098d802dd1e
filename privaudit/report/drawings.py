"""The figures of a report, each with a title and a description for those who cannot see it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import Any

from matplotlib.figure import Figure

from privaudit.report import appearing, curves, figures, rebuilt, rebuilt_figures
from privaudit.report.content import Content
from privaudit.report.layers import LayerCell, auc_by_layer

Draw = Callable[..., Figure]
"""Of a figure; with ``narrow=True`` its form for a narrow page."""


@dataclass(frozen=True)
class Drawing:
    """A figure.

    Attributes:
        name: of its file.
        title: what it shows.
        description: how to read it.
        figure: as it is drawn.
        narrow: the same for a narrow page, where that has a form of its own.
    """

    name: str
    title: str
    description: str
    figure: Figure
    narrow: Figure | None = None

    @classmethod
    def of(cls, name: str, title: str, description: str, draw: Draw, *what: Any) -> Drawing:
        """Both forms of a figure that ``draw`` makes of ``what``."""
        return cls(name, title, description, draw(*what), draw(*what, narrow=True))

    @cached_property
    def svg(self) -> str:
        """As text."""
        return figures.as_svg(self.figure)


def drawings(content: Content) -> list[Drawing]:
    """All figures there are data for, in the order of the report."""
    shown = curves.shown_cells(content.cells)
    setting = (
        f"K = {shown[0].participants}, {100 * shown[0].fraction:g} % of the parameters shared"
        f"{curves.left_out(content.cells)}"
        if shown
        else ""
    )
    drawn = [
        (
            "rebuilt_by_fraction",
            f"{rebuilt.subject(content.scenario)} by the percentage of parameters shared",
            "One panel per size of batch; bars are 95 % intervals over runs, dashed: a guess.",
            both(rebuilt_figures.rebuilt_by_fraction, content.rebuilt),
        ),
        *(
            (
                f"rebuilt_{found['property']}",
                f"Truth, rebuilt and nearest own: {found['property'].replace('-', ' of ')}",
                f"K = {found['participants']}, {100 * found['fraction']:g} % shared; first round "
                "of the first run. Below each image its PSNR; grey: nothing was rebuilt. The "
                "nearest own image is what a guess gets at best.",
                both(rebuilt_figures.rebuilt_images, found),
            )
            for found in content.shown
        ),
        (
            "auc_by_fraction",
            "AUC of each attack by the percentage of parameters shared",
            "One panel per property; bars are 95 % intervals over runs, dashed: a blind guess.",
            both(figures.auc_by_fraction, content.cells),
        ),
        (
            "roc",
            "ROC curves of the attacks",
            f"{setting}. Mean over runs of the best true positive rate at each false positive "
            "rate; bands: the range over runs; dashed: a blind guess. Below (of many properties: "
            "on the right) the same with both axes logarithmic: a false positive rate smaller than "
            "one round in a run has no point.",
            both(curves.roc_curves, content.scored, content.cells),
        ),
        (
            "auc_by_window",
            "AUC by window of the audited rounds: whether the leak grows or falls",
            f"{setting}. Each point is the AUC within one window, with its 95 % interval over "
            "runs; windows are small, so intervals are wide.",
            both(curves.auc_by_window, content.scored, content.cells),
        ),
        (
            "scores_by_round",
            "Scores over the rounds, and when the property was there",
            "For each property the cell fixed beforehand, in the first runs in which it appeared "
            "and one in which it never did. Below the scores: the stretch that was found, and the "
            "truth; dotted: the alarm of whoever listens along.",
            both(
                appearing.scores_by_round,
                content.scored,
                appearing.headlines(content.scenario, content.appearing, content.cells),
            ),
        ),
        (
            "auc_by_layer",
            "Which layer leaks: AUC from one layer's coordinates alone",
            _layer_text(content.layers),
            both(auc_by_layer, content.layers),
        ),
        (
            "accuracy_by_round",
            "Training: accuracy after each federated round, and megabytes sent",
            "Accuracy: mean over runs. Megabytes: all clients together, summed over rounds, mean "
            "over runs.",
            both(figures.accuracy_by_round, content.training),
        ),
        (
            "seconds_by_devices",
            "Seconds of one training round by number of devices",
            "Median and range; devices are simulated one after the other on one core.",
            both(figures.seconds_by_devices, content.timings),
        ),
    ]
    return [
        Drawing(name, title, text, wide, narrow)
        for name, title, text, (wide, narrow) in drawn
        if wide is not None
    ]


def both(draw: Callable[..., Figure | None], *of: Any) -> tuple[Figure | None, Figure | None]:
    """A figure for a wide page and the same for a narrow one."""
    return draw(*of), draw(*of, narrow=True)


def _layer_text(layers: Sequence[LayerCell]) -> str:
    if not layers:
        return ""
    first = layers[0]
    return (
        f"K = {first.participants}, {100 * first.shared:g} % of the parameters shared. Input at "
        "the top; bars are 95 % intervals over runs, filled and blue where told (starred); dashed: "
        "a blind guess."
    )


def inline(drawing: Drawing) -> str:
    """The SVG to stand inside a page: described, in the page's ink, its ids its own.

    Where there is a narrow form, too, both: a page shows one of them.
    """
    if drawing.narrow is None:
        return _inline(drawing, drawing.name, drawing.svg, "ink")
    narrow = figures.as_svg(drawing.narrow)
    return _inline(drawing, drawing.name, drawing.svg, "ink on-wide") + _inline(
        drawing, f"{drawing.name}-narrow", narrow, "ink on-narrow"
    )


def _inline(drawing: Drawing, name: str, text: str, shown: str) -> str:
    svg = text[text.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style\b.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = svg.replace(figures.INK, "currentColor").replace("fill: #ffffff", "fill: none")
    title, about = f"{name}-title", f"{name}-text"
    start = (
        f'<svg class="{shown}" role="img" aria-labelledby="{title} {about}"'
        f"{svg[len('<svg') : svg.index('>')]}>"
        f'<title id="{title}">{escape(drawing.title)}</title>'
        f'<desc id="{about}">{escape(drawing.description)}</desc>'
    )
    return start + svg[svg.index(">") + 1 :]
