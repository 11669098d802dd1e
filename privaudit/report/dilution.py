"""The dilution report: table, figure, answer; a pure function of the curves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isfinite
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from privaudit.dilution import Curve, answer_in_words, curve_json, plans_of
from privaudit.errors import UserError
from privaudit.experiment.folder import RunFolder
from privaudit.report.drawings import Drawing
from privaudit.report.figures import MARKERS, STYLE, as_svg, short
from privaudit.report.notes import limits
from privaudit.report.provenance import SCENARIO
from privaudit.report.several import Findings, error_bars, write_findings
from privaudit.report.tables import interval_text

MOST_NAMED = 4

HARMLESS = 0.6
CAPTION = "AUC with 95 % interval by number of honest clients, and how fast d' falls"
TITLE = "How many honest clients dilute the attacker"
FIGURE_TITLE = "AUC by number of honest clients"
FIGURE_TEXT = (
    "Points with 95 % intervals; lines: the fitted law of an attacker who learns from simulated "
    "aggregates."
)


def write_dilution(folder: RunFolder, curves: Sequence[Curve], *, threshold: float) -> None:
    """Write ``report/dilution.{md,csv,json,svg}`` and ``report/index.html``."""
    figure = dilution_figure(curves, threshold)
    scenario = plans_of(folder.path)["single-round"]
    found = Findings(
        kind="dilution",
        title=f"{TITLE}: {scenario.title or scenario.name}",
        answer=answers(curves, threshold),
        table=dilution_table(curves),
        heads=4,
        caption=CAPTION,
        notes=conclusions(curves, threshold),
        drawing=Drawing("dilution", FIGURE_TITLE, FIGURE_TEXT, figure),
        limits=limits(scenario),
        command=command(folder.path, threshold),
        runs=list(plans_of(folder.path)),
    )
    document = json.dumps([curve_json(curve) for curve in curves], indent=1, allow_nan=False)
    write_findings(folder, found, document=document, rows=dilution_csv(curves))


def written_threshold(folder: RunFolder) -> float:
    """The AUC below which the report that lies there calls an attacker harmless.

    :data:`HARMLESS` where there is no report yet.
    """
    if not folder.file("report", "dilution.json").is_file():
        return HARMLESS
    document = folder.read_json("report/dilution.json")
    try:
        found = [curve["answer"]["threshold"] for curve in document if curve["answer"]]
        return float(found[0]) if found else HARMLESS
    except (LookupError, TypeError, ValueError) as error:
        where = str(folder.file("report", "dilution.json"))
        remedy = "remove it; it is written again"
        raise UserError("not a dilution report", where=where, remedy=remedy) from error


def answers(curves: Sequence[Curve], threshold: float) -> list[str]:
    """One sentence for each attacker: the number of honest clients that suffices for all curves."""
    return [
        _answer(name, [curve for curve in curves if curve.attacker == name], threshold)
        for name in dict.fromkeys(curve.attacker for curve in curves)
    ]


def _answer(attacker: str, curves: Sequence[Curve], threshold: float) -> str:
    most = max(honest for curve in curves for honest in curve.honest)
    reached = [c.answer.measured for c in curves if c.answer and c.answer.measured is not None]
    what = f"{attacker.capitalize()} attacker"
    if len(reached) == len(curves):
        return (
            f"{what}: with {max(reached)} honest clients or more the upper limit of every AUC "
            f"interval lies below {threshold:g}, for every property and attack measured."
        )
    open_ = [f"{c.property} ({c.attack})" for c in curves if not (c.answer and c.answer.measured)]
    shown = ", ".join(open_[:MOST_NAMED]) + (
        f" and {len(open_) - MOST_NAMED} more" if len(open_) > MOST_NAMED else ""
    )
    return (
        f"{what}: {most} honest clients do not suffice for {len(open_)} of {len(curves)} curves, "
        f"whose AUC intervals reach {threshold:g} or more: {shown}."
    )


def command(out: Path, threshold: float) -> str:
    """The command that makes a measurement again, read from its run folders."""
    plans = plans_of(out)
    single = plans["single-round"]
    numbers = ",".join(str(k) for k in single.audit.participants)
    parts = [f"privaudit dilution RUN/single-round/{SCENARIO} --participants {numbers}"]
    parts += [f"--seeds {single.runs} --threshold {threshold:g}"]
    whole = plans.get("whole-run")
    parts += (
        [f"--whole-runs {whole.runs} --whole-rounds {whole.audit.rounds}"]
        if whole
        else ["--whole-runs 0"]
    )
    return " ".join(parts)


def dilution_table(curves: Sequence[Curve]) -> pd.DataFrame:
    """One row per curve: AUC with interval by number of honest clients, and the exponent."""
    honest = sorted({n for curve in curves for n in curve.honest})
    rows = []
    for curve in curves:
        found = dict(zip(curve.honest, curve.aucs, strict=True))
        row = {
            "attacker": curve.attacker,
            "property": curve.property,
            "attack": curve.attack,
            "shared": f"{100 * curve.fraction:g} %",
            "runs": str(curve.runs),
        }
        row |= {f"{n} honest": interval_text(found.get(n)) for n in honest}
        row["exponent of d'"] = _exponent_text(curve)
        rows.append(row)
    return pd.DataFrame(rows)


def conclusions(curves: Sequence[Curve], threshold: float) -> list[str]:
    """The answer for each attacker, in words, and what limits it."""
    lines = [answer_in_words(curve) for curve in curves]
    for attacker in dict.fromkeys(curve.attacker for curve in curves):
        limits = [c.detectable for c in curves if c.attacker == attacker]
        known = [limit for limit in limits if limit is not None]
        could = f"{max(known):.2f}" if len(known) == len(limits) else "none, at some K"
        lines.append(
            f"Power, {attacker} attacker: the smallest AUC told from 0.50 at every K (80 % power, "
            f"one-sided 5 %) is {could}."
        )
    lines.append(
        f"Below {threshold:g}: the upper limit of the 95 % interval, there and at every "
        "larger number measured. That an attack is negligible among many clients holds only for "
        "the attacker, rounds and clients named here."
    )
    return lines


def dilution_figure(curves: Sequence[Curve], threshold: float) -> str:
    """AUC by honest clients, one panel per attacker; lines are the fitted moment law."""
    attackers = list(dict.fromkeys(curve.attacker for curve in curves))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.2 * len(attackers) + 0.6, 4.2), layout="constrained")
        panels = figure.subplots(1, len(attackers), sharey=True, squeeze=False)[0]
        for axes, attacker in zip(panels, attackers, strict=True):
            _panel(axes, [c for c in curves if c.attacker == attacker], threshold)
            axes.set_title(attacker)
        panels[0].set_ylabel("AUC (0.5 = blind guess)")
        return as_svg(figure)


def _panel(axes: Axes, curves: Sequence[Curve], threshold: float) -> None:
    axes.axhline(0.5, color="grey", linewidth=1, linestyle="--")
    axes.axhline(threshold, color="grey", linewidth=1, linestyle=":")
    for position, curve in enumerate(curves):
        colour = f"C{position}"
        # A small factor apart, so that equal points stay visible on the logarithmic axis.
        x = np.array(curve.honest) * 1.04 ** (position - (len(curves) - 1) / 2)
        y = [interval.value for interval in curve.aucs]
        error = error_bars(curve.aucs)
        label = f"{short(curve.property)}, {curve.attack}"
        marker = MARKERS[position % len(MARKERS)]
        axes.errorbar(x, y, yerr=error, marker=marker, color=colour, ls="", capsize=3, label=label)
        if curve.moment:
            grid = np.geomspace(curve.honest[0], curve.honest[-1], 40)
            axes.plot(grid, [curve.moment.auc(n).value for n in grid], color=colour, linewidth=1)
    axes.set_xscale("log")
    ticks = sorted({n for curve in curves for n in curve.honest})
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.minorticks_off()
    axes.set_xlabel("honest clients (K - 1)")
    axes.set_ylim(0, 1.03)
    axes.legend(fontsize="small")


def dilution_csv(curves: Sequence[Curve]) -> str:
    """One row per curve and number of honest clients, unrounded."""
    rows = []
    for curve in curves:
        for honest, interval in zip(curve.honest, curve.aucs, strict=True):
            rows.append(
                {
                    "attacker": curve.attacker,
                    "property": curve.property,
                    "attack": curve.attack,
                    "rule": curve.rule,
                    "shared_fraction": curve.fraction,
                    "participants": honest + 1,
                    "honest": honest,
                    "rounds": curve.rounds,
                    "auc": interval.value,
                    "low": interval.low,
                    "high": interval.high,
                    "runs": interval.n_runs,
                }
            )
    return str(pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))


def _exponent_text(curve: Curve) -> str:
    if curve.power is None:
        return "–"
    fit = curve.power.parameter("exponent")
    limits = [f"{v:.2f}" if isfinite(v) else "no bound" for v in (fit.low, fit.high)]
    return f"{fit.value:.2f} [{limits[0]}, {limits[1]}]"
