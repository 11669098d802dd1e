"""A dilution curve in a sentence, and as a JSON document."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from privaudit.statistics.harmless import MOST_RUNS, Finding
from privaudit.statistics.intervals import Interval
from privaudit.studies.dilution_curves import Curve, Order


def clients(number: int) -> str:
    """``1 honest client``, ``2 honest clients``."""
    return f"{number} honest client{'' if number == 1 else 's'}"


def answer_in_words(curve: Curve) -> str:
    """One sentence: from how many honest clients on the attacker is shown to be harmless."""
    listens = "one round" if curve.rounds == 1 else f"{curve.rounds} rounds added up"
    who = (
        f"{curve.attack}, '{curve.property}', {curve.share} shared, {curve.attacker} attacker "
        f"({listens})"
    )
    answer = curve.answer
    if answer is None:
        return f"{who}: too few points for an answer."
    low, high = 1 - answer.threshold, answer.threshold
    up_to = clients(answer.measured_up_to)
    if answer.measured is not None:
        only = answer.measured == answer.measured_up_to
        return (
            f"{who}: harmless {'at' if only else 'from'} {clients(answer.measured)}"
            f"{'' if only else f' up to the {answer.measured_up_to} measured'}: both 90 % limits "
            f"of the AUC lie within {low:.2g} to {high:.2g}{'' if only else ' at each'}."
        )
    there = f"the AUC is {_interval(curve.aucs[-1])}"
    if answer.at_largest is Finding.WRONG_WAY:
        return (
            f"{who}: not harmless at {up_to}: {there}, below 0.5, so the scores carry information "
            "whose direction the adversary does not know."
        )
    if answer.at_largest is Finding.LEAKS:
        return f"{who}: not harmless up to {up_to}: {there} there."
    needed = f"about {answer.runs_needed:,}" if answer.runs_needed else f"over {MOST_RUNS:,}"
    in_both = ", two for each federation" if curve.attacker == "whole-run" and curve.paired else ""
    return (
        f"{who}: harmless not shown up to {up_to}: {there}, its 90 % limits are "
        f"{answer.limits[0]:.2f} and {answer.limits[1]:.2f}. To show it for {high:.2g} if the "
        f"attack is blind takes {needed} runs{in_both} (here {answer.runs})."
    )


def _interval(interval: Interval) -> str:
    return f"{interval.value:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def order_json(order: Order) -> dict[str, Any]:
    """A comparison of two attacks as a JSON document."""
    return asdict(order) | {"told": order.told}


def curve_json(curve: Curve) -> dict[str, Any]:
    """A curve as a JSON document; limits without a bound are null."""
    exponent = curve.power.parameter("exponent") if curve.power else None
    return {
        "attacker": curve.attacker,
        "property": curve.property,
        "attack": curve.attack,
        "rule": curve.rule,
        "shared_fraction": curve.fraction,
        "rounds": curve.rounds,
        "runs": curve.runs,
        "points": [
            {
                "honest": honest,
                "participants": participants,
                **asdict(interval),
                **asdict(test),
                "told": test.told,
            }
            for honest, participants, interval, test in zip(
                curve.honest, curve.participants, curve.aucs, curve.tests, strict=True
            )
        ],
        "smallest_detectable_auc": curve.detectable,
        "smallest_detectable_auc_if_all": curve.detectable_if_all,
        "exponent": None
        if exponent is None
        else {key: _finite(value) for key, value in asdict(exponent).items()},
        "misfit_p": {
            fit.family.name: fit.misfit_p for fit in (curve.power, curve.moment) if fit is not None
        },
        "answer": asdict(curve.answer) | {"at_largest": curve.answer.at_largest.value}
        if curve.answer
        else None,
        "in_words": answer_in_words(curve),
        "failures": list(curve.failures),
    }


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
