"""The inference-accuracy table: one row per cell (csv), or the fractions side by side (text)."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
from tabulate import tabulate

from privaudit.errors import unknown_name
from privaudit.evaluation.cells import TableCell
from privaudit.evaluation.metrics import METRICS
from privaudit.evaluation.rebuilt_cells import RebuiltCell
from privaudit.games.ending import BYTES_UP, DEFENDED
from privaudit.scenario.grid import how_sent
from privaudit.statistics.intervals import Interval

FORMATS = {
    "github": "github",
    "markdown": "github",
    "latex": "latex_booktabs",
    "html": "html",
}
"""Text formats -> tabulate's names; those of :data:`LONG` come from the long table."""

LONG = ("csv", "json")

HEADS = ("property", "attack", "K", "rule")
"""What heads a row of the wide table."""


def long_table(cells: Sequence[TableCell]) -> pd.DataFrame:
    """One row per cell, unrounded; what csv and analysis want."""
    rows = []
    for cell in cells:
        auc = cell.auc
        row = {
            "property": cell.property,
            "shared_fraction": cell.fraction,
            "rule": cell.rule,
            "participants": cell.participants,
            "attack": cell.attack,
            "auc": auc.value if auc else None,
            "low": auc.low if auc else None,
            "high": auc.high if auc else None,
            "runs": cell.runs,
            "p_value": cell.p_value,
            "published": cell.published,
            "q_value": cell.q_value,
            "rounds": cell.rounds,
            "failed_runs": len(cell.failures),
            "smallest_detectable_auc": cell.detectable,
            "smallest_detectable_auc_if_all_leak": cell.detectable_if_all,
            "told": cell.told,
            "at_least": cell.at_least,
            "permutation_p_value": cell.permutation_p,
            "pool_tau": cell.design.tau if cell.design else None,
            "pool_overlap": cell.design.overlap if cell.design else None,
        }
        if any(c.defence or c.claim for c in cells):
            row |= _defence_columns(cell)
        if any(c.colluders for c in cells):
            row["colluders"] = cell.colluders
        if any(c.repeated for c in cells):
            row |= {"permute_all": cell.repeated, "permute_all_p_value": cell.repeated_p}
        for name, interval in cell.metrics.items():
            if name == "accuracy":
                row["accuracy_chance"] = blind_accuracy(cell)
            if name != "auc":
                row[name] = interval.value if interval else None
                row[f"{name}_low"] = interval.low if interval else None
                row[f"{name}_high"] = interval.high if interval else None
            if name.startswith("tpr"):
                row[f"{name}_rough"] = interval.rough if interval else None
        rows.append(row)
    return pd.DataFrame(rows)


def _defence_columns(cell: TableCell) -> dict[str, Any]:
    claim, ceiling = cell.claim, cell.ceiling
    return {
        "defence": cell.defence or "none",
        "epsilon": claim.epsilon if claim else None,
        "delta": claim.delta if claim else None,
        "unit": claim.unit if claim and not claim.none else None,
        "neighbours": claim.neighbours if claim and not claim.none else None,
        "no_epsilon_because": claim.none if claim else "no defence",
        "ceiling_auc": ceiling.auc if ceiling else None,
        "ceiling_advantage": ceiling.advantage if ceiling else None,
        "above_ceiling": cell.above_ceiling,
        "accuracy_defended": cell.facts.get(DEFENDED),
        "bytes_up": cell.facts.get(BYTES_UP),
    }


def blind_accuracy(cell: TableCell) -> float | None:
    """Accuracy of always saying what is true more often; None where every run failed."""
    if cell.design is None:
        return None
    pairs = zip(cell.design.n_present, cell.design.n_absent, strict=True)
    return sum(max(n, m) / (n + m) for n, m in pairs) / len(cell.design.n_present)


def accuracy_note(cells: Sequence[TableCell], units: str = "rounds") -> str:
    """What the columns of :func:`wide_table` with accuracy hold, and what a blind guess has.

    ``units``: what is scored, in the plural.
    """
    return (
        "Accuracy: share of right answers at the attack's own threshold, score 0, which was fitted "
        f"to no truth; whoever says the same of all {units} has {_span(blind_accuracy, cells)}."
    )


def precision_note(cells: Sequence[TableCell], units: str = "rounds") -> str:
    """What the column of precision holds, and what it is without any information."""
    return (
        f"Precision: of the {units} that an attack says yes of (score above 0), the share of which "
        f"it is true. It depends on how many of the {units} that is true of: whoever says yes of "
        f"all has {_span(_share_present, cells)}. Not estimable where it says yes of none in a run."
    )


def _span(blind: Callable[[TableCell], float | None], cells: Sequence[TableCell]) -> str:
    found = sorted({f"{value:.2f}" for cell in cells if (value := blind(cell)) is not None})
    return " to ".join(dict.fromkeys([found[0], found[-1]])) if found else "none"


def _share_present(cell: TableCell) -> float | None:
    if cell.design is None:
        return None
    pairs = zip(cell.design.n_present, cell.design.n_absent, strict=True)
    return sum(n / (n + m) for n, m in pairs) / len(cell.design.n_present)


def wide_table(cells: Sequence[TableCell], *, accuracy: bool = False) -> pd.DataFrame:
    """One row per property, rule, K and attack; AUC with interval by shared fraction.

    ``*`` marks cells that are told from chance (:attr:`TableCell.told`). The column of
    fraction 1, where every rule shares everything, repeats for each rule. With ``accuracy`` as many
    columns more, of that.
    """
    fractions = sorted({cell.fraction for cell in cells})
    published = any(cell.published is not None for cell in cells)
    rows = []
    for head, found in wide_cells(cells):
        row = dict(zip(HEADS, head, strict=True))
        for fraction, cell in zip(fractions, found, strict=True):
            row[f"{100 * fraction:g} %"] = cell_text(cell)
        for fraction, cell in zip(fractions, found, strict=True) if accuracy else ():
            own = cell.metrics["accuracy"] if cell else None
            row[f"accuracy, {100 * fraction:g} %"] = interval_text(own)
        if published:
            values = (cell.published if cell else None for cell in found)
            row["published"] = " / ".join("–" if v is None else f"{v:.2f}" for v in values)
        rows.append(row)
    return pd.DataFrame(rows)


def wide_cells(
    cells: Sequence[TableCell],
) -> list[tuple[tuple[str, str, str, str], list[TableCell | None]]]:
    """The rows of the wide table: :data:`HEADS`, and the cells by rising shared fraction."""
    fractions = sorted({cell.fraction for cell in cells})
    rules = sorted({c.rule for c in cells if c.rule != "all"}) or ["all"]
    by_key = {
        (c.property, c.rule, c.defence, c.participants, c.attack, c.fraction): c for c in cells
    }
    clients = {c.participants: clients_text(c.participants, c.colluders) for c in cells}
    rows = []
    for name, participants, rule, defence, attack in _row_keys(cells, rules):
        found = [
            by_key.get((name, "all" if f == 1.0 else rule, defence, participants, attack, f))
            for f in fractions
        ]
        head = (name, attack, clients[participants], how_sent(rule, defence))
        rows.append((head, found))
    return rows


def metrics_table(cells: Sequence[TableCell]) -> pd.DataFrame:
    """The other metrics of each cell, with intervals; "not estimable" where n is too small."""
    rows = []
    for cell in cells:
        row = {
            "property": cell.property,
            "attack": cell.attack,
            "K": clients_text(cell.participants, cell.colluders),
            "rule": cell.sent,
            "shared": f"{100 * cell.fraction:g} %",
        }
        for name, metric in METRICS.items():
            if name != "auc":  # it has a table of its own
                row[metric.title] = interval_text(cell.metrics[name], missing="not estimable")
        row["p"] = "–" if cell.p_value is None else f"{cell.p_value:.2g}"
        row["q"] = "–" if cell.q_value is None else f"{cell.q_value:.2g}"
        if any(c.repeated for c in cells):
            row["p, repeated"] = "–" if cell.repeated_p is None else f"{cell.repeated_p:.2g}"
        rows.append(row)
    return pd.DataFrame(rows)


def render(cells: Sequence[TableCell], table_format: str) -> str:
    """The table as text: one of :data:`FORMATS` (fractions side by side) or :data:`LONG`.

    ``github`` is to be read in a terminal, ``markdown`` to be rendered: it escapes what a property
    or a reason could bring along.

    Raises:
        UserError: another format.
    """
    if table_format == "json":
        return str(long_table(cells).to_json(orient="records")) + "\n"
    if table_format == "csv":
        buffer = io.StringIO()
        long_table(cells).to_csv(buffer, index=False, lineterminator="\n")
        return buffer.getvalue()
    check_format(table_format)
    return as_text(wide_table(cells), table_format)


def check_format(table_format: str) -> None:
    """Refuse what is none of :data:`FORMATS` and :data:`LONG`.

    Raises:
        UserError: names the nearest.
    """
    if table_format not in (*FORMATS, *LONG):
        raise unknown_name("table format", table_format, [*FORMATS, *LONG], where="--format")


def as_text(frame: pd.DataFrame, table_format: str = "github") -> str:
    """A frame of strings through tabulate, which then leaves the cells as they are."""
    clean = CLEANERS.get(table_format, one_line)
    columns = {clean(str(name)): [clean(str(v)) for v in frame[name]] for name in frame}
    return tabulate(columns, headers="keys", tablefmt=FORMATS[table_format], disable_numparse=True)


def one_line(text: str) -> str:
    """Text with every run of white space, line ends included, as one space."""
    return " ".join(text.split())


def markdown_text(text: str) -> str:
    """Text in which Markdown and the HTML inside it find nothing to interpret."""
    line = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_|$~]|\](?=[(\[:]))", r"\\\1", line)


def _piped(text: str) -> str:
    return one_line(text).replace("|", "\\|")


CLEANERS = {"github": _piped, "markdown": markdown_text}


def cell_text(cell: TableCell | None) -> str:
    """``0.93 [0.91, 0.95]*``, or why there is no number."""
    if cell is None:
        return "–"
    if cell.auc is None:
        return f"failed: {cell.failures[0]}" if cell.failures else "failed"
    star = "*" if cell.told else ""
    lost = f" ({len(cell.failures)} failed)" if cell.failures else ""
    return interval_text(cell.auc) + star + lost + ceiling_text(cell)


def ceiling_text(cell: TableCell) -> str:
    """What no attack exceeds where the defence is what it claims to be; empty without a claim."""
    if cell.ceiling is None:
        return ""
    return (
        f" (above its ceiling {cell.ceiling.auc:.2f})"
        if cell.above_ceiling
        else (f" (ceiling {cell.ceiling.auc:.2f})")
    )


def with_rule(cell: TableCell | RebuiltCell) -> str:
    """``, rule largest, defence private``, as far as there is anything to say."""
    rule = "" if cell.rule == "all" else f", rule {cell.rule}"
    return f"{rule}, defence {cell.defence}" if cell.defence else rule


def clients_text(participants: int, colluders: int) -> str:
    """``5``, or ``17 (4 collude)``."""
    return f"{participants} ({colluders} collude)" if colluders else str(participants)


def interval_text(interval: Interval | None, missing: str = "–") -> str:
    """``0.93 [0.91, 0.95]``, with ``(rough)`` after it where few rounds stand behind it."""
    if interval is None:
        return missing
    rough = " (rough)" if interval.rough else ""
    value, low, high = (round(n, 2) + 0.0 for n in (interval.value, interval.low, interval.high))
    return f"{value:.2f} [{low:.2f}, {high:.2f}]{rough}"  # + 0.0: no -0.00


def _row_keys(
    cells: Sequence[TableCell], rules: Sequence[str]
) -> list[tuple[str, int, str, str, str]]:
    """Property, K, rule, defence, attack."""
    keys: dict[tuple[str, int, str, str, str], None] = {}
    for cell in cells:
        for rule in rules if cell.rule == "all" else [cell.rule]:
            keys[(cell.property, cell.participants, rule, cell.defence, cell.attack)] = None
    names = list(dict.fromkeys(cell.property for cell in cells))
    attacks = list(dict.fromkeys(cell.attack for cell in cells))
    defences = list(dict.fromkeys(cell.defence for cell in cells))
    return sorted(
        keys,
        key=lambda k: (
            names.index(k[0]),
            k[1],
            k[2],
            defences.index(k[3]),
            attacks.index(k[4]),
        ),
    )
