"""What a report says, read from its text as a person would read it.

The self-test looks at nothing else where it asks whether stars, verdicts, intervals, layers, power
and "harmless" are true: what is computed rightly and printed wrongly is wrong.
"""

from __future__ import annotations

import re

NUMBER = re.compile(r"(\d\.\d\d) \[(\d\.\d\d), (\d\.\d\d)\]")


def starred(report: str, attack: str) -> bool:
    """Whether the cell of the table with the most participants has a star."""
    return _cell(report, attack).endswith("*")


def interval(report: str, attack: str) -> tuple[float, float, float]:
    """Value and limits in that cell, with two decimals."""
    found = NUMBER.match(_cell(report, attack))
    if found is None:
        raise ValueError(f"no interval in the table for {attack}")
    value, low, high = map(float, found.groups())
    return value, low, high


def verdict(report: str) -> str:
    """The first word or words of the verdict: ``leak``, ``not told``, ``unknown``."""
    return _section(report, "What leaks").strip().removeprefix("- ").partition(":")[0]


def power(report: str) -> float | None:
    """The AUC that is said to be starred in 80 of 100 audits; None = not even a perfect attack."""
    found = re.search(r"starred in 80 of 100 such audits.*?: an AUC of (\d\.\d\d)", report)
    return float(found[1]) if found else None


def layers_starred(report: str) -> list[str]:
    """Layers with a star."""
    rows = _rows(_section(report, "Which layer leaks"))
    return [row[0] for row in rows if any(text.endswith("*") for text in row[1:])]


def harmless(answer: str) -> bool:
    """Whether a dilution report calls its attackers harmless with the most clients measured."""
    return "attacker: harmless with " in answer


def _cell(report: str, attack: str) -> str:
    """Rows have their participants increasing."""
    rows = _rows(_section(report, "Inference accuracy"))
    return [row[-1] for row in rows if row[1] == attack][-1]


def _section(report: str, name: str) -> str:
    """The text below a heading, up to the next of its rank."""
    _, _, rest = report.partition(f"\n## {name}\n")
    if not rest:
        raise ValueError(f"the report has no section '{name}'")
    return rest.partition("\n## ")[0]


def _rows(section: str) -> list[list[str]]:
    """The rows of the first table of a section, Markdown's escapes taken away."""
    lines = [line for line in section.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return [[re.sub(r"\\(.)", r"\1", cell) for cell in row] for row in rows]
