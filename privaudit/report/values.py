"""Properties with several values, each asked about against all others: their cells as a group."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from privaudit.evaluation.cells import TableCell
from privaudit.report.tables import cell_text, clients_text
from privaudit.report.verdict import headline
from privaudit.scenario.schema import Scenario


def value_groups(scenario: Scenario) -> dict[str, list[str]]:
    """Property with several values -> the names of those asked about, ``region=north``, ..."""
    described = scenario.data.options.get("properties")
    names = [
        name
        for name, one in (described.items() if isinstance(described, dict) else ())
        if isinstance(one, dict) and one.get("each") is True
    ]
    groups = {
        name: [value for value in scenario.audit.properties if value.startswith(f"{name}=")]
        for name in names
    }
    return {name: values for name, values in groups.items() if values}


def value_sentences(scenario: Scenario, cells: Sequence[TableCell]) -> list[str]:
    """One per property with several values: of which it is told whether a record has them."""
    found = []
    for name, values in value_groups(scenario).items():
        own = {value: [cell for cell in cells if cell.property == value] for value in values}
        told = [value for value in values if any(cell.told for cell in own[value])]
        parts = [_with_auc(scenario, name, value, own[value]) for value in told]
        rest = [value.removeprefix(f"{name}=") for value in values if value not in told]
        sentence = f"Of {len(values)} values of '{name}', each against all others, "
        sentence += f"told from chance: {', '.join(parts) or 'none'}"
        found.append(sentence + (f"; not told: {', '.join(rest)}." if rest else "."))
    return found


def _with_auc(scenario: Scenario, name: str, value: str, cells: Sequence[TableCell]) -> str:
    """The value with its cell fixed beforehand."""
    return f"{value.removeprefix(f'{name}=')} (AUC {cell_text(headline(scenario, cells))})"


def value_tables(scenario: Scenario, cells: Sequence[TableCell]) -> dict[str, pd.DataFrame]:
    """Property with several values -> a row per attack and setting, a column per value."""
    return {
        name: _table(name, values, [cell for cell in cells if cell.property in values])
        for name, values in value_groups(scenario).items()
    }


def _table(name: str, values: Sequence[str], cells: Sequence[TableCell]) -> pd.DataFrame:
    rows: dict[tuple[str, int, str, float], dict[str, str]] = {}
    for cell in cells:
        key = (cell.attack, cell.participants, cell.sent, cell.fraction)
        head = {
            "attack": cell.attack,
            "K": clients_text(cell.participants, cell.colluders),
            "rule": cell.sent,
            "shared": f"{100 * cell.fraction:g} %",
        }
        rows.setdefault(key, head)[cell.property.removeprefix(f"{name}=")] = cell_text(cell)
    columns = ["attack", "K", "rule", "shared", *(v.removeprefix(f"{name}=") for v in values)]
    return pd.DataFrame(list(rows.values()), columns=columns).fillna("–")
