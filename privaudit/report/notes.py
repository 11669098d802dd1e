"""What a reader must know of the numbers: notes under the table, and the statistics in words."""

from __future__ import annotations

from collections.abc import Sequence

from privaudit.evaluation.cells import TableCell
from privaudit.games.ending import ABOVE_95, ABOVE_99, ACCURACY, LOSS, REFUSED
from privaudit.games.membership import LEFT_OUT, TRAINED_ON
from privaudit.report import defences
from privaudit.report.assumptions import auxiliary, others, with_colluders, with_crafting
from privaudit.report.published import published_gaps
from privaudit.report.tables import accuracy_note, precision_note
from privaudit.report.troubles import Troubles, troubles_of
from privaudit.report.words import basis_of, by_game, units_of
from privaudit.scenario.schema import NO_DEFENCE, PROPERTY, Scenario
from privaudit.statistics.pools import chance_auc
from privaudit.statistics.runs import Unit
from privaudit.statistics.told import SPREAD


def footnotes(
    scenario: Scenario,
    cells: Sequence[TableCell],
    remarks: Sequence[str] = (),
    troubles: Troubles | None = None,
) -> list[str]:
    """What a reader must know to read the table; what ``run`` and ``table`` print below it.

    Args:
        scenario: of the run.
        cells: of its table.
        remarks: those of the engine on the model.
        troubles: what keeps a property from being called leaked; None = as far as the cells say.
    """
    audit = scenario.audit
    rounds = (
        f"; protocol of the audited rounds: {audit.protocol}; other honest clients: "
        f"{others(scenario)}"
        if audit.properties
        else ""
    )
    if troubles is None:
        troubles = troubles_of(audit.properties, cells)
    notes = [
        *reading(scenario),
        f"Threat model: {audit.threat_model}{with_crafting(scenario)}. K participants include the "
        f"adversary and the target{with_colluders(scenario)}{rounds}.",
        f"Auxiliary data of the adversary: {auxiliary(scenario)}.",
        *room_notes(cells),
        *cost_notes(cells),
        *defences.above_ceilings(cells),
        *defences.lines(scenario, cells),
        *power_note(cells),
        *pool_notes(scenario, cells),
        *repetition_notes(cells),
        *(
            f"No leak of {names} is claimed, starred or not: {text}."
            for text, names in _by_trouble(troubles).items()
        ),
        *(f"Model: {remark}." for remark in remarks),
    ]
    return notes + published_notes(scenario, cells)


def _by_trouble(troubles: Troubles) -> dict[str, str]:
    """What is in the way -> the properties it is in the way of, quoted."""
    found: dict[str, list[str]] = {}
    for name, texts in troubles.items():
        for text in texts:
            found.setdefault(text, []).append(f"'{name}'")
    return {text: " or ".join(names) for text, names in found.items()}


def _tests(scenario: Scenario) -> str:
    """Which test a star rests on: only properties have pools of records that differ by chance."""
    if PROPERTY in scenario.games:
        return "the larger p of permutation and pool test, which allows for finite records"
    return "permutation test"


def reading(scenario: Scenario) -> list[str]:
    """What the numbers of the table are."""
    games = [words for words in by_game(scenario) if words.scored]
    if not games:
        return []
    return [
        f"AUC of telling {'; or '.join(words.told for words in games)}, with its 95 % interval "
        "over federation runs of this data set, dealt anew; a blind guess has 0.50. "
        f"Runs: {scenario.runs}, of {basis_of(games)}.",
        "* = told from chance: above 0.50 at a false discovery rate of 5 % over the table "
        f"({_tests(scenario)}, Benjamini-Hochberg). With few runs, or where most scores are equal, "
        f"the interval may reach 0.50 beside a star: it is over runs, the test over their "
        f"{units_of(scenario)}.",
    ]


def room_notes(cells: Sequence[TableCell]) -> list[str]:
    """What there is to tell members by: the gap between records trained on and left out."""
    known = [cell for cell in cells if TRAINED_ON in cell.facts]
    if not known:
        return []
    each = {
        (cell.participants, cell.sent, cell.fraction): (
            f"K = {cell.participants}, {100 * cell.fraction:g} % shared"
            f"{f', defence {cell.defence}' if cell.defence else ''}: "
            f"{cell.facts[TRAINED_ON]:.2f} and {cell.facts[LEFT_OUT]:.2f}"
        )
        for cell in known
    }
    return [
        "Room: accuracy of the last global model on candidates that were trained on and on those "
        "left out (the smaller the gap, the less there is to tell them by). "
        f"{'; '.join(each.values())}."
    ]


def cost_notes(cells: Sequence[TableCell]) -> list[str]:
    """What an active participant's deltas did besides, and whether a server could have noticed."""
    known = {
        (cell.property, cell.participants, cell.sent, cell.fraction): cell.facts
        for cell in cells
        if ACCURACY in cell.facts
    }
    if not known:
        return []
    each = [
        f"'{name}', K = {participants}, {100 * fraction:g} % shared: loss "
        f"{f'{facts[LOSS]:.2f}' if LOSS in facts else 'not finite'}, accuracy "
        f"{facts[ACCURACY]:.2f}; refused {100 * facts[REFUSED]:.0f} %, above 95 % "
        f"{100 * facts[ABOVE_95]:.0f} %, above 99 % {100 * facts[ABOVE_99]:.0f} %"
        for (name, participants, _, fraction), facts in known.items()
    ]
    return [
        "An active participant: test loss and accuracy of the global model after the audited "
        "rounds; in how many of these the server refused its delta, and in how many that was "
        "longer than 95 % and than 99 % of the honest clients' (of an ordinary client it is in "
        f"about 5 % and 1 %). Means over runs. {'. '.join(each)}."
    ]


def published_notes(scenario: Scenario, cells: Sequence[TableCell]) -> list[str]:
    """The source of the published values, which of them lie outside our intervals, and why."""
    source = scenario.report.published_source
    lines = [f"published: {source}."] if source else []
    return [*lines, *published_gaps(scenario, cells), *scenario.report.notes]


def power_note(cells: Sequence[TableCell]) -> list[str]:
    """The AUC that would have been starred, for the cell with the least power."""
    cells = [cell for cell in cells if cell.design is not None]
    if not cells:
        return []
    alone = _largest([cell.detectable for cell in cells])
    together = _largest([cell.detectable_if_all for cell in cells])
    spread = (
        f" (d' of runs deviating by {SPREAD:g})"
        if any(c.design and c.design.unit is Unit.ROUND for c in cells)
        else ""
    )
    if alone is None and together is None:
        return ["Power: not even a perfect attack would have been starred reliably in every cell."]
    start = "Would have been starred in 80 of 100 such audits"
    if len(cells) == 1:
        return [f"{start}: {_an_auc(alone)}{spread}."]
    return [
        f"{start}, in every cell: {_an_auc(alone)} if it alone leaked, {_an_auc(together)} if all "
        f"{len(cells)} cells did{spread}."
    ]


def _an_auc(limit: float | None) -> str:
    return "not even a perfect attack" if limit is None else f"an AUC of {limit:.2f}"


def pool_notes(scenario: Scenario, cells: Sequence[TableCell]) -> list[str]:
    """By how much the target's finite records alone move an AUC, and whether a star allows for it.

    Of the cell where that is most.
    """
    # In other games the challenger draws who is what: there a permutation test is exact.
    cells = [cell for cell in cells if cell.design is not None and cell.game == PROPERTY]
    known = [
        (cell.design.tau, cell) for cell in cells if cell.design and cell.design.tau is not None
    ]
    notes = []
    if known:
        notes.append(_pools(scenario, max(known, key=lambda pair: pair[0])[1], len(known) > 1))
    if len(known) < len(cells):
        which = "" if not known else f" in {len(cells) - len(known)} of {len(cells)} cells"
        notes.append(
            "The target's records with and without the property differ by chance, by the same in "
            f"every round. By how much cannot be known here{which}: the records do not say what it "
            "held. So stars rest on the permutation test alone, which takes rounds as "
            "exchangeable; where the target holds a few hundred records, or those of a few people, "
            "it is wrong more often than it says."
        )
    return notes


def repetition_notes(cells: Sequence[TableCell]) -> list[str]:
    """What the audits with the property permuted over the whole data set say of each cell."""
    tested = [cell for cell in cells if cell.repeated_p is not None]
    if not tested:
        return []
    count = max(cell.repeated for cell in tested)
    values = [
        f"{cell.property}, {cell.attack}, K = {cell.participants}, {100 * cell.fraction:g} % "
        f"{cell.repeated_p:.2g} (test behind the star {cell.p_value:.2g})"
        for cell in tested
    ]
    return [
        f"The whole audit was repeated {count} times with the property permuted over the data set, "
        f"which takes nothing for granted. p-values, which cannot be below 1/{count + 1} = "
        f"{1 / (count + 1):.2g}: {'; '.join(values)}."
    ]


def _pools(scenario: Scenario, cell: TableCell, several: bool) -> str:
    design, held = cell.design, cell.holdings
    assert design is not None
    assert design.tau is not None
    assert held is not None
    most = f"AUC {chance_auc(design.tau):.2f}"
    where = f" ('{cell.property}', K = {cell.participants}, where it is most)" if several else ""
    people = ""
    if held.groups is not None:
        people = f"; they come from {held.groups[0]} and {held.groups[1]} groups, " + (
            "of which the test knows nothing: how alike their records are was not to be measured"
            if held.icc is None
            else f"which explain {100 * held.icc:.0f} % of a record's variance"
        )
    if design.unit is Unit.RUN:
        return (
            "Runs deal the same records, so those with the property have something in common by "
            f"chance: up to {most} in one data set of 20 (runs share {100 * held.overlap:.0f} % of "
            f"the target's {held.present} + {held.absent} records{people}){where}; the test allows "
            "for it."
        )
    whose = "The target's" if design.targets == 1 else f"Each of {design.targets} targets'"
    return (
        f"{whose} {held.present} + {held.absent} records with and without the property differ "
        f"by chance by up to {most} in one deal of 20 (tau {design.tau:.2f}; runs share "
        f"{100 * held.overlap:.0f} % of its records{people}){where}; the test allows for it"
        f"{_taking(scenario)}."
    )


def _taking(scenario: Scenario) -> str:
    """What the allowance takes for granted and this scenario need not keep."""
    federation, audit = scenario.federation, scenario.audit
    parts = [
        (federation.partition == "dirichlet", "clients as alike, which here they are not"),
        (audit.local_steps > 1, "several local steps as one of a larger batch"),
        (
            bool(federation.noise or federation.clip_norm) or audit.defences != [NO_DEFENCE],
            "deltas without clipping and noise",
        ),
    ]
    taken = [what for applies, what in parts if applies]
    return f", taking {' and '.join(taken)}" if taken else ""


def _largest(limits: Sequence[float | None]) -> float | None:
    """None if any is: not even a perfect attack, in that cell."""
    known = [limit for limit in limits if limit is not None]
    return max(known) if known and len(known) == len(limits) else None


def statistics(scenario: Scenario, cells: Sequence[TableCell]) -> list[str]:
    """n, intervals and multiplicity, in words."""
    runs = sorted({cell.runs for cell in cells})
    rounds = sorted({cell.rounds for cell in cells})
    methods = dict.fromkeys(cell.auc.method for cell in cells if cell.auc)
    tested = sum(cell.p_value is not None for cell in cells)
    failed = sum(cell.auc is None for cell in cells)
    units = units_of(scenario)
    return [
        f"n: {_span(runs)} federation runs, {_span(rounds)} {units} in all of them, per cell. Runs "
        f"are the unit of replication; {units} of one run are not independent.",
        f"Intervals: 95 %, {'; '.join(methods) or 'none'}. A TPR is not estimable "
        f"where a run has too few {units} to resolve that false positive rate.",
        f"Against chance: per cell, one-sided, {_tests(scenario)}; the p of {tested} cells are "
        "adjusted together (Benjamini-Hochberg). Told, and starred: q below 0.05, nothing else.",
        *pool_notes(scenario, cells),
        *repetition_notes(cells),
        accuracy_note(cells, units),
        precision_note(cells, units),
        *([f"Failed: {failed} of {len(cells)} cells have no result at all."] if failed else []),
        "The interval of the AUC is about this data set, dealt anew, and not narrower than the "
        "test; of other data of its kind it says less than it seems. The verdict's first cell is "
        "fixed beforehand; the highest of several is flattered by chance, and its lower limit is "
        "corrected for that.",
    ]


def _span(numbers: Sequence[int]) -> str:
    if not numbers:
        return "0"
    first, last = numbers[0], numbers[-1]
    return str(first) if first == last else f"{first} to {last}"
