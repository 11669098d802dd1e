"""The verdict in plain words: what can be told, by whom, how well; or what could have been.

Pure functions of what the run left. The wording claims what the cells hold and no more: the cell
that heads it is fixed beforehand, the highest of several is corrected for having been chosen, a
cell without a star is never called safe, intervals that overlap are no difference, and of a run in
which something is wrong (:mod:`privaudit.report.troubles`) no leak is claimed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from privaudit.evaluation.cells import TableCell
from privaudit.evaluation.rebuilt_cells import RebuiltCell
from privaudit.report import rebuilt_verdict
from privaudit.report.defences import above_ceilings
from privaudit.report.tables import clients_text, interval_text, with_rule
from privaudit.report.troubles import Troubles, troubles_of
from privaudit.report.words import basis_of, by_game, in_pairs, words_of
from privaudit.scenario.schema import NO_DEFENCE, Scenario
from privaudit.statistics.rebuilt import least_p
from privaudit.statistics.told import SIGNIFICANT

HARMLESS = 0.6
"""An AUC is near chance if its whole interval lies below this and above 1 minus this."""

LEAK, NONE, UNKNOWN = "leak", "not told", "unknown"


@dataclass(frozen=True)
class Verdict:
    """One property: ``leak``, ``not told`` (from chance) or ``unknown``, and the sentence.

    ``cell`` is the one it is about; None where nothing was measured. ``pairs`` says of a leak how
    often the cell fixed beforehand (``fixed``) is right, of two; empty where that was not told.
    """

    property: str
    outcome: str
    sentence: str
    cell: TableCell | None = None
    pairs: str = ""
    fixed: TableCell | None = None

    @cached_property
    def text(self) -> str:
        """Both, the frequency first."""
        return f"{self.pairs} {self.sentence}".strip()


def verdicts(
    scenario: Scenario,
    cells: Sequence[TableCell],
    troubles: Troubles | None = None,
    rebuilt_cells: Sequence[RebuiltCell] = (),
) -> list[Verdict]:
    """One per property or whatever else is asked about, in the order of the tables.

    ``troubles`` are what keeps a property from being called leaked; None = as far as cells say.
    """
    sizes = list(dict.fromkeys(cell.property for cell in rebuilt_cells))
    asked = [*scenario.targets, *(cell.property for cell in cells)]
    names = dict.fromkeys(name for name in asked if name not in sizes)
    wrong = troubles_of([*names, *sizes], cells) if troubles is None else troubles
    return [
        _verdict(scenario, n, [c for c in cells if c.property == n], wrong.get(n, ()))
        for n in names
    ] + [
        _rebuilt(scenario, n, [c for c in rebuilt_cells if c.property == n], wrong.get(n, ()))
        for n in sizes
    ]


def _rebuilt(
    scenario: Scenario, name: str, cells: Sequence[RebuiltCell], wrong: Sequence[str]
) -> Verdict:
    """Of one size of batch in the game reconstruction."""
    known = [cell for cell in cells if cell.measure is not None]
    if not known:
        reasons = [reason for cell in cells for reason in cell.failures]
        why = "; ".join([*wrong, f"every cell failed ({reasons[0]})"])
        return Verdict(name, UNKNOWN, f"Nothing can be said about '{name}': {why}.")
    told, sentence = rebuilt_verdict.sentence(scenario, _who(scenario), known)
    least = min(least_p(cell.runs, cell.rounds // cell.runs) for cell in known)
    if not told and least > SIGNIFICANT:
        few = f"{known[0].rounds} rounds are too few to tell answers from those to other rounds"
        return Verdict(name, UNKNOWN, f"Nothing can be said about '{name}': {few}.")
    if wrong:
        return Verdict(name, UNKNOWN, f"No leak of '{name}' is claimed: {'; '.join(wrong)}.")
    return Verdict(name, LEAK if told else NONE, _capital(sentence))


def found_line(found: Sequence[Verdict]) -> str:
    """All verdicts in one line: what leaks, how well for the worst, what was not told."""
    parts = []
    for outcome, words in ((LEAK, "leak of"), (NONE, "not told from chance:"), (UNKNOWN, "void:")):
        named = [verdict for verdict in found if verdict.outcome == outcome]
        if named:
            parts.append(f"{words} {', '.join(repr(verdict.property) for verdict in named)}")
        known = [v for v in named if v.pairs and v.cell and v.cell.auc]
        if known:
            worst = max(known, key=lambda v: v.cell.auc.value if v.cell and v.cell.auc else 0.0)
            parts[-1] += f" ({worst.pairs[0].lower()}{worst.pairs[1:].rstrip('.')})"
    return "; ".join(parts) or "nothing was asked"


def headline(scenario: Scenario, cells: Sequence[TableCell]) -> TableCell | None:
    """Of one property the cell fixed beforehand: most shared, smallest K, what is named first."""
    audit = scenario.audit

    def place(names: Sequence[str], name: str) -> int:
        return names.index(name) if name in names else len(names)

    return min(
        cells,
        key=lambda c: (
            -c.fraction,
            c.participants,
            place(audit.rules, c.rule),
            place(audit.defences, c.defence or NO_DEFENCE),
            place(scenario.attacks_of(scenario.game_of(c.property)), c.attack),
        ),
        default=None,
    )


def strongest(cells: Sequence[TableCell]) -> TableCell | None:
    """The cell with the highest AUC; one told from chance goes before all that are not."""
    good = [cell for cell in cells if cell.auc is not None]
    return max(good, key=lambda c: (c.told, c.auc.value if c.auc else 0.0), default=None)


def comparisons(cells: Sequence[TableCell]) -> list[str]:
    """A sentence on sharing less and one on more clients, where the table has several of either."""
    sharing = "Sharing {} instead of {} of the parameters, AUC"
    clients = "With K = {} instead of K = {} participants, AUC"
    found = [
        _comparison(cells, "fraction", sharing, 1),
        _comparison(cells, "participants", clients, -1),
    ]
    return [*above_ceilings(cells), *(sentence for sentence in found if sentence)]


def basis(scenario: Scenario, cells: Sequence[TableCell]) -> list[str]:
    """What the verdict rests on: n, and what is missing."""
    audit, runs = scenario.audit, scenario.runs
    seen = (
        "sees every client's delta"
        if audit.threat_model == "server"
        else "sees the global model before and after each round and its own delta"
    )
    if audit.colluders:
        seen += ", has the records and deltas of its colluders"
    games = by_game(scenario)
    scored = any(words.scored for words in games)
    blind = "An AUC of 0.50 is a blind guess, 1.00 is always right. " if scored else ""
    lines = [
        f"Measured on {_count(runs, 'independent federation run')} of {basis_of(games)}, for an "
        f"adversary that {seen} and follows the protocol. {blind}Brackets are 95 % intervals. It "
        "holds for these attacks, this data and these clients; a stronger attack may find more."
    ]
    if runs == 1:
        lines.append(
            "One run only: the intervals are about its rounds and say nothing about other runs."
        )
    lost = [cell for cell in cells if cell.failures]
    if lost:
        lines.append(
            f"{len(lost)} of {_count(len(cells), 'cell')} had failed runs; the table names them."
        )
    return lines


def _verdict(
    scenario: Scenario, name: str, cells: Sequence[TableCell], wrong: Sequence[str]
) -> Verdict:
    best = strongest(cells)
    if best is None:
        reasons = [reason for cell in cells for reason in cell.failures]
        failed = f"every cell failed ({reasons[0]})" if reasons else "nothing was measured"
        why = "; ".join([*wrong, failed])
        return Verdict(name, UNKNOWN, f"Nothing can be said about '{name}': {why}.")
    if wrong:
        sentence = (
            f"No leak of '{name}' is claimed: {'; '.join(wrong)}. The highest AUC was "
            f"{interval_text(best.auc)} ({_setting(scenario, best)})."
        )
        return Verdict(name, UNKNOWN, sentence, best)
    first = headline(scenario, cells)
    if any(cell.told for cell in cells) and first is not None:
        can = f"{_who(scenario)} can tell {words_of(scenario, name).verdict}"
        pairs = in_pairs(scenario, first) if first.told else ""
        said = f"{_capital(pairs)}; a coin in 50." if pairs else ""
        return Verdict(
            name, LEAK, f"{can}: {_told(scenario, first, best, cells)}", best, said, first
        )
    return Verdict(name, NONE, _not_told(scenario, name, best, cells), best)


def _told(scenario: Scenario, first: TableCell, best: TableCell, cells: Sequence[TableCell]) -> str:
    """The cell fixed beforehand with its plain interval, then the highest, corrected."""
    fixed = f"AUC {interval_text(first.auc)} ({_setting(scenario, first)})"
    if len(cells) == 1:
        return f"{fixed}."
    beforehand = "the cell fixed beforehand: most shared, fewest participants, first attack"
    many = f"{len(cells)} cells"
    least = "" if best.at_least is None else f"at least {best.at_least:.2f} "
    corrected = f"{least}(corrected for choosing among {many})"
    highest = "" if best.auc is None else f"AUC {best.auc.value:.2f}, {corrected}"
    lost = sum(cell.auc is None for cell in cells)
    missing = f" {lost} of {many} have no result." if lost else ""
    if first is best:
        return f"{fixed}; {beforehand}. It is the highest of {many}, too: {corrected}.{missing}"
    chosen = f"the highest of {many}: {highest}; {_setting(scenario, best)}"
    if first.told:
        return f"{fixed}; {beforehand}. {_capital(chosen)}.{missing}"
    failed = first.auc is None
    other = "it failed" if failed else f"{fixed}, not told from chance"
    return f"{chosen}. {_capital(beforehand)}: {other}.{missing}"


def _not_told(scenario: Scenario, name: str, best: TableCell, cells: Sequence[TableCell]) -> str:
    several = f"by any of {len(cells)} cells" if len(cells) > 1 else "in the one cell measured"
    parts = [
        f"'{name}' was not told from chance {several}: the highest AUC was "
        f"{interval_text(best.auc)} ({_setting(scenario, best)})",
        could_have_seen(cells),
    ]
    known = [cell.auc for cell in cells if cell.auc is not None]
    if len(known) < len(cells):
        parts.append(f"{len(cells) - len(known)} of them have no result")
    elif all(auc.low > 1 - HARMLESS and auc.high < HARMLESS for auc in known):
        parts.append(f"every interval lies between {1 - HARMLESS:.2f} and {HARMLESS:.2f}")
    if any(auc.high < 0.5 for auc in known):
        parts.append(
            "an interval lies wholly below 0.50: those scores carry information, and an adversary "
            "that turns them round would do better than chance"
        )
    return "; ".join(parts) + "."


def could_have_seen(cells: Sequence[TableCell]) -> str:
    """Which AUC such an audit would have told, where it told none."""
    alone = [cell.detectable for cell in cells if cell.auc is not None]
    together = [cell.detectable_if_all for cell in cells if cell.auc is not None]
    known = [limit for limit in alone if limit is not None]
    if len(known) == len(alone):
        all_ = [limit for limit in together if limit is not None]
        also = f" ({max(all_):.2f} if all cells did)" if all_ and max(all_) < max(known) else ""
        return (
            f"this does not say that nothing leaks, only that an AUC of {max(known):.2f} or more "
            f"would have been starred in 80 of 100 such audits if it alone leaked{also}"
        )
    return (
        "so few rounds or records would have missed even a perfect attack: no evidence either way"
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _who(scenario: Scenario) -> str:
    if scenario.audit.threat_model == "server":
        return "An honest-but-curious server"
    with_others = " with colluders" if scenario.audit.colluders else ""
    return f"An honest-but-curious participant{with_others}"


def _setting(scenario: Scenario, cell: TableCell) -> str:
    words = words_of(scenario, cell.property)
    clients = clients_text(cell.participants, cell.colluders)
    return (
        f"{cell.attack}, K = {clients}, {100 * cell.fraction:g} % shared{with_rule(cell)}, "
        f"n = {_count(cell.runs, 'run')}, {cell.rounds} {words.units}"
    )


def _comparison(cells: Sequence[TableCell], axis: str, phrase: str, sign: int) -> str | None:
    """The two ends of an axis for the strongest cell of each property that was told."""
    pairs = [pair for name in _told_properties(cells) if (pair := _ends(cells, name, axis, sign))]
    if not pairs:
        return None
    ends = [(getattr(here, axis), getattr(there, axis)) for here, there in pairs]
    pairs = [pair for pair, end in zip(pairs, ends, strict=True) if end == ends[0]]
    parts = [
        f"'{here.property}' {interval_text(here.auc)} instead of {interval_text(there.auc)}"
        for here, there in pairs
    ]
    start = phrase.format(*(_axis_text(axis, end) for end in ends[0]))
    return f"{start}: {'; '.join(parts)}. {_overlaps(pairs)}"


def _axis_text(axis: str, value: float) -> str:
    return f"{100 * value:g} %" if axis == "fraction" else str(value)


def _overlaps(pairs: Sequence[tuple[TableCell, TableCell]]) -> str:
    apart = [here.property for here, there in pairs if not _overlap(here, there)]
    if not apart:
        which = "The two intervals" if len(pairs) == 1 else "The intervals of each pair"
        return f"{which} overlap: no difference is claimed."
    names = ", ".join(f"'{name}'" for name in apart)
    rest = "; the others overlap, no difference is claimed there" if apart != _names(pairs) else ""
    return f"The two intervals are apart for {names}{rest}."


def _names(pairs: Sequence[tuple[TableCell, TableCell]]) -> list[str]:
    return [here.property for here, _ in pairs]


def _overlap(first: TableCell, second: TableCell) -> bool:
    a, b = first.auc, second.auc
    return a is not None and b is not None and a.low <= b.high and b.low <= a.high


def _ends(
    cells: Sequence[TableCell], name: str, axis: str, sign: int
) -> tuple[TableCell, TableCell] | None:
    best = strongest([cell for cell in cells if cell.property == name])
    if best is None:
        return None
    line = [cell for cell in cells if cell.auc is not None and _beside(best, cell, axis)]
    rule = next((cell.rule for cell in [best, *line] if cell.rule != "all"), "all")
    line = [cell for cell in line if cell.rule in (rule, "all")]
    line.sort(key=lambda cell: sign * getattr(cell, axis))
    differ = getattr(line[0], axis) != getattr(line[-1], axis)
    return (line[0], line[-1]) if differ else None


def _beside(best: TableCell, cell: TableCell, axis: str) -> bool:
    """Whether ``cell`` differs from ``best`` on this axis alone (rules are for the caller)."""
    fixed = {"property", "attack", "fraction", "participants", "defence"} - {axis}
    return all(getattr(best, key) == getattr(cell, key) for key in fixed)


def _told_properties(cells: Sequence[TableCell]) -> list[str]:
    return list(dict.fromkeys(cell.property for cell in cells if cell.told))


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" + ("" if number == 1 else "s")
