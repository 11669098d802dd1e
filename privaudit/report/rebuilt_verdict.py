"""What the verdict says of rebuilt records: whether they are, how many, in which cell."""

from __future__ import annotations

from collections.abc import Sequence

from privaudit.evaluation.rebuilding import MEASURES
from privaudit.evaluation.rebuilt_cells import RebuiltCell
from privaudit.report.rebuilt import amount, measure_of
from privaudit.report.tables import clients_text, with_rule
from privaudit.scenario.schema import LABELS, Scenario


def headline(scenario: Scenario, cells: Sequence[RebuiltCell]) -> RebuiltCell | None:
    """The cell fixed beforehand: most shared, fewest participants, what is named first."""
    attacks, rules = scenario.attacks, scenario.audit.rules
    return min(
        cells,
        key=lambda c: (
            -c.fraction,
            c.participants,
            rules.index(c.rule) if c.rule in rules else len(rules),
            attacks.index(c.attack),
        ),
        default=None,
    )


def best(cells: Sequence[RebuiltCell]) -> RebuiltCell | None:
    """The cell with the largest gain; one that is told goes before all that are not."""
    known = [cell for cell in cells if cell.gain is not None]
    return max(known, key=lambda c: (c.told, c.gain.value if c.gain else 0.0), default=None)


def sentence(scenario: Scenario, who: str, cells: Sequence[RebuiltCell]) -> tuple[bool, str]:
    """Whether batches of one size were rebuilt, and what to say of it; cells with an answer."""
    first, most = headline(scenario, cells), best(cells)
    assert first is not None
    assert most is not None
    one_step = scenario.audit.local_steps == 1
    labels = measure_of(cells) is MEASURES[LABELS]
    asked, done, does = (
        ("labels", "named", "names") if labels else ("records", "rebuilt", "rebuilds")
    )
    what = f"{asked} of the target's batch of {first.batch}" + (
        "" if one_step else f" ({scenario.audit.local_steps} local steps)"
    )
    if not any(cell.told for cell in cells):
        return False, (
            f"no {what} were {done} better than by a guess in any of {_cells(cells)}: the most "
            f"was {_said(most)}."
        )
    told = f"{who} {does} {what} from one round: {_said(first)}; the cell fixed beforehand: most "
    told += "shared, fewest participants, first attack."
    assert most.gain is not None
    if first.gain is not None and first.told and first.gain.value >= most.gain.value:
        return True, f"{told} It is the most of {_cells(cells)}."
    if not first.told:
        told = f"{who} {does} {what} from one round. The cell fixed beforehand: {_said(first)}."
    return True, f"{told} The most of {_cells(cells)}, chosen afterwards: {_said(most)}."


def _said(cell: RebuiltCell) -> str:
    if cell.measure is None or cell.guess is None:
        return f"failed ({_setting(cell)})"
    exact = cell.beside.get("exact")
    within = f"{100 * exact.value:.0f} % of them within 1 %, " if exact else ""
    title = {
        "records": "a share of",
        "images": "PSNR",
        "words": "words with F1",
        LABELS: "a share of",
    }
    parts = [f"{n} {cell.beside[n].value:.2f}" for n in ("recall", "precision") if n in cell.beside]
    of = f" ({', '.join(parts)})" if parts else ""
    return (
        f"{within}{title[cell.measure.name]} {amount(cell.measure, cell.found)}{of}, a guess "
        f"{amount(cell.measure, cell.guess, limits=False)} ({_setting(cell)})"
    )


def _setting(cell: RebuiltCell) -> str:
    return (
        f"{cell.attack}, K = {clients_text(cell.participants, cell.colluders)}, "
        f"{100 * cell.fraction:g} % shared{with_rule(cell)}, n = {cell.runs} "
        f"run{'' if cell.runs == 1 else 's'}, {cell.rounds} rounds"
    )


def _cells(cells: Sequence[RebuiltCell]) -> str:
    return f"{len(cells)} cell{'' if len(cells) == 1 else 's'}"
