"""A gate before a release: was a leak above a threshold found, or could none be excluded?

Silence is no pass. A gate opens only where every cell is equivalent to a blind guess within the
threshold: two one-sided tests at 5 % (:mod:`privaudit.statistics.harmless`). As all of them must
be, no correction for their number is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from privaudit.errors import UserError
from privaudit.evaluation.cells import TableCell
from privaudit.evaluation.records import Record, with_scores
from privaudit.randomness import Seed
from privaudit.scenario.schema import RECONSTRUCTION, Scenario
from privaudit.statistics.dilution import DilutionPoint
from privaudit.statistics.harmless import Finding, HarmlessAnswer, harmless_from
from privaudit.statistics.told import adjusted, against_chance, is_told

Outcome = Literal["found", "not excluded", "excluded"]
FOUND: Outcome = "found"
OPEN: Outcome = "not excluded"
EXCLUDED: Outcome = "excluded"


@dataclass(frozen=True)
class Gate:
    """Whether to release.

    Attributes:
        outcome: a leak above the threshold was ``found``, was ``not excluded``, or ``excluded``.
        line: why, in one.
    """

    outcome: Outcome
    line: str

    @property
    def passed(self) -> bool:
        """Whether such a leak is excluded."""
        return self.outcome == EXCLUDED

    def as_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self) | {"passed": self.passed}


def refuse_gate(scenario: Scenario, threshold: float) -> None:
    """Before anything runs.

    Raises:
        UserError: a threshold outside (0.5, 1], or a game that has no AUC to hold against it.
    """
    if not 0.5 < threshold <= 1.0:
        raise UserError(
            f"is an AUC in (0.5, 1], got {threshold:g}",
            where="--gate",
            remedy="0.5 is a blind guess; 0.6 is a common choice",
        )
    if RECONSTRUCTION in scenario.games:
        raise UserError(
            "compares AUCs, and rebuilt records ([reconstruction]) have none: a gate that looks "
            "away from them would pass what leaks most",
            where="--gate",
            remedy="leave [reconstruction] out of this scenario, and read its report",
        )


def gate_of_run(
    records: Sequence[Record],
    cells: Sequence[TableCell],
    threshold: float,
    troubles: Mapping[str, Sequence[str]],
) -> Gate:
    """Whether a run passes.

    Args:
        records: of the run.
        cells: of its table.
        threshold: an AUC in (0.5, 1].
        troubles: property -> what keeps its numbers from meaning anything.
    """
    highest = max(
        (cell for cell in cells if cell.told and (cell.at_least or 0.0) > threshold),
        key=lambda cell: cell.at_least or 0.0,
        default=None,
    )
    above = f"a leak above an AUC of {threshold:g}"
    if highest is not None and highest.auc is not None:
        return Gate(
            FOUND,
            f"{above} was found: {_named(highest)}: {highest.auc.value:.2f}, at least "
            f"{highest.at_least:.2f}",
        )
    wrong = [f"'{name}': {'; '.join(why)}" for name, why in troubles.items() if why]
    if wrong:
        return Gate(OPEN, f"{above} could not be excluded: {wrong[0]}")
    answers = _answers(records, cells, threshold)
    open_ = [(cell, answers.get(id(cell))) for cell in cells]
    open_ = [(c, a) for c, a in open_ if a is None or a.at_largest is not Finding.HARMLESS]
    if not open_:
        return Gate(
            EXCLUDED,
            f"{above} is excluded for these attacks: both 90 % limits of each of {len(cells)} AUCs "
            f"lie within {1 - threshold:.2g} to {threshold:.2g}",
        )
    widest, answer = max(open_, key=lambda one: one[1].limits[1] if one[1] else 1.0)
    many = f"{len(open_)} of {len(cells)} cells"
    return Gate(OPEN, f"{above} could not be excluded in {many}: {_named(widest)}: {_why(answer)}")


def _answers(
    records: Sequence[Record], cells: Sequence[TableCell], threshold: float
) -> dict[int, HarmlessAnswer]:
    """Of every cell without failed runs, by its identity."""
    points, turned = {}, {}
    for cell in cells:
        point = _point(records, cell)
        if point is None or cell.design is None:
            continue
        rng = Seed(records[0].seed).generator("gate", *map(str, _key(cell)))
        below = [replace(run, scores=-run.scores) for run in point.runs]
        turned[id(cell)] = against_chance(below, cell.design, rng).p_value
        points[id(cell)] = point
    q_values = dict(zip(turned, adjusted(list(turned.values())), strict=True))
    told = {id(cell): cell.told for cell in cells}
    return {
        key: harmless_from(
            [replace(point, told=told[key], wrong_way=is_told(q_values[key]))],
            threshold=threshold,
        )
        for key, point in points.items()
    }


def seeds_needed(
    records: Sequence[Record], cells: Sequence[TableCell], threshold: float
) -> int | None:
    """About how many runs would show that a blind attack is blind in the least certain cell.

    None: more than anybody runs, or nothing to tell it from.
    """
    known = [cell for cell in cells if cell.auc is not None and cell.design is not None]
    if not known:
        return None
    widest = max(known, key=lambda cell: cell.auc.high - cell.auc.low if cell.auc else 0.0)
    point = _point(records, widest)
    if point is None:
        return None
    return harmless_from(
        [replace(point, told=False, wrong_way=False)], threshold=threshold
    ).runs_needed


def _point(records: Sequence[Record], cell: TableCell) -> DilutionPoint | None:
    """A cell as statistics of "harmless" take it; None where runs failed."""
    good = with_scores(record for record in records if _key(record) == _key(cell))
    if cell.design is None or cell.failures or not good:
        return None
    runs = tuple(record.run_scores() for record in good)
    tau, overlap = cell.design.run_tau, cell.design.run_overlap
    return DilutionPoint(cell.participants - 1, runs, tau, overlap)


def _key(of: Record | TableCell) -> tuple[str, str, float, int, str]:
    return of.property, of.rule, of.fraction, of.participants, of.attack


def _named(cell: TableCell) -> str:
    return (
        f"'{cell.property}' by {cell.attack}, K = {cell.participants}, "
        f"{100 * cell.fraction:g} % shared"
    )


def _why(answer: HarmlessAnswer | None) -> str:
    if answer is None:
        return "runs failed"
    low, high = answer.limits
    limits = f"90 % limits {low:.2f} and {high:.2f}"
    if answer.at_largest is Finding.WRONG_WAY:
        return f"{limits}, told from 0.5 downwards: scores turned round carry information"
    if answer.at_largest is Finding.LEAKS or answer.runs_needed is None:
        return limits
    return f"{limits}; of a blind attack about --seeds {answer.runs_needed} would show it"
