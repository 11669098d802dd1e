"""What the demo shows, a sentence for each step: a leak, more clients, a defence."""

from __future__ import annotations

from collections.abc import Sequence

from privaudit.evaluation.cells import TableCell
from privaudit.report.content import Content
from privaudit.report.defences import epsilon_text
from privaudit.report.words import in_pairs
from privaudit.statistics.told import SIGNIFICANT

TITLES = ("A leak", "More clients", "A defence")


def steps(content: Content) -> list[tuple[str, str]]:
    """(title, what was found) of a run of the scenario ``demo``, in the words of its numbers.

    Nothing is said that the cells do not hold: where one failed or was not told, the step says so.
    """
    few, many = min(content.scenario.participants), max(content.scenario.participants)
    plain, diluted, defended = (
        _cell(content.cells, participants, defence)
        for participants, defence in ((few, ""), (many, ""), (few, "noise"))
    )
    honest = f"{many - 1} honest clients instead of {few - 1}"
    return [
        (TITLES[0], f"with {few - 1} other client: {_said(content, plain)}"),
        (TITLES[1], f"with {honest}: {_said(content, diluted)}"),
        (TITLES[2], f"with noise on the sum of the deltas: {_said(content, defended)}"),
        ("Its promise", f"ε = {epsilon_text(defended.claim if defended else None)}"),
    ]


def _cell(cells: Sequence[TableCell], participants: int, defence: str) -> TableCell | None:
    found = (c for c in cells if (c.participants, c.defence) == (participants, defence))
    return next(found, None)


def _said(content: Content, cell: TableCell | None) -> str:
    if cell is None or cell.auc is None:
        return "nothing was measured"
    told = "told from a coin" if cell.told else "not told from a coin, which gets 50"
    return f"{in_pairs(content.scenario, cell)} ({told}, at {100 * SIGNIFICANT:g} %)"
