"""The grid of a scenario: one federation per (run, property, rule, fraction, participants)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product

from privaudit.scenario.schema import Scenario


@dataclass(frozen=True, order=True)
class Cell:
    """One federation to audit; ``run`` is 0-based."""

    run: int
    property: str
    rule: str
    fraction: float
    participants: int

    @cached_property
    def name(self) -> str:
        """A file name, the same for every run: ``bold_largest_0.1_k5``."""
        fraction = repr(self.fraction).removesuffix(".0")  # every digit: cells must not collide
        return f"{self.property}_{self.rule}_{fraction}_k{self.participants}"


def cells_of(scenario: Scenario) -> list[Cell]:
    """Every cell, in table order.

    At fraction 1 all sharing rules are the same federation: it is run once, under rule ``all``.
    """
    audit = scenario.audit
    grid = product(
        range(scenario.runs),
        audit.properties,
        audit.rules,
        audit.fractions,
        scenario.participants,
    )
    cells = (
        Cell(run, name, "all" if fraction == 1.0 else rule, fraction, participants)
        for run, name, rule, fraction, participants in grid
    )
    return list(dict.fromkeys(cells))
