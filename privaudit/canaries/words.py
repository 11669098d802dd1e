"""Readings as a table, and in sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tabulate import tabulate

from privaudit.accounting.canary_estimate import Estimate
from privaudit.canaries.reading import ABOVE, CONSISTENT, REFUTED, UNCLAIMED, UNSEEN, Reading
from privaudit.canaries.record import CanaryRecord

UNIT = "one client more or less"


def rows(readings: Sequence[Reading]) -> list[dict[str, str]]:
    """One per reader: column -> text."""
    return [
        {
            "reader": r.record.view,
            "claimed": _claimed(r.record),
            "unit, sampler": f"{UNIT}; {r.record.sampler}",
            "estimate [95 %]": _interval(r.epsilon),
            "cap": number(r.cap),
            "bound": number(r.bound),
            "guesses right": f"{r.right} of {r.record.guesses} (m = {len(r.record.scores)})",
            "ceiling": number(r.ceiling),
            "verdict": r.verdict,
        }
        for r in readings
    ]


def in_words(readings: Sequence[Reading]) -> str:
    """The table, and below it how to read it."""
    table = tabulate(rows(readings), headers="keys", tablefmt="github", disable_numparse=True)
    lines = [*(sentence(reading) for reading in readings), *notes(readings)]
    return "\n".join([table, "", *(f"- {line}" for line in lines)])


MOST = 1000
"""An ε above it is as good as none, and its digits are rounding."""


def number(value: float | None) -> str:
    """An ε."""
    if value is None or math.isinf(value):
        return "∞"
    if value > MOST:
        return f"> {MOST:g}"
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def _interval(found: Estimate) -> str:
    return f"{number(found.value)} [{number(found.low)}, {number(found.high)}]"


def _claimed(record: CanaryRecord) -> str:
    epsilon = record.claimed_epsilon
    if epsilon is None:
        return f"none ({record.claim})"
    origin = "" if record.claim == "stated" else f" ({record.claim})"
    return f"ε = {number(epsilon)}, δ = {record.delta:g}{origin}"


def sentence(reading: Reading) -> str:
    """The verdict on one reader, with its reason."""
    record, claimed = reading.record, number(reading.record.claimed_epsilon)
    who, found = record.view.capitalize(), _interval(reading.epsilon)
    if reading.verdict == REFUTED:
        return (
            f"{who}: the claim of ε = {claimed} is refuted: {reading.right} of {record.guesses} "
            f"guesses are right, which a mechanism of ε below {number(reading.bound)} does in at "
            "most 5 of 100 audits."
        )
    if reading.verdict == ABOVE:
        return (
            f"{who}: the estimate {found} lies above the claim of ε = {claimed}; the bound "
            f"({number(reading.bound)}) alone does not prove it."
        )
    if reading.verdict == CONSISTENT:
        return (
            f"{who}: nothing here contradicts ε = {claimed}: the estimate is {found}, and at most "
            f"{number(reading.cap)} could be read if the claim were exactly true. "
            f"{strength(reading)}"
        )
    if reading.verdict == UNSEEN:
        return (
            f"{who}: no more than ε = {number(reading.sight)} could be read even without any "
            f"noise, as honest deltas and other canaries hide a canary, too; that is below the "
            f"{claimed} claimed, so nothing can be said."
        )
    if reading.verdict == UNCLAIMED:
        return (
            f"{who}: nothing is claimed ({record.claim}), so nothing is contradicted. The "
            f"estimate is {found}; ε is at least {number(reading.bound)}."
        )
    return (
        f"{who}: void: of each canary's length {reading.came.value:.2f} "
        f"[{reading.came.low:.2f}, {reading.came.high:.2f}] came through where 1 should have; were "
        "they added to the sum of every round, and is the weight that of one client?"
    )


def strength(reading: Reading) -> str:
    """How likely a claim that is badly wrong would have been refuted."""
    if reading.ceiling <= (reading.record.claimed_epsilon or 0.0):
        return f"No bound of this size could refute it: its ceiling is {number(reading.ceiling)}."
    return (
        "With a quarter of the noise claimed the bound would have refuted it in "
        f"{100 * (reading.power or 0.0):.0f} of 100 such audits."
    )


def notes(readings: Sequence[Reading]) -> list[str]:
    """What the columns are and what they are not."""
    deltas = sorted({reading.record.delta for reading in readings})
    at = " and ".join(f"{delta:g}" for delta in deltas)
    return [
        f"ε at δ = {at}. Estimate: of the ε that this reader of the canaries sees, not a bound; "
        "whoever reads better sees more. Cap: what it would see if the claim (without one, the "
        "stated noise) were exactly true.",
        "Bound: ε is at least this, wrong in at most 5 of 100 audits; ceiling: the bound if every "
        "guess had been right, so that no audit of this size shows more.",
        "No audit shows that a claim holds; it can only contradict one.",
    ]
