"""The dilution report: table, figure, answer; a pure function of the curves."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import pandas as pd

from privaudit.custody.folder import RunFolder
from privaudit.errors import UserError
from privaudit.report import rebuilt
from privaudit.report.assumptions import not_asked
from privaudit.report.drawings import Drawing
from privaudit.report.findings import Findings, Part, write_findings
from privaudit.report.next_step import Next
from privaudit.report.provenance import SCENARIO
from privaudit.report.tables import interval_text
from privaudit.scenario.schema import Scenario
from privaudit.statistics.harmless import MOST_RUNS, Finding
from privaudit.studies import dilution_prices, in_short, rebuilt_dilution
from privaudit.studies.dilution import plans_of
from privaudit.studies.dilution_curves import Curve, Dilution, Order, orders
from privaudit.studies.dilution_figure import dilution_figure
from privaudit.studies.dilution_words import answer_in_words, clients, curve_json, order_json

MOST_NAMED = 4
FOUND = (Finding.LEAKS, Finding.WRONG_WAY)
HARMLESS = 0.6
CAPTION = "AUC with 95 % interval by number of honest clients, and how fast d' falls"
TITLE = "How many honest clients dilute the attacker"
FIGURE_TITLE = "AUC by number of honest clients"
FIGURE_TEXT = (
    "Points with 95 % intervals; a panel for each attacker, property and share of the parameters, "
    "a colour and a mark for each attack; grey band: harmless; dashed: a blind guess. Lines: the "
    "fitted law of an attacker who learns from simulated aggregates, where the attack is told from "
    "chance with the fewest clients and the law fits, between the measured numbers only."
)

EDGE = (
    "Those of a whole-run attacker have the variance of an AUC at the edge of the claim, and may "
    "be wider than its interval. "
)


def write_dilution(folder: RunFolder, measured: Dilution, *, threshold: float) -> None:
    """Write ``report/dilution.{md,csv,json}``, figures and ``report/index.html``."""
    scenario, curves, cells = measured.scenario, measured.curves, measured.rebuilt
    parts = [] if not cells else [rebuilt_dilution.part(scenario, cells)]
    if curves:
        drawing = Drawing.of(
            "dilution", FIGURE_TITLE, FIGURE_TEXT, dilution_figure, curves, threshold
        )
        table, notes = dilution_table(curves), conclusions(curves, threshold)
        parts = [Part(table, len(HEADS), CAPTION, notes, drawing), *parts]
    if measured.prices:
        parts.append(dilution_prices.part(measured.prices))
    answer, step = (
        all_answers(measured, threshold),
        next_of_dilution(folder.path, measured, threshold),
    )
    found = Findings(
        kind="dilution",
        title=f"{TITLE}: {scenario.title or scenario.name}",
        answer=answer,
        parts=parts,
        limits=limits(scenario, curves),
        command=command(folder.path, threshold),
        next=step,
        in_short=in_short.of_dilution(measured, answer, step),
        runs=list(plans_of(folder.path)),
    )
    document = json.dumps(dilution_json(measured), indent=1, allow_nan=False)
    write_findings(folder, found, document=document, rows=dilution_csv(measured))


def all_answers(measured: Dilution, threshold: float) -> list[str]:
    """What was found, in a sentence for each attacker and each size of batch."""
    return [
        *answers(measured.curves, threshold),
        *rebuilt_dilution.answers(measured.rebuilt),
        *dilution_prices.answers(measured.prices),
    ]


def all_notes(measured: Dilution, threshold: float) -> list[str]:
    """How to read the tables."""
    notes = conclusions(measured.curves, threshold) if measured.curves else []
    if measured.rebuilt:
        notes += rebuilt_dilution.part(measured.scenario, measured.rebuilt).notes
    return notes + [dilution_prices.NOTE] * bool(measured.prices)


def all_tables(measured: Dilution) -> list[pd.DataFrame]:
    """Of AUCs, of rebuilt records, of what defences cost: those there are."""
    found = [dilution_table(measured.curves)] if measured.curves else []
    found += [rebuilt_dilution.table(measured.rebuilt)] if measured.rebuilt else []
    return found + ([dilution_prices.table(measured.prices)] if measured.prices else [])


def written_threshold(folder: RunFolder) -> float:
    """The AUC below which the report that lies there calls an attacker harmless.

    :data:`HARMLESS` where there is no report yet.
    """
    if not folder.file("report", "dilution.json").is_file():
        return HARMLESS
    document = folder.read_json("report/dilution.json")
    try:
        found = [curve["answer"]["threshold"] for curve in document if curve.get("answer")]
        return float(found[0]) if found else HARMLESS
    except (LookupError, TypeError, ValueError, AttributeError) as error:
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
    what = f"{attacker.capitalize()} attacker"
    within = f"within {1 - threshold:.2g} to {threshold:.2g}"
    shown = [c.answer.measured for c in curves if c.answer and c.answer.measured is not None]
    if len(shown) == len(curves):
        from_ = max(shown)
        numbers = clients(most) if from_ == most else f"{from_} to {most} honest clients"
        return (
            f"{what}: harmless with {numbers}: both 90 % limits of every AUC lie {within}, for "
            "every property, share and attack measured."
        )
    left = [c for c in curves if not (c.answer and c.answer.measured is not None)]
    open_ = [c for c in left if not c.answer or c.answer.at_largest is Finding.OPEN]
    leaks = [c for c in left if c not in open_]
    parts = []
    if leaks:
        parts.append(
            f"not harmless for {len(leaks)} of {len(curves)} curves, whose AUC is told from 0.5 "
            f"there: {_named(leaks)}"
        )
    if open_:
        parts.append(
            f"not shown to be harmless for {len(open_)} of {len(curves)}, whose AUC the runs do "
            f"not pin down to {within}: {_named(open_)}"
        )
    return f"{what}, with up to {clients(most)}: {'; '.join(parts)}."


def _named(curves: Sequence[Curve]) -> str:
    names = [f"{c.property} ({c.attack}, {c.share})" for c in curves]
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


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


def next_of_dilution(out: Path, measured: Dilution, threshold: float) -> Next:
    """More clients where it leaks, more runs where nothing is shown, colluders where it is gone."""
    made, plans = command(out, threshold), plans_of(out)
    single, whole = plans["single-round"], plans.get("whole-run")
    most = max(single.participants)
    answers = [(curve.attacker, curve.answer) for curve in measured.curves]
    if not answers or any(a and a.at_largest in FOUND for _, a in answers):
        numbers = f"--participants {most},{2 * most - 1}"
        why = "twice as many honest clients, as far as the records reach"
        return Next(re.sub(r"--participants \S+", numbers, made), why)
    open_ = [(who, a.runs_needed) for who, a in answers if a and a.measured is None]
    if open_:
        needed: dict[str, int] = {
            who: max(n or MOST_RUNS for w, n in open_ if w == who) for who, _ in open_
        }
        made = _with_runs(made, "--seeds", needed, single.runs, whole_run=False)
        if whole:
            made = _with_runs(made, "--whole-runs", needed, whole.runs, whole_run=True)
        return Next(made, "enough runs to show that it is harmless, if it is")
    if not single.audit.colluders:
        made += " --set audit.colluders='\"25%\"'"
        return Next(made, "does it stay so if a quarter of the participants collude?")
    return Next(f"{made} --set audit.others=natural", "does it, if bystanders hold it, too?")


def _with_runs(
    made: str, flag: str, needed: Mapping[str, int], now: int, *, whole_run: bool
) -> str:
    """The command with as many runs as some attacker needs."""
    most = [n for who, n in needed.items() if (who == "whole-run") == whole_run]
    runs = max([now, *most])
    return re.sub(rf"{flag} \S+", f"{flag} {runs + runs % 2 * whole_run}", made)


HEADS = ("attacker", "property", "shared", "honest clients")


def dilution_table(curves: Sequence[Curve]) -> pd.DataFrame:
    """One row per number of honest clients, one column per attack: AUC with interval.

    A star says that it is told from chance. Below them the exponent of d', where it can be read.
    """
    attacks = list(dict.fromkeys(curve.attack for curve in curves))
    rows = []
    for key, group in _groups(curves).items():
        found = {c.attack: _texts(c) for c in group}
        for n in sorted({n for c in group for n in c.honest}):
            row = dict(zip(HEADS, (*key, str(n)), strict=True))
            rows.append(row | {a: found.get(a, {}).get(n, interval_text(None)) for a in attacks})
        exponents = {c.attack: _exponent_text(c) for c in group}
        row = dict(zip(HEADS, (*key, "exponent of d'"), strict=True))
        rows.append(row | {a: exponents.get(a, "–") for a in attacks})
    return pd.DataFrame(rows)


def _texts(curve: Curve) -> dict[int, str]:
    """Number of honest clients -> AUC with interval, starred where told."""
    points = zip(curve.honest, curve.aucs, curve.tests, strict=True)
    return {n: interval_text(auc) + "*" * test.told for n, auc, test in points}


def limits(scenario: Scenario, curves: Sequence[Curve]) -> list[str]:
    """What the measurement does not say."""
    attackers = dict.fromkeys(curve.attacker for curve in curves)
    lines = [
        f"Nothing about {', about '.join(not_asked(scenario))}: only what was asked, with the "
        "attacks and the threat model named here.",
        "Nothing about other models, data, batch sizes or rounds, nor about more clients than were "
        "measured.",
        "An AUC without a star is not a proof of privacy: only 'harmless' is a claim of its own, "
        "and it is about these attacks; a stronger one may exist."
        if curves
        else "A number without a star is not a proof of privacy: a stronger attack may exist.",
    ]
    if "whole-run" not in attackers and scenario.audit.properties:
        lines.append(
            "The property comes and goes by the round here; an attacker of a property that stays "
            "for the whole run can add up its rounds and do better (--whole-runs)."
        )
    elif "whole-run" in attackers:
        rounds = max(curve.rounds for curve in curves if curve.attacker == "whole-run")
        lines.append(
            f"The whole-run attacker adds up {rounds} rounds; whoever listens for longer may do "
            "better. It faces one federation: what only the comparison of a federation with itself "
            "in the other state would show is not counted."
        )
    if scenario.ledger.enabled:
        lines.append("Rewards are paid for verified deltas; they are no compensation for a leak.")
    return lines


def _groups(curves: Sequence[Curve]) -> dict[tuple[str, str, str], list[Curve]]:
    """The curves of each attacker, property and share: one per attack."""
    groups: dict[tuple[str, str, str], list[Curve]] = {}
    for curve in curves:
        groups.setdefault((curve.attacker, curve.property, curve.share), []).append(curve)
    return groups


def _highest(limits: Sequence[float | None]) -> str:
    known = [limit for limit in limits if limit is not None]
    whole = known and len(known) == len(limits)
    return f"an AUC of {max(known):.2f}" if whole else "not even a perfect attack"


def conclusions(curves: Sequence[Curve], threshold: float) -> list[str]:
    """The answer for each curve, in words, the order of the attacks, and what limits it."""
    lines = [answer_in_words(curve) for curve in curves]
    compared = orders(curves)
    for attacker in dict.fromkeys(curve.attacker for curve in curves):
        own = [order for order in compared if order.attacker == attacker]
        if own:
            lines.append(_order_text(attacker, own))
        of = [curve for curve in curves if curve.attacker == attacker]
        lines.append(
            f"Power, {attacker} attacker: told from 0.50 in 80 of 100 such audits, at every K: "
            f"{_highest([c.detectable for c in of])} if one point alone leaked, "
            f"{_highest([c.detectable_if_all for c in of])} if all did."
        )
    lines.append(
        "* = told from chance: above 0.50 at a false discovery rate of 5 % over all points of the "
        "attacker (the larger p of permutation and pool test, Benjamini-Hochberg)."
    )
    lines.append(
        f"Harmless for {threshold:.2g}: both 90 % limits of the AUC lie within "
        f"{1 - threshold:.2g} to {threshold:.2g}, there and at every larger number measured. "
        f"{EDGE * any(curve.attacker == 'whole-run' for curve in curves)}"
        "An AUC below 0.5 is no safety: scores turned round are above it. Nothing is said of more "
        "clients than were measured, nor of other attackers and rounds than those named here."
    )
    return lines


def _order_text(attacker: str, compared: Sequence[Order]) -> str:
    told = [order for order in compared if order.told]
    named = [
        f"on '{o.property}' ({o.share}) {o.ahead} is ahead of {o.behind} by "
        f"{o.difference.value:.2f} [{o.difference.low:.2f}, {o.difference.high:.2f}]"
        for o in told[:MOST_NAMED]
        if o.difference is not None
    ]
    if len(told) > MOST_NAMED:
        named.append(f"{len(told) - MOST_NAMED} more in dilution.json")
    if len(told) < len(compared):
        rest = len(compared) - len(told)
        whole = "in none of the comparisons" if not told else f"not in {rest} of {len(compared)}"
        named.append(f"{whole} are the attacks ordered" if not told else f"{whole} comparisons")
    return (
        f"Order of the attacks, {attacker} attacker (AUC, mean over all numbers of clients, paired "
        f"over runs, 95 %): {'; '.join(named)}."
    )


def dilution_json(measured: Dilution) -> list[dict[str, Any]]:
    """For machines: the curves, each with how its attack compares with the others there.

    And a row for each cell that was rebuilt, and for what each defence costs.
    """
    curves = measured.curves
    compared = orders(curves)
    return [
        curve_json(curve)
        | {
            "orders": [
                order_json(order)
                for order in compared
                if (order.attacker, order.property, order.share)
                == (curve.attacker, curve.property, curve.share)
                and curve.attack in (order.ahead, order.behind)
            ]
        }
        for curve in curves
    ] + _other_rows(measured)


def _other_rows(measured: Dilution) -> list[dict[str, Any]]:
    """Of what has no curve: what was rebuilt, and what defences cost."""
    prices = [dilution_prices.price_json(point) for point in measured.prices]
    return rebuilt.long_rows(measured.rebuilt) + prices


def dilution_csv(measured: Dilution) -> str:
    """One row per curve and number of honest clients, unrounded; then the other tables'."""
    curves = measured.curves
    if not curves:
        return rebuilt.as_csv(measured.rebuilt)
    rows: list[dict[str, Any]] = []
    for curve in curves:
        points = zip(curve.honest, curve.participants, curve.aucs, curve.tests, strict=True)
        for honest, participants, interval, test in points:
            rows.append(
                {
                    "attacker": curve.attacker,
                    "property": curve.property,
                    "attack": curve.attack,
                    "rule": curve.rule,
                    "shared_fraction": curve.fraction,
                    "participants": participants,
                    "honest": honest,
                    "rounds": curve.rounds,
                    "auc": interval.value,
                    "low": interval.low,
                    "high": interval.high,
                    "level": interval.level,
                    "p_value": test.p_value,
                    "q_value": test.q_value,
                    "told": test.told,
                    "runs": len(curve.scores[honest]),
                }
            )
    rows += _other_rows(measured)
    return str(pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))


def _exponent_text(curve: Curve) -> str:
    if curve.power is None:
        return "–"
    fit = curve.power.parameter("exponent")
    limits = [f"{v:.2f}" if isfinite(v) else "no bound" for v in (fit.low, fit.high)]
    return f"{fit.value:.2f} [{limits[0]}, {limits[1]}]"
