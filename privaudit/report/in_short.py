"""Four questions that every page answers first, in words that need no glossary.

Is there a leak, how sure is that, what next, what was assumed: a sentence or two for each, of the
same numbers and the same outcome as the tables and verdicts below them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from privaudit.evaluation.cells import TableCell
from privaudit.report.next_step import Next
from privaudit.report.verdict import LEAK, NONE, UNKNOWN, Verdict, could_have_seen
from privaudit.report.words import words_of
from privaudit.scenario.schema import PUBLIC_LEDGER, Scenario
from privaudit.statistics.intervals import Interval

QUESTIONS = ("Is there a leak?", "How sure is that?", "What next?", "What was assumed?")
COIN = "a coin in 50"
STRONGER = "A stronger attack may find more."


@dataclass(frozen=True)
class InShort:
    """The four answers.

    Attributes:
        outcome: ``leak``, ``not told`` or ``unknown``; what the page colours the first answer by.
        leak: the first of them, and so on.
        next: what to measure next and its command; None where there is none.
    """

    outcome: str
    leak: str
    sure: str
    next: Next | None
    assumed: str

    @property
    def lines(self) -> list[tuple[str, str]]:
        """(Question, answer) of those that have one."""
        why = self.next.why if self.next else ""
        if why and not why.endswith("?"):
            why += "."
        answers = (self.leak, self.sure, capital(why), self.assumed)
        return [(q, a) for q, a in zip(QUESTIONS, answers, strict=True) if a]


def of_run(scenario: Scenario, found: list[Verdict], step: Next) -> InShort:
    """Of one run, from its verdicts."""
    outcomes = [verdict.outcome for verdict in found]
    outcome = next((kind for kind in (LEAK, NONE) if kind in outcomes), UNKNOWN)
    of_kind = [verdict for verdict in found if verdict.outcome == outcome]
    leak = {LEAK: _yes, NONE: _none, UNKNOWN: _unknown}[outcome](scenario, of_kind)
    others = [(NONE, "not told from chance"), (UNKNOWN, "nothing can be said of")]
    for kind, words in others:
        names = _names(v for v in found if v.outcome == kind)
        leak += f" {capital(words)}: {names}." if names and kind != outcome else ""
    return InShort(outcome, leak, _sure(scenario, outcome, of_kind), step, listener(scenario))


def _yes(scenario: Scenario, found: list[Verdict]) -> str:
    worst = _worst(found)
    said = frequency(scenario, worst.fixed) if worst.pairs else ""
    leak = f"Yes: {_names(found)}." + (f" {capital(said)}; {COIN}." if said else "")
    best = worst.cell
    if said and best is not worst.fixed and best is not None and best.auc is not None:
        least = "" if best.at_least is None else f", at least {hundred(best.at_least)}"
        leak += f" The strongest attack and share measured: {hundred(best.auc.value)}{least}."
    return leak


def _none(scenario: Scenario, found: list[Verdict]) -> str:
    return (
        f"None was found: no attack here tells {_names(found)} from chance. That is no proof that "
        "nothing leaks."
    )


def _unknown(scenario: Scenario, found: list[Verdict]) -> str:
    return found[0].sentence if found else "Nothing was asked."


def _sure(scenario: Scenario, outcome: str, found: list[Verdict]) -> str:
    cells = [verdict.cell for verdict in found if verdict.cell is not None]
    runs = f"{scenario.runs} independent run{'s' * (scenario.runs != 1)} of the federation"
    if outcome == UNKNOWN:
        return "Not at all: until that is mended no number here means anything."
    if not cells:
        return f"A guess gets as much in at most 5 of 100 audits. Measured on {runs}."
    if outcome == NONE:
        return f"{capital(could_have_seen(cells))}. Measured on {runs}."
    worst = _worst(found)
    fixed = worst.fixed if worst.pairs else None
    if fixed is None or fixed.auc is None:
        return f"A guess gets as much in at most 5 of 100 audits. Measured on {runs}."
    units = words_of(scenario, fixed.property).units
    no_coin = found_beside_a_coin(fixed.auc)
    return f"{capital(between(fixed.auc))}, from {runs}, {fixed.rounds} {units} in all{no_coin}."


def _worst(found: list[Verdict]) -> Verdict:
    """The leak with the highest AUC; one that can be said in pairs goes first."""

    def size(verdict: Verdict) -> tuple[bool, float]:
        auc = verdict.cell.auc if verdict.cell else None
        return bool(verdict.pairs), auc.value if auc else 0.0

    return max(found, key=size)


def frequency(scenario: Scenario, cell: TableCell | None) -> str:
    """An AUC as a natural frequency, without its interval; empty where there is none to say."""
    if cell is None or cell.auc is None:
        return ""
    return right_one(words_of(scenario, cell.property).pair, cell.auc)


def right_one(pair: str, auc: Interval) -> str:
    """The same of some kind of pairs."""
    return f"of 100 pairs of {pair}, the attack names the right one in {hundred(auc.value)}"


def between(auc: Interval) -> str:
    """An interval in the same words."""
    return f"between {hundred(auc.low)} and {hundred(auc.high)} of 100 with 95 % confidence"


def found_beside_a_coin(auc: Interval) -> str:
    """Of a leak: how it can be one although its interval holds a coin; empty where it does not."""
    if not auc.low <= 0.5 <= auc.high:
        return ""
    return "; another test, wrong in at most 5 of 100 audits, tells it from a coin"


def hundred(share: float) -> int:
    """A share as so many of 100."""
    return round(100 * share)


def capital(text: str) -> str:
    """With a capital letter, unless it begins with the name of a setting."""
    return text if "." in text.partition(" ")[0] else text[:1].upper() + text[1:]


def listener(scenario: Scenario) -> str:
    """Who listens, and with what, in a sentence."""
    audit, numbers = scenario.audit, scenario.participants
    devices = f"{min(numbers)}" + (f" to {max(numbers)}" if len(numbers) > 1 else "")
    if set(scenario.games) == {PUBLIC_LEDGER}:
        return f"The listener takes no part and reads the public ledger alone. {STRONGER}"
    if audit.threat_model == "server":
        who = f"is the server, which sees what each of {devices} devices sends"
    else:
        who = f"is one of {devices} devices and sees the model before and after each round"
    rules = "sends crafted deltas" if audit.alpha or audit.boost != 1 else "keeps to the rules"
    others = ", has accomplices" if audit.colluders else ""
    return (
        f"The listener {who}, {rules}{others}, and has records of its own that resemble those of "
        f"its target. {STRONGER}"
    )


def _names(found: Iterable[Verdict]) -> str:
    names = [f"'{verdict.property}'" for verdict in found]
    return ", ".join(names)
