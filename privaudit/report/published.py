"""Where a published value lies outside our interval, and what the run knows that may explain it."""

from __future__ import annotations

from collections.abc import Sequence

from privaudit.evaluation.cells import TableCell
from privaudit.report.tables import interval_text, with_rule
from privaudit.scenario.schema import Scenario


def published_gaps(scenario: Scenario, cells: Sequence[TableCell]) -> list[str]:
    """A sentence for each cell whose published value lies outside, and one on what may explain it.

    Empty where nothing is published or every published value lies inside our interval.
    """
    gaps = [sentence for cell in cells if (sentence := gap_sentence(cell))]
    return [*gaps, explanation(scenario)] if gaps else []


def gap_sentence(cell: TableCell) -> str | None:
    """Published X, ours Y [low, high], n and the side; None where X is inside, or one is missing.

    A published value on a limit, at the two digits both are printed with, is inside.
    """
    auc, published = cell.auc, cell.published
    if auc is None or published is None:
        return None
    if round(auc.low, 2) <= round(published, 2) <= round(auc.high, 2):
        return None
    side = "above" if published > auc.high else "below"
    runs = "1 run" if cell.runs == 1 else f"{cell.runs} runs"
    return (
        f"'{cell.property}', {100 * cell.fraction:g} % shared{with_rule(cell)}, "
        f"K = {cell.participants}, {cell.attack}: published {published:.2f}, ours "
        f"{interval_text(auc)} (n = {runs}, {cell.rounds} rounds): the published value "
        f"lies {side} our interval."
    )


def explanation(scenario: Scenario) -> str:
    """What of this run may differ from the published one; none of it is varied within one run."""
    known = "; ".join([*_auxiliary(scenario), *_data(scenario)])
    return (
        f"What may explain a published value outside: here, {known}. What each of these "
        "contributes is not measured here; nor is the number of records, which a run does not keep."
    )


def _auxiliary(scenario: Scenario) -> list[str]:
    partition, overlap = scenario.federation.partition, scenario.audit.auxiliary_overlap
    dealt = (
        "nobody holds records of the same group as another client"
        if partition == "by-group"
        else f"records are dealt by partition '{partition}', each to one client"
    )
    held = f"{100 * overlap:g} %" if overlap else "none"
    return [dealt, f"the adversary also holds {held} of the target's records"]


def _data(scenario: Scenario) -> list[str]:
    options = scenario.data.options
    names = {"text": "text variant", "records": "records asked for", "vocabulary": "vocabulary"}
    found = [f"{title} '{options[key]}'" for key, title in names.items() if key in options]
    audit, rounds = scenario.audit, scenario.federation.rounds
    start = f"after {rounds} rounds of training" if rounds else "from the initial weights"
    return [*found, f"{audit.rounds} audited rounds of {audit.protocol}, {start}"]
