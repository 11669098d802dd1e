"""The four answers at the top of the pages of several audits (:mod:`privaudit.report.in_short`)."""

from __future__ import annotations

from collections.abc import Sequence

from privaudit.canaries import Reading
from privaudit.canaries.reading import CONSISTENT, UNCLAIMED, UNSEEN
from privaudit.canaries.words import number, sentence, strength
from privaudit.report.in_short import (
    COIN,
    STRONGER,
    InShort,
    between,
    capital,
    found_beside_a_coin,
    frequency,
    hundred,
    listener,
)
from privaudit.report.next_step import Next
from privaudit.report.verdict import LEAK, NONE, UNKNOWN, could_have_seen, strongest
from privaudit.report.words import words_of
from privaudit.statistics.harmless import Finding
from privaudit.studies.comparison import Comparison
from privaudit.studies.dilution_curves import Curve, Dilution
from privaudit.studies.dilution_words import clients
from privaudit.studies.policies import Policies, Policy
from privaudit.studies.sweep import Sweep

LEAKS = (Finding.LEAKS, Finding.WRONG_WAY)


def of_dilution(found: Dilution, answers: Sequence[str], step: Next) -> InShort:
    """How many honest clients it takes, for each attacker.

    Args:
        found: what was measured.
        answers: the sentences of its report; said where nothing has an AUC.
        step: what to do next.
    """
    assumed = listener(found.scenario)
    if not found.curves:
        told = any(cell.told for cell in found.rebuilt)
        sure = "A guess gets as much in at most 5 of 100 audits."
        return InShort(LEAK if told else NONE, " ".join(answers[:2]), sure, step, assumed)
    names = list(dict.fromkeys(curve.attacker for curve in found.curves))
    worst = [_worst([c for c in found.curves if c.attacker == name]) for name in names]
    outcome = LEAK if any(_state(curve) == LEAK for curve in worst) else NONE
    leak = "Yes. " * (outcome == LEAK) + " ".join(_diluted(found, curve) for curve in worst)
    sure = " ".join(_how_sure(curve) for curve in worst)
    return InShort(outcome, leak, sure, step, assumed)


def _worst(curves: Sequence[Curve]) -> Curve:
    """Of one attacker: a leak with the most clients goes before what is open, that before none."""
    order = (LEAK, UNKNOWN, NONE)
    return min(curves, key=lambda c: (order.index(_state(c)), -c.aucs[-1].value))


def _state(curve: Curve) -> str:
    """With the most clients measured."""
    if curve.answer is None or curve.answer.at_largest is Finding.OPEN:
        return UNKNOWN
    return LEAK if curve.answer.at_largest in LEAKS else NONE


def _diluted(found: Dilution, curve: Curve) -> str:
    """One attacker in a sentence or two."""
    few, most = clients(curve.honest[0]), clients(curve.honest[-1])
    first, last = (hundred(auc.value) for auc in (curve.aucs[0], curve.aucs[-1]))
    start = f"{_who(curve)}: "
    if _state(curve) == LEAK:
        start += f"still there with {most}."
    elif _state(curve) == UNKNOWN:
        start += f"not shown to be gone with {most}."
    else:
        start += f"gone with {clients(curve.answer.measured or 0)} or more." if curve.answer else ""
    return (
        f"{start} Of 100 pairs of {_pair(found, curve)}, the attack names the right one in {last} "
        f"there, in {first} with {few}; {COIN}."
    )


def _who(curve: Curve) -> str:
    if curve.attacker == "whole-run":
        return f"Who adds up {curve.rounds} rounds"
    return "Who hears one round" if curve.attacker == "single-round" else "Who hears all rounds"


def _pair(found: Dilution, curve: Curve) -> str:
    if curve.attacker == "whole-run":
        return f"federations, one with '{curve.property}' in every round and one without"
    pair = words_of(found.scenario, curve.property).pair
    return pair or f"cases, one with '{curve.property}' and one without"


def _how_sure(curve: Curve) -> str:
    runs = f"{curve.runs} run{'s' * (curve.runs != 1)}"
    text = f"{_who(curve)}: {between(curve.aucs[-1])}, from {runs}"
    if _state(curve) == LEAK:
        text += found_beside_a_coin(curve.aucs[-1])
    needed = curve.answer.runs_needed if curve.answer else None
    if _state(curve) == UNKNOWN and needed:
        text += f"; to show that it is gone takes about {needed:,} runs"
    return f"{text}."


def of_sweep(sweep: Sweep, answers: Sequence[str], step: Next) -> InShort:
    """At which value most leaks, and at which least; arguments as of :func:`of_dilution`."""
    scenario = sweep.points[-1].scenario
    assumed = listener(scenario)
    cells = [cell for point in sweep.points for cell in point.cells]
    best = strongest(cells)
    if best is None or best.auc is None:
        return InShort(UNKNOWN, " ".join(answers[:1]), "", step, assumed)
    if not best.told:
        leak = f"None was found at any value of {sweep.key}. That is no proof that nothing leaks."
        return InShort(NONE, leak, f"{capital(could_have_seen(cells))}.", step, assumed)
    beside = [
        (point.label, cell)
        for point in sweep.points
        for cell in point.cells
        if (cell.property, cell.attack) == (best.property, best.attack) and cell.auc
    ]
    high = next(label for label, cell in beside if cell is best)
    low, least = min(beside, key=lambda pair: pair[1].auc.value if pair[1].auc else 1.0)
    said = frequency(scenario, best) if words_of(scenario, best.property).pair else ""
    leak = f"Yes, most at {sweep.key} = {high}"
    leak += f": {said}" if said else f" (AUC {best.auc.value:.2f}, a guess has 0.50)"
    sure = f"{capital(between(best.auc))} there"
    if least is not best and least.auc is not None:
        leak += f"; least at {low}: in {hundred(least.auc.value)}"
        apart = least.auc.high < best.auc.low
        sure += f", {between(least.auc)} at {low}: " + (
            "the two differ" if apart else "no difference between the two is claimed"
        )
    return InShort(LEAK, f"{leak}.", f"{sure}. Runs at each value: {best.runs}.", step, assumed)


def of_policies(found: Policies, answers: Sequence[str], step: Next) -> InShort:
    """What leaks without a defence, and which one is chosen; as :func:`of_dilution`."""
    plain, chosen = found.undefended, found.chosen(found.least_accuracy)
    assumed = f"{listener(found.scenario)} The attacks know the defence."
    if not any(policy.leak for policy in found.policies):
        return InShort(UNKNOWN, " ".join(answers[:1]), "", step, assumed)
    parts = [] if chosen else ["Yes."]
    if plain and plain.leak:
        parts.append(
            "Without a defence: of 100 pairs, one of each kind, the strongest attack names the "
            f"right one in {hundred(plain.leak.value)}; {COIN}."
        )
    parts.append(
        f"Take '{chosen.defence or 'none'}': {_left(chosen)}."
        if chosen
        else "No policy measured keeps both the leak and the main task within the bounds asked for."
    )
    known = [(who, p.leak) for who, p in (("without a defence", plain), ("with it", chosen)) if p]
    sure = "; ".join(f"{who} {between(leak)}" for who, leak in known if leak)
    runs = f"runs: {found.scenario.runs}"
    sure = f"{capital(sure)}; {runs}." if sure else f"{capital(runs)}."
    return InShort(NONE if chosen else LEAK, " ".join(parts), sure, step, assumed)


def _left(policy: Policy) -> str:
    assert policy.leak is not None
    text = f"{hundred(policy.leak.value)} are left"
    if policy.accuracy:
        text += f", and the model is right in {hundred(policy.accuracy.value)} of 100 cases"
    return text


def of_canaries(readings: Sequence[Reading], step: Next) -> InShort:
    """Whether more leaks than is promised, over all readers."""
    found = [reading for reading in readings if reading.found]
    clear = [r for r in readings if r.verdict == CONSISTENT]
    open_ = [r for r in readings if r.verdict == UNSEEN]
    unclaimed = [r for r in readings if r.verdict == UNCLAIMED]
    record = readings[0].record
    assumed = (
        f"{len(record.scores):,} clients of the auditor (canaries) joined one run, and whoever "
        f"reads them knows what each would add. No audit shows that a promise holds. {STRONGER}"
    )
    if found:
        leak = "Yes, more than is promised: " + _promised(found)
        return InShort(LEAK, leak, " ".join(map(sentence, found)), step, assumed)
    if clear:
        leak = "No sign of more than is promised: " + _promised(clear)
        sure = " ".join(f"{capital(r.record.view)}: {strength(r)}" for r in clear)
        return InShort(NONE, leak, sure, step, assumed)
    if unclaimed and not open_:
        leak = "Nothing is promised: " + _promised(unclaimed)
        return InShort(UNKNOWN, leak, " ".join(map(sentence, unclaimed)), step, assumed)
    leak = "Unknown: these canaries cannot say."
    return InShort(UNKNOWN, leak, " ".join(map(sentence, readings)), step, assumed)


def _promised(readings: Sequence[Reading]) -> str:
    """The promise and what was read, for each."""
    parts = []
    for reading in readings:
        claimed, read = reading.record.claimed_epsilon, reading.epsilon
        promise = "" if claimed is None else f"ε = {number(claimed)} promised, "
        limits = f"[{number(read.low)}, {number(read.high)}]"
        parts.append(f"to a {reading.record.view} {promise}{number(read.value)} {limits} read")
    return "; ".join(parts) + "."


def of_comparison(found: Comparison, answer: str, names: tuple[str, str]) -> InShort:
    """Whether the leak changed.

    Args:
        found: what was compared.
        answer: the sentence that says it.
        names: folders of the first and the second audit.
    """
    more, less = (any(getattr(cell, of) for cell in found.cells) for of in ("more", "less"))
    differ = len(found.settings)
    named = f"{differ} setting{'s differ' if differ > 1 else ' differs'}, listed below."
    none = "no setting differs that an attack could notice."
    assumed = f"Both audits asked the same of the same data; {named if differ else none}"
    told = [cell for cell in found.cells if cell.more or cell.less]
    shown = max(told or found.cells, key=lambda cell: abs(cell.after.value - cell.before.value))
    outcome = LEAK if more else NONE
    leak = answer
    if shown.measure is None and told:
        change = "More" if shown.more else "Less"
        leak = (
            f"{change} than before: of 100 pairs, one of each kind, the attack named the right one "
            f"in {hundred(shown.before.value)}, now in {hundred(shown.after.value)}; {COIN}."
        )
    runs = "run by run" if all(cell.paired for cell in found.cells) else "over runs"
    sure = "Too few runs for an interval." if shown.difference is None else ""
    if shown.difference is not None and shown.measure is None:
        low, high = hundred(shown.difference.low), hundred(shown.difference.high)
        sure = f"Changed by {low:+d} to {high:+d} of 100 with 95 % confidence, compared {runs}."
    step = Next(
        f"privaudit compare {names[0]} {names[1]} --gate",
        "a gate that ends with 1 where the leak grew keeps it from growing unseen",
    )
    if less and not more:
        step = Next(
            f"privaudit dilution {names[1]}/scenario.toml",
            "is what is left gone with more honest clients, and for who adds up rounds?",
        )
    elif not more:
        step = Next(
            f"privaudit run {names[1]}/scenario.toml --seeds {2 * found.runs}",
            "more runs of both tell smaller differences",
        )
    return InShort(outcome, leak, sure, step, assumed)
