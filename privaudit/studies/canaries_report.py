"""The report of canaries: table, figure, answer; a pure function of the records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from privaudit.canaries import Reading
from privaudit.canaries.canaries import FEWEST
from privaudit.canaries.reading import UNCLAIMED, UNSEEN, VOID
from privaudit.canaries.words import notes, rows, sentence
from privaudit.custody.folder import RunFolder
from privaudit.custody.plan import Plan, read_plan
from privaudit.report.drawings import Drawing
from privaudit.report.figures import NARROW, PLAIN, QUIET
from privaudit.report.findings import Findings, Part, write_findings
from privaudit.report.next_step import Next
from privaudit.report.provenance import SCENARIO
from privaudit.report.tables import as_text
from privaudit.scenario.schema import Scenario
from privaudit.studies import in_short
from privaudit.studies.canaries import SETTINGS, read_canaries

CAPTION = "What is claimed, what canaries show, and what they could have shown"
TITLE = "Canaries"
FIGURE_TITLE = "Scores of canaries that are in, and of those that are not"
FIGURE_TEXT = (
    "One panel per reader. In units of what one canary adds to the sum over all rounds: without "
    "any disturbance those in would score 1, the others 0."
)


def frame(readings: Sequence[Reading]) -> pd.DataFrame:
    """The table."""
    return pd.DataFrame(rows(readings))


def tables(readings: Sequence[Reading]) -> str:
    """The table as text."""
    return as_text(frame(readings))


def answers(readings: Sequence[Reading]) -> list[str]:
    """What was found, in a sentence for each reader."""
    return [sentence(reading) for reading in readings]


def write_canaries(folder: RunFolder) -> None:
    """Write ``report/canaries.{md,csv,json}``, the figure and ``report/index.html``."""
    readings, scenario = read_canaries(folder.path), folder.scenario()
    drawing = Drawing.of("scores", FIGURE_TITLE, FIGURE_TEXT, _figure, readings)
    step = next_of_canaries(folder, readings)
    found = Findings(
        kind="canaries",
        title=f"{TITLE}: {scenario.title or scenario.name}",
        answer=answers(readings),
        parts=[Part(frame(readings), 1, CAPTION, notes(readings), drawing)],
        limits=limits(scenario, readings),
        command=command(folder),
        next=step,
        in_short=in_short.of_canaries(readings, step),
        runs=[],
        facts=_facts(read_plan(folder), scenario),
    )
    document = json.dumps(canaries_json(readings), indent=1, allow_nan=False)
    write_findings(folder, found, document=document, rows=canaries_csv(readings))


def canaries_json(readings: Sequence[Reading]) -> list[dict[str, object]]:
    """One object per reader."""
    return [reading.as_json() for reading in readings]


def canaries_csv(readings: Sequence[Reading]) -> str:
    """One row per canary and reader: whether it was in, and its score, unrounded."""
    scores = [
        pd.DataFrame(
            {"view": r.record.view, "inserted": r.record.inserted, "score": r.record.scores}
        )
        for r in readings
    ]
    return pd.concat(scores).to_csv(index_label="canary")


def limits(scenario: Scenario, readings: Sequence[Reading]) -> list[str]:
    """What the audit does not say."""
    rounds = max(reading.record.rounds for reading in readings)
    return [
        "No claim is confirmed: a reader that does better than a projection on the canary, or that "
        "chooses what the others send, may see more.",
        "The auditor is no adversary: it puts in clients of its own and knows their directions. "
        "What attackers can tell of real clients is what privaudit run measures.",
        f"About one client more or less in each of {rounds} rounds of the ordinary training of one "
        "run; nothing about single records, nor about the audited rounds of other games.",
        "The model moves by the honest clients alone: they do not react to the canaries.",
        "The noise is simulated: whoever has the scenario and the data can compute it.",
        *(
            ["The model's own main task is not looked at: noise that hides a client may ruin it."]
            if scenario.federation.noise or scenario.federation.defence
            else []
        ),
    ]


def command(folder: RunFolder) -> str:
    """The command that makes it again."""
    asked = folder.read_json(SETTINGS)
    views = asked["views"]
    parts = [
        f"privaudit canaries RUN/{SCENARIO} --canaries {asked['canaries']}",
        f"--rounds {asked['rounds']} --delta {asked['delta']:g}",
        f"--view {views[0] if len(views) == 1 else 'both'}",
    ]
    if asked["claimed_epsilon"] is not None:
        parts.append(f"--claimed-epsilon {asked['claimed_epsilon']:g}")
    if asked["guesses"] is not None:
        parts.append(f"--guesses {asked['guesses']}")
    return " ".join(parts)


def next_of_canaries(folder: RunFolder, readings: Sequence[Reading]) -> Next:
    """Another seed where more leaks than is claimed, more canaries where that is not excluded."""
    made, scenario = command(folder), folder.scenario()
    count = len(readings[0].record.scores)
    verdicts = {reading.verdict for reading in readings}
    if any(reading.found for reading in readings):
        return Next(
            f"{made} --set seed={scenario.seed + 1}",
            "an audit of its own: that both are wrong happens in 1 of 400",
        )
    if VOID in verdicts:
        return Next(
            f"{made} --set federation.shared_fraction=1.0 --set federation.sharing_rule=all",
            "do canaries come through where all of a delta is shared?",
        )
    if UNSEEN in verdicts:
        fewer = made.replace(f"--canaries {count}", f"--canaries {max(FEWEST, count // 4)}")
        return Next(fewer, "fewer canaries disturb each other less")
    if UNCLAIMED in verdicts:
        clip = scenario.federation.clip_norm or 1.0
        return (
            Next(
                f"{made} --claimed-epsilon 2",
                "would it pass for an ε that you would release at?",
            )
            if scenario.federation.noise or scenario.federation.defence
            else Next(
                f"{made} --set federation.noise={clip:g}",
                "what does noise as large as the norm buy?",
            )
        )
    if not all(reading.excluded for reading in readings):
        more = made.replace(f"--canaries {count}", f"--canaries {4 * count}")
        return Next(more, "four times as many canaries halve the interval")
    return Next(
        f"privaudit run RUN/{SCENARIO}", "what can attackers tell of real clients behind it?"
    )


def _facts(plan: Plan, scenario: Scenario) -> list[tuple[str, str]]:
    return [
        ("Scenario", scenario.name),
        ("Root seed", str(scenario.seed)),
        ("Versions", ", ".join(f"{name} {version}" for name, version in plan.versions.items())),
        ("Git commit", plan.commit or "none (not run from a checkout)"),
        ("Code of the model", str(plan.model)),
        (f"Data set '{plan.dataset.name}', fingerprint", plan.dataset.fingerprint),
    ]


def _figure(readings: Sequence[Reading], *, narrow: bool = False) -> Figure:
    with matplotlib.rc_context(PLAIN):
        count = len(readings)
        size, shape = (3.6 * count + 0.8, 3.2), (1, count)
        if narrow:
            size, shape = (NARROW, 2.8 * count), (count, 1)
        figure = Figure(figsize=size, layout="constrained")
        panels = list(figure.subplots(*shape, squeeze=False).flat)
        for axes, reading in zip(panels, readings, strict=True):
            record = reading.record
            scores = np.array(record.scores) / (record.carried or 1.0)
            inside = np.array(record.inserted)
            bins = np.linspace(scores.min(), scores.max() + 1e-9, 31)
            for chosen, label, style in ((inside, "in", "-"), (~inside, "not in", "--")):
                drawn: Any = {"histtype": "step", "linewidth": 1.5, "ls": style, "color": QUIET}
                axes.hist(scores[chosen], bins=bins, label=label, **drawn)
            axes.set_title(record.view)
            axes.set_xlabel("score")
        panels[0].set_ylabel("canaries")
        panels[0].legend()
        return figure
