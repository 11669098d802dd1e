"""How many clients a useful ε needs: what a defence costs the main task, by number of clients.

The same noise weighs less on the mean of more deltas. With noise of z bounds on the sum of K of
them, the noise on the mean of P coordinates is z √P / K times as long as a delta of the clipping
bound: 1 is where signal and noise are alike, and the accuracy beside it says what that is worth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from privaudit.accounting.claims import Claim
from privaudit.evaluation.prices import LOSS_ALLOWED, Price, price
from privaudit.evaluation.records import Record
from privaudit.report.defences import epsilon_number, epsilon_text
from privaudit.report.drawings import Drawing
from privaudit.report.figures import NARROW, PLAIN, name_lines
from privaudit.report.findings import Part, error_bars
from privaudit.report.looks import numbered
from privaudit.report.tables import interval_text
from privaudit.scenario.schema import NO_DEFENCE, PROPERTY

HEADS = ("defence", "clients")
TITLE = "Main task by number of clients"
NOTE = (
    "Main task: test accuracy of the model after as many rounds under the defence as are audited; "
    "lost: by how much less that is than without a defence in the same run. Noise ÷ signal: length "
    "of the noise on the mean over the clipping bound, z √P / K (1: as long as the mean would be "
    "if all deltas pointed the same way)."
)


@dataclass(frozen=True)
class PricePoint:
    """A defence with one number of clients.

    Attributes:
        defence: its name; empty for none.
        participants: K.
        claim: what it promises; None where there is nothing to promise.
        price: what it costs the main task.
        ratio: length of the noise on the mean ÷ the bound, z √P / K; None without such noise.
    """

    defence: str
    participants: int
    claim: Claim | None
    price: Price
    ratio: float | None


def price_points(records: Sequence[Record], parameters: int) -> list[PricePoint]:
    """What each defence costs at each number of clients.

    Args:
        records: of one audit at several numbers of clients.
        parameters: P, of the model; 0 where it is not known.
    """
    asked = [record for record in records if record.game == PROPERTY] or records
    defences = list(dict.fromkeys(record.defence for record in asked))
    return [
        _point([r for r in asked if r.participants == participants], defence, parameters)
        for defence in defences
        for participants in sorted({r.participants for r in asked if r.defence == defence})
    ]


def _point(records: Sequence[Record], defence: str, parameters: int) -> PricePoint:
    own = [record for record in records if record.defence == defence]
    plain = [record for record in records if not record.defence] if defence else []
    claim, participants = own[0].claim, own[0].participants
    ratio = None
    if claim and claim.multiplier and claim.unit == "participant" and parameters:
        ratio = claim.multiplier * math.sqrt(parameters) / participants
    return PricePoint(defence, participants, claim, price(own, plain), ratio)


def part(points: Sequence[PricePoint]) -> Part:
    """What the page says of prices."""
    text = "Mean over runs with 95 % interval; a line for each defence."
    return Part(
        table=table(points),
        heads=len(HEADS),
        caption="What defences cost the main task, with 95 % intervals over runs",
        notes=[NOTE],
        drawing=Drawing.of("prices", TITLE, text, figure, points),
        stacked=True,
    )


def answers(points: Sequence[PricePoint]) -> list[str]:
    """For each defence from how many clients on it costs no more than :data:`LOSS_ALLOWED`."""
    defended = [point for point in points if point.defence and point.price.lost]
    return [
        _answer([point for point in defended if point.defence == name])
        for name in dict.fromkeys(point.defence for point in defended)
    ]


def _answer(points: Sequence[PricePoint]) -> str:
    enough = None
    for point in reversed(points):
        if not point.price.lost or point.price.lost.high > LOSS_ALLOWED:
            break
        enough = point.participants
    most = points[-1]
    start = f"Main task under '{most.defence}' (ε: {epsilon_text(most.claim)})"
    if enough is None:
        return (
            f"{start}: at no number measured is it shown to lose less than {LOSS_ALLOWED:g} of its "
            f"accuracy; with {most.participants} clients it loses {interval_text(most.price.lost)}."
        )
    return f"{start}: it loses less than {LOSS_ALLOWED:g} of its accuracy from {enough} clients on."


def table(points: Sequence[PricePoint]) -> pd.DataFrame:
    """One row per defence and number of clients, as text."""
    rows = [
        (
            point.defence or NO_DEFENCE,
            str(point.participants),
            epsilon_text(point.claim),
            "–" if point.ratio is None else epsilon_number(point.ratio),
            interval_text(point.price.accuracy),
            interval_text(point.price.lost),
        )
        for point in points
    ]
    columns = [*HEADS, "ε", "noise ÷ signal", "main task", "accuracy lost"]
    return pd.DataFrame(rows, columns=columns)


@matplotlib.rc_context(PLAIN)
def figure(points: Sequence[PricePoint], *, narrow: bool = False) -> Figure:
    """Accuracy of the main task by number of clients."""
    drawn = Figure(figsize=(NARROW if narrow else 6.4, 3.6), layout="constrained")
    axes = drawn.subplots()
    for number, name in enumerate(dict.fromkeys(point.defence for point in points)):
        own = [p for p in points if p.defence == name and p.price.accuracy]
        found = [p.price.accuracy for p in own if p.price.accuracy]
        colour, mark = numbered(number)
        axes.errorbar(
            [p.participants for p in own],
            [accuracy.value for accuracy in found],
            yerr=error_bars(found),
            marker=mark,
            color=colour,
            capsize=3,
            label=name or NO_DEFENCE,
        )
    axes.set_xscale("log")
    ticks = sorted({point.participants for point in points})
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.minorticks_off()
    axes.set_ylim(0, 1.03)
    axes.set_xlabel("clients in a round (K)")
    axes.set_ylabel("accuracy of the main task")
    name_lines(drawn, [axes])
    return drawn


def price_json(point: PricePoint) -> dict[str, Any]:
    """One point, unrounded; None for what is not there."""
    accuracy, lost, claim = point.price.accuracy, point.price.lost, point.claim
    return {
        "attacker": "price",
        "defence": point.defence or NO_DEFENCE,
        "participants": point.participants,
        "epsilon": claim.epsilon if claim else None,
        "noise_to_signal": point.ratio,
        "accuracy": accuracy.value if accuracy else None,
        "accuracy_low": accuracy.low if accuracy else None,
        "accuracy_high": accuracy.high if accuracy else None,
        "lost": lost.value if lost else None,
        "lost_low": lost.low if lost else None,
        "lost_high": lost.high if lost else None,
    }
