"""The report of a sweep: table, figure, notes; a pure function of its records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from privaudit.custody.folder import RunFolder
from privaudit.evaluation.cells import TableCell
from privaudit.evaluation.metrics import METRICS, Measure
from privaudit.report.assumptions import limits
from privaudit.report.drawings import Drawing
from privaudit.report.figures import PLAIN, STYLES, label_left, name_lines, panels_of, short
from privaudit.report.findings import Findings, Part, error_bars, write_findings
from privaudit.report.looks import look_of
from privaudit.report.next_step import Next
from privaudit.report.notes import cost_notes, footnotes, room_notes
from privaudit.report.provenance import SCENARIO
from privaudit.report.tables import (
    accuracy_note,
    cell_text,
    interval_text,
    long_table,
    precision_note,
)
from privaudit.report.words import units_of
from privaudit.statistics.intervals import Interval
from privaudit.studies import in_short
from privaudit.studies.sweep import Sweep

AUC = METRICS["auc"]
FIGURE_TEXT = (
    "One panel per property; bars (and bands) are 95 % intervals over runs at each value; dashed: "
    "a blind guess."
)
MOST_BANDS = 3
"""Lines of a panel up to which their intervals are shaded, too; more would hide one another."""

LOGARITHMIC_FROM = 20.0
"""Positive values whose largest is that many times the smallest lie on a logarithmic axis."""


@dataclass(frozen=True)
class Line:
    """One attack on one property, over the values of the sweep; None where it was not tried.

    ``shared`` and ``participants`` are empty where they follow the swept value.
    """

    property: str
    attack: str
    participants: str
    shared: str
    cells: tuple[TableCell | None, ...]


def write_sweep(folder: RunFolder, sweep: Sweep) -> None:
    """Write ``report/sweep.{md,csv,json,svg}`` and ``report/index.html``."""
    answer, step = sweep_answer(sweep), next_of_sweep(sweep)
    found = Findings(
        kind="sweep",
        title=f"{sweep.scenario.title or sweep.scenario.name}, by {sweep.key}",
        answer=answer,
        parts=[
            Part(
                table=sweep_table(sweep),
                heads=4 if _metric(sweep) is AUC else 5,
                caption=f"{_titles(sweep)} with 95 % interval, by {sweep.key}",
                notes=sweep_notes(sweep),
                drawing=Drawing.of(
                    "sweep", f"AUC by {sweep.key}", FIGURE_TEXT, sweep_figure, sweep
                ),
            )
        ],
        limits=limits(sweep.points[-1].scenario),
        command=f"privaudit sweep RUN/{SCENARIO}",
        next=step,
        in_short=in_short.of_sweep(sweep, answer, step),
        runs=[point.folder for point in sweep.points],
    )
    document = json.dumps(sweep_json(sweep), indent=1, allow_nan=False)
    write_findings(folder, found, document=document, rows=sweep_csv(sweep))


def next_of_sweep(sweep: Sweep) -> Next:
    """More runs of all values, or, where they are told apart, clients at the last of them."""
    cells = [cell for point in sweep.points for cell in point.cells if cell.auc is not None]
    if not any(cell.told for cell in cells):
        return Next(
            f"privaudit sweep RUN/{SCENARIO} --seeds {2 * sweep.scenario.runs}",
            "nothing was told from chance; twice as many runs tell smaller leaks",
        )
    low = min(
        sweep.points,
        key=lambda point: max((c.auc.value for c in point.cells if c.auc), default=1.0),
    )
    return Next(
        f"privaudit dilution RUN/{low.folder}/{SCENARIO}",
        f"{sweep.key} = {low.label} leaks least: with how many honest clients is it gone?",
    )


def sweep_answer(sweep: Sweep) -> list[str]:
    """For each property its highest line, at the first and the last value that were measured.

    A property that was told from chance at no value is said to be just that. Where another metric
    is published, whether ours has the same trend.
    """
    lines = lines_of(sweep)
    names = dict.fromkeys(line.property for line in lines)
    answers = [_answer(sweep, [line for line in lines if line.property == name]) for name in names]
    return [*answers, *published_trend(sweep)]


def published_trend(sweep: Sweep) -> list[str]:
    """For each line: does the metric rise or fall from the first to the last value as published?

    No trend is claimed where the two intervals overlap.
    """
    section, metric = sweep.scenario.sweep, _metric(sweep)
    assert section is not None
    if not section.published:
        return []
    start, end = section.published[0], section.published[-1]
    first, last = sweep.points[0].label, sweep.points[-1].label
    key = sweep.key.rpartition(".")[2]
    said = []
    for line in lines_of(sweep):
        values = [cell.metrics[metric.name] if cell else None for cell in line.cells]
        ours = values[0], values[-1]
        text = (
            f"{metric.title}, {line.attack}: {interval_text(ours[0], 'not estimable')} at {key} = "
            f"{first}, {interval_text(ours[1], 'not estimable')} at {last}; published "
            f"{start:.2f} and {end:.2f}"
        )
        inside = sum(
            value is not None and round(value.low, 2) <= round(given, 2) <= round(value.high, 2)
            for value, given in zip(values, section.published, strict=True)
        )
        said.append(
            f"{text[:1].upper()}{text[1:]}: {trend(*ours, end - start)} {inside} of {len(values)} "
            "published values lie inside our intervals."
        )
    return said


def trend(first: Interval | None, last: Interval | None, published: float) -> str:
    """Whether ours goes from first to last as published, where it changes by ``published``."""
    if first is None or last is None:
        return "no trend can be stated."
    if not published:
        return "the published values begin and end alike: no trend to reproduce."
    if first.low <= last.high and last.low <= first.high:
        return "our intervals overlap, so the published trend is not shown."
    same = (last.value - first.value) * published > 0
    return "the published trend is reproduced." if same else "ours runs the other way."


def _answer(sweep: Sweep, lines: Sequence[Line]) -> str:
    name = lines[0].property
    scored = [(cell.auc.value, line) for line in lines for cell in line.cells if cell and cell.auc]
    if not scored:
        return f"'{name}': every audit failed."
    line = max(scored, key=lambda pair: pair[0])[1]
    key = sweep.key.rpartition(".")[2]
    known = [
        (point.label, cell)
        for point, cell in zip(sweep.points, line.cells, strict=True)
        if cell and cell.auc
    ]
    if not any(cell.told for other in lines for cell in other.cells if cell):
        start, first = max(known, key=lambda pair: pair[1].auc.value if pair[1].auc else 0.0)
        return (
            f"'{name}' was told from chance at no value of {key}; the highest AUC was "
            f"{cell_text(first)} ({line.attack}, {key} = {start})."
        )
    (start, first), (end, last) = known[0], known[-1]
    assert first.auc is not None
    assert last.auc is not None
    what = f"'{name}', {line.attack}: AUC {cell_text(first)} at {key} = {start}"
    if len(known) == 1:
        return f"{what}; the other audits failed."
    apart = first.auc.low > last.auc.high or last.auc.low > first.auc.high
    verdict = "the intervals are apart" if apart else "the intervals overlap: no difference claimed"
    return f"{what}, {cell_text(last)} at {key} = {end}; {verdict}."


def sweep_table(sweep: Sweep) -> pd.DataFrame:
    """One row per line, one column per value: AUC with interval, ``*`` as in the table of a run.

    Another metric has rows of its own, and so have published values.
    """
    section, metric = sweep.scenario.sweep, _metric(sweep)
    assert section is not None
    key = sweep.key.rpartition(".")[2]
    columns = [f"{key}={point.label}" for point in sweep.points]
    rows = []
    for line in lines_of(sweep):
        row = {
            "property": line.property,
            "attack": line.attack,
            "K": line.participants or "by value",
            "shared": line.shared or "by value",
        }
        shown = {AUC.title: [cell_text(cell) for cell in line.cells]}
        if metric is not AUC:
            shown[metric.title] = [
                interval_text(cell.metrics[metric.name], "not estimable") if cell else "–"
                for cell in line.cells
            ]
        for title, texts in shown.items():
            named = row if metric is AUC else row | {"metric": title}
            rows.append(named | dict(zip(columns, texts, strict=True)))
    if section.published:
        row = {"property": "published", "attack": "", "K": "", "shared": ""}
        named = row if metric is AUC else row | {"metric": metric.title}
        texts = [f"{value:.2f}" for value in section.published]
        rows.append(named | dict(zip(columns, texts, strict=True)))
    return pd.DataFrame(rows)


def _metric(sweep: Sweep) -> Measure:
    """What the table shows besides the AUC; the AUC itself where it shows nothing else."""
    assert sweep.scenario.sweep is not None
    return METRICS[sweep.scenario.sweep.metric]


def _titles(sweep: Sweep) -> str:
    return " and ".join(dict.fromkeys([AUC.title, _metric(sweep).title]))


def sweep_json(sweep: Sweep) -> dict[str, Any]:
    """The whole result as a JSON document."""
    points = []
    for point in sweep.points:
        cells = json.loads(long_table(point.cells).to_json(orient="records", double_precision=15))
        for row, cell in zip(cells, point.cells, strict=True):
            row["failures"] = list(cell.failures)
        points.append(
            {
                "value": point.value,
                "run": point.folder,
                "test_accuracy": asdict(point.accuracy) if point.accuracy else None,
                "cells": cells,
            }
        )
    return {
        "key": sweep.key,
        "scenario": sweep.scenario.model_dump(mode="json"),
        "notes": sweep_notes(sweep),
        "points": points,
    }


def sweep_notes(sweep: Sweep) -> list[str]:
    """What was varied, how well the main task did at each value, and how to read the table."""
    labels = ", ".join(point.label for point in sweep.points)
    notes = [f"Columns: the audit at {sweep.key} = {labels}; everything else is the same."]
    accuracies = [
        f"{p.label}: {p.accuracy.mean:.2f} ({p.accuracy.low:.2f} to {p.accuracy.high:.2f})"
        for p in sweep.points
        if p.accuracy is not None
    ]
    if accuracies:
        notes.append(
            "Main task, test accuracy before the audited rounds (range over runs), by "
            f"{sweep.key}: {'; '.join(accuracies)}."
        )
    return notes + _metric_notes(sweep) + _footnotes(sweep)


def _metric_notes(sweep: Sweep) -> list[str]:
    """What another metric is, and where its published values are from."""
    assert sweep.scenario.sweep is not None
    notes = {"accuracy": accuracy_note, "precision": precision_note}
    note = notes.get(_metric(sweep).name)
    cells = [cell for point in sweep.points for cell in point.cells]
    source = sweep.scenario.sweep.published_source
    return [
        *([note(cells, units_of(sweep.scenario))] if note else []),
        *([f"published: {source}."] if source else []),
    ]


def lines_of(sweep: Sweep) -> list[Line]:
    """The lines of the sweep: properties, then K, then what is shared, then attacks."""
    follows_k = _follows([{c.participants for c in p.cells} for p in sweep.points])
    follows_shared = _follows([{(c.sent, c.fraction) for c in p.cells} for p in sweep.points])

    def key(cell: TableCell) -> tuple[str, str, str, str]:
        rule = "" if cell.sent == "all" else f" {cell.sent}"
        shared = f"{100 * cell.fraction:g} %{rule}"
        number = str(cell.participants)
        return (
            cell.property,
            cell.attack,
            "" if follows_k else number,
            "" if follows_shared else shared,
        )

    found = [{key(cell): cell for cell in point.cells} for point in sweep.points]
    keys = list(dict.fromkeys(k for cells in found for k in cells))
    first = [list(dict.fromkeys(part)) for part in zip(*keys, strict=True)]
    keys.sort(key=lambda k: [first[i].index(k[i]) for i in (0, 2, 3, 1)])
    return [Line(*k, cells=tuple(cells.get(k) for cells in found)) for k in keys]


def sweep_figure(sweep: Sweep, *, narrow: bool = False) -> Figure:
    """AUC by value with interval bands, one panel per property, one line per attack."""
    lines = lines_of(sweep)
    names = list(dict.fromkeys(line.property for line in lines))
    with matplotlib.rc_context(PLAIN):
        figure, panels = panels_of(len(names), width=3.2, height=3.4, margin=1.8, narrow=narrow)
        for axes, name in zip(panels, names, strict=True):
            _panel(axes, sweep, [line for line in lines if line.property == name])
            axes.set_title(short(name))
        label_left(panels, "AUC (0.5 = blind guess)")
        name_lines(figure, panels)
        return figure


def _panel(axes: Axes, sweep: Sweep, lines: Sequence[Line]) -> None:
    axes.axhline(0.5, color="grey", linewidth=1, linestyle="--")
    positions = _positions(axes, sweep)
    several = {
        "K": len({line.participants for line in lines}) > 1,
        "shared": len({line.shared for line in lines}) > 1,
    }
    variants = list(dict.fromkeys((line.participants, line.shared) for line in lines))
    for number, line in enumerate(lines):
        places = _beside(positions, number - (len(lines) - 1) / 2, axes.get_xscale() == "log")
        points = sorted(
            (place, cell.auc)
            for place, cell in zip(places, line.cells, strict=True)
            if cell is not None and cell.auc is not None
        )
        x, aucs = [place for place, _ in points], [auc for _, auc in points]
        label = line.attack + (f", K={line.participants}" if several["K"] else "")
        label += f", {line.shared}" if several["shared"] else ""
        colour, marker = look_of(line.attack)
        style = STYLES[variants.index((line.participants, line.shared)) % len(STYLES)]
        y = [auc.value for auc in aucs]
        axes.errorbar(
            x, y, error_bars(aucs), capsize=3, label=label, marker=marker, color=colour, ls=style
        )
        if len(lines) <= MOST_BANDS:
            low, high = [auc.low for auc in aucs], [auc.high for auc in aucs]
            axes.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)
    axes.set_xlabel(sweep.key)
    axes.set_ylim(0, 1.03)


def _positions(axes: Axes, sweep: Sweep) -> list[float]:
    """Where the values lie: numbers to scale, anything else side by side."""
    values, labels = [p.value for p in sweep.points], [p.label for p in sweep.points]
    numbers = [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) < len(values):
        numbers = [float(place) for place in range(len(values))]
    elif min(numbers) > 0 and max(numbers) / min(numbers) >= LOGARITHMIC_FROM:
        axes.set_xscale("log")
    axes.set_xticks(numbers, labels)
    axes.minorticks_off()
    return numbers


def _beside(places: Sequence[float], step: float, logarithmic: bool) -> list[float]:
    """A little to the side, so that equal points of several lines stay visible."""
    if logarithmic:
        return [place * 1.02**step for place in places]
    return [place + 0.008 * step * (max(places) - min(places)) for place in places]


def _follows(by_point: Sequence[set[Any]]) -> bool:
    """Whether a coordinate is one number at each value and not the same at all: the swept one."""
    return all(len(s) == 1 for s in by_point) and len(set().union(*by_point)) > 1


def _footnotes(sweep: Sweep) -> list[str]:
    """The notes of a run; one that depends on the swept value is given for each value."""
    cells = [cell for point in sweep.points for cell in point.cells]
    mixed = room_notes(cells) + cost_notes(cells)
    by_point = [
        [note for note in footnotes(point.scenario, cells) if note not in mixed]
        + room_notes(point.cells)
        + cost_notes(point.cells)
        for point in sweep.points
    ]
    notes = []
    for note in dict.fromkeys(note for said in by_point for note in said):
        labels = [p.label for p, said in zip(sweep.points, by_point, strict=True) if note in said]
        common = len(labels) == len(sweep.points)
        notes.append(note if common else f"{sweep.key} = {', '.join(labels)}: {note}")
    return notes


def sweep_csv(sweep: Sweep) -> str:
    """One row per value and cell, unrounded."""
    frames = [long_table(point.cells).assign(value=point.label) for point in sweep.points]
    table = pd.concat(frames, ignore_index=True)
    table.insert(0, "key", sweep.key)
    table.insert(1, "value", table.pop("value"))
    return str(table.to_csv(index=False, lineterminator="\n"))
