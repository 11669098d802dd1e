"""When it appears: what attacks say from their scores, in words, table and figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from privaudit.evaluation.appearing import Appearing, Judged, Share
from privaudit.evaluation.cells import TableCell
from privaudit.evaluation.records import Record
from privaudit.report.figures import NARROW, PLAIN, QUIET, short
from privaudit.report.looks import look_of
from privaudit.report.verdict import headline
from privaudit.scenario.schema import Scenario

MOST_PROPERTIES, MOST_RUNS = 4, 4

NOTE = (
    "Said from the scores alone, a straight line over the rounds taken out; the truth only judges "
    "it. Found: p at or below 5 % for the stretch of rounds that stands out most, ranks permuted "
    "over the rounds of the run. Alarm: raised after a round by whoever listens along, at a height "
    "that 5 % of runs without a change reach by their end. Both take rounds without a change as "
    "exchangeable but for that line: the runs in which the property never appeared show whether "
    "they are."
)


def headlines(
    scenario: Scenario, found: Sequence[Appearing], cells: Sequence[TableCell]
) -> list[Appearing]:
    """Of each property the cell fixed beforehand."""
    chosen = []
    for name in dict.fromkeys(one.property for one in found):
        first = headline(scenario, [cell for cell in cells if cell.property == name])
        chosen += [one for one in found if first is not None and _same(one, first)]
    return chosen


def _same(one: Appearing, cell: TableCell) -> bool:
    keys = ("property", "rule", "fraction", "participants", "attack", "defence")
    return all(getattr(one, key) == getattr(cell, key) for key in keys)


def sentences(
    scenario: Scenario, found: Sequence[Appearing], cells: Sequence[TableCell]
) -> list[str]:
    """One per property, on the cell fixed beforehand."""
    return [_sentence(one) for one in headlines(scenario, found, cells)]


def _sentence(one: Appearing) -> str:
    parts = [
        f"Of {one.found.of} runs in which '{one.property}' appeared, {one.attack} (K = "
        f"{one.participants}, {100 * one.fraction:g} % shared) found it in {_share(one.found)}"
    ]
    if one.errors:
        parts.append(f"its beginning {_rounds(one.errors)} off")
    parts.append(
        f"an alarm along the way was raised in {len(one.delays)}"
        + (f", in round {_rounds(one.delays, '')} of those with the property" if one.delays else "")
        + (f", and too early in {one.too_early}" if one.too_early else "")
    )
    return (
        f"{'; '.join(parts)}. Of {one.wrongly_found.of} runs in which it never appeared, it was "
        f"found in {_share(one.wrongly_found)} and an alarm raised in {_share(one.false_alarms)}; "
        "5 % each are to be expected."
    )


def _share(share: Share) -> str:
    low, high = share.interval
    return f"{share.count} (95 % interval {100 * low:.0f} to {100 * high:.0f} %)"


def _rounds(numbers: Sequence[int], unit: str = " rounds") -> str:
    """``3 rounds (median; 0 to 7)``."""
    return f"{median(numbers):g}{unit} (median; {numbers[0]} to {numbers[-1]})"


def table(found: Sequence[Appearing]) -> pd.DataFrame:
    """One row per cell, as text."""
    return pd.DataFrame(
        [
            {
                "property": one.property,
                "attack": one.attack,
                "K": str(one.participants),
                "rule": one.sent,
                "shared": f"{100 * one.fraction:g} %",
                "found where it appeared": f"{one.found.count} of {one.found.of}",
                "beginning off by": _rounds(one.errors) if one.errors else "–",
                "alarms in time": f"{len(one.delays)} of {one.found.of}",
                "in round": _rounds(one.delays, "") if one.delays else "–",
                "too early": str(one.too_early),
                "found where it never did": f"{one.wrongly_found.count} of {one.wrongly_found.of}",
                "alarms there": f"{one.false_alarms.count} of {one.false_alarms.of}",
            }
            for one in found
        ]
    )


def as_rows(found: Sequence[Appearing]) -> list[dict[str, Any]]:
    """For machines: each cell with its shares, and what was said of each run beside the truth."""
    return [
        {
            "property": one.property,
            "rule": one.sent,
            "shared_fraction": one.fraction,
            "participants": one.participants,
            "attack": one.attack,
            "found": _share_row(one.found),
            "errors": one.errors,
            "delays": one.delays,
            "too_early": one.too_early,
            "wrongly_found": _share_row(one.wrongly_found),
            "false_alarms": _share_row(one.false_alarms),
            "runs": [
                {"run": run.run, **asdict(run.said), "true_start": run.start, "true_end": run.end}
                for run in one.runs
            ],
        }
        for one in found
    ]


def _share_row(share: Share) -> dict[str, float]:
    low, high = share.interval
    return {"count": share.count, "of": share.of, "low": low, "high": high}


@matplotlib.rc_context(PLAIN)
def scores_by_round(
    records: Sequence[Record], shown: Sequence[Appearing], *, narrow: bool = False
) -> Figure | None:
    """Scores of some runs over the rounds, the truth beneath: a row of panels per property."""
    rows = [(one, _some_runs(one)) for one in shown[:MOST_PROPERTIES]]
    most = max((len(runs) for _, runs in rows), default=0)
    if not most:
        return None
    count = len(rows)
    size, shape = (2.6 * most + 0.8, 2.2 * count + 0.6), (count, most)
    if narrow:
        size, shape = (NARROW, 1.8 * count * most + 0.6), (count * most, 1)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(*shape, squeeze=False, sharex=True)
    for line, (one, runs) in zip(panels.reshape(count, most), rows, strict=True):
        for axes in line[len(runs) :]:
            axes.set_axis_off()
        for axes, run in zip(line, runs, strict=False):
            _panel(axes, run, _scores(records, one, run), look_of(one.attack).colour)
            axes.set_title(f"{short(one.property)}, run {run.run}")
        line[0].set_ylabel(f"score of {short(one.attack)}")
    for axes in panels[-1]:
        axes.set_xlabel("audited round")
    handles = {
        label: handle
        for axes in panels.flat
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    columns = 2 if narrow else 4
    figure.legend(
        handles.values(), handles, loc="outside lower center", ncols=columns, fontsize="small"
    )
    return figure


def _some_runs(one: Appearing) -> list[Judged]:
    """The first in which it appeared, and one in which it did not."""
    never = one.never[:1]
    return [*one.appeared[: MOST_RUNS - len(never)], *never]


def _scores(records: Sequence[Record], one: Appearing, run: Judged) -> list[float]:
    keys = ("property", "rule", "fraction", "participants", "attack", "defence")
    return next(
        r.scores
        for r in records
        if r.run == run.run and all(getattr(r, key) == getattr(one, key) for key in keys)
    )


def _panel(axes: Axes, run: Judged, scores: Sequence[float], colour: str) -> None:
    rounds = range(1, len(scores) + 1)
    axes.plot(rounds, scores, marker="o", markersize=2.5, lw=0.8, color=colour, label="score")
    low, high = min(scores), max(scores)
    span = (high - low) or 1.0
    for height, ink, label, stretch in (
        (0.10, colour, "found", (run.said.start, run.said.end) if run.said.found else None),
        (0.20, QUIET, "the property was there", (run.start, run.end)),
    ):
        if stretch is not None and stretch[0] is not None and stretch[1] is not None:
            ends = [stretch[0] + 0.6, stretch[1] + 0.4]
            axes.plot(ends, [low - height * span] * 2, linewidth=5, color=ink, label=label)
    if run.said.alarm is not None:
        axes.axvline(run.said.alarm + 1, color=colour, linestyle=":", label="alarm")
    axes.set_xlim(0, len(scores) + 1)
    axes.set_ylim(low - 0.28 * span, high + 0.08 * span)
