"""Hand-made cells, scenarios and contents for the tests of the report."""

from __future__ import annotations

from typing import Any

import numpy as np

from privaudit.attack.layers import ALL
from privaudit.evaluation.cells import TableCell, table_cells
from privaudit.evaluation.layers import LayerScores
from privaudit.evaluation.metrics import METRICS
from privaudit.evaluation.records import Record
from privaudit.report.content import Content
from privaudit.scenario.grid import cells_of
from privaudit.scenario.load import check_scenario
from privaudit.scenario.schema import Scenario
from privaudit.statistics.intervals import Interval
from privaudit.statistics.pools import Holdings
from privaudit.statistics.runs import Unit
from privaudit.statistics.told import Design


def cell(
    name: str = "bold",
    auc: tuple[float, float, float] | None = (0.8, 0.7, 0.9),
    *,
    q: float | None = 0.01,
    fraction: float = 1.0,
    rule: str | None = None,
    participants: int = 5,
    attack: str = "linear",
    runs: int = 3,
    detectable: float | None = 0.66,
    if_all: float | None = None,
    at_least: float | None = None,
    silent: int = 0,
    holdings: Holdings | None = None,
    fewest: tuple[int, int] | None = None,
    published: float | None = None,
    failures: tuple[str, ...] = (),
) -> TableCell:
    """One cell; ``auc`` is value, low, high."""
    interval = Interval(*auc, runs, 40 * runs, "hierarchical over runs") if auc else None
    return TableCell(
        property=name,
        rule=rule or ("all" if fraction == 1.0 else "largest"),
        fraction=fraction,
        participants=participants,
        attack=attack,
        view="participant",
        runs=runs if auc else 0,
        rounds=40 * runs if auc else 0,
        failures=failures,
        metrics=dict.fromkeys(METRICS) | {"auc": interval},
        p_value=q if auc else None,
        q_value=q if auc else None,
        detectable=detectable if auc else None,
        published=published,
        silent=silent,
        detectable_if_all=if_all if auc else None,
        at_least=at_least if auc else None,
        design=Design(Unit.ROUND, (20,) * runs, (20,) * runs, holdings.tau if holdings else None)
        if auc
        else None,
        holdings=holdings,
        fewest=fewest,
    )


def scenario(**sections: Any) -> Scenario:
    """A small scenario; sections replace or add to its own."""
    table: dict[str, Any] = {
        "name": "made-up",
        "title": "Made up",
        "runs": 3,
        "audit": {"properties": ["bold"], "fractions": [1.0], "rounds": 40, "attacks": ["linear"]},
    }
    for key, value in sections.items():
        joined = isinstance(value, dict) and isinstance(table.get(key), dict)
        table[key] = table[key] | value if joined else value
    return check_scenario(table, where="test")


def content(made: Scenario, **parts: Any) -> Content:
    """A content whose every cell of the grid was measured on made-up scores."""
    records = [
        record(made, cell.run, cell.property, cell.rule, cell.fraction, cell.participants, attack)
        for cell in cells_of(made)
        for attack in made.audit.attacks
    ]
    return Content(made, records, table_cells(records), plan_sha256="f" * 64, **parts)


def layer_scores(made: Scenario) -> list[LayerScores]:
    """A layer that tells the property and one that does not, of every run and property."""
    rows = []
    for cell in (c for c in cells_of(made) if c.fraction == max(made.audit.fractions)):
        for layer, shift, size in (("hidden", 2.0, 900), ("output", 0.0, 100), (ALL, 2.0, 1000)):
            rng = np.random.default_rng([cell.run, len(cell.property), len(layer)])
            present = np.arange(made.audit.rounds) % 2 == 1
            rows.append(
                LayerScores.of(
                    cell,
                    layer,
                    size,
                    (rng.standard_normal(present.size) + shift * present).tolist(),
                    present.tolist(),
                )
            )
    return rows


def audit_entries(made: Scenario) -> list[dict[str, Any]]:
    """What ``ledger/audits.jsonl`` has of a run."""
    return [
        {
            "entry": number,
            "round": 7,
            "sha256": "d" * 64,
            "what": "cell",
            "property": name,
            "fraction": 1.0,
            "rule": "all",
            "attack": "linear",
            "auc": None if number else 0.8,
            "low": None if number else 0.7,
            "high": None if number else 0.9,
            "participants": 5,
            "runs": 0 if number else made.runs,
        }
        for number, name in enumerate(made.audit.properties)
    ]


def record(
    made: Scenario, run: int, name: str, rule: str, fraction: float, clients: int, attack: str
) -> Record:
    """Scores that lie 1.5 deviations higher where the property is."""
    rng = np.random.default_rng([run, len(name), int(100 * fraction), clients, len(attack)])
    present = np.arange(made.audit.rounds) % 2 == 1
    scores = rng.standard_normal(present.size) + 1.5 * present
    return Record(
        scenario=made.name,
        configuration=made.model_dump(mode="json"),
        dataset={"name": "made-up", "checksum": "0" * 64},
        versions={"python": "3.11.0", "privaudit": "0.1.0"},
        commit="c" * 40,
        run=run,
        seed=made.seed,
        property=name,
        rule=rule,
        fraction=fraction,
        participants=clients,
        attack=attack,
        view="participant",
        status="ok",
        scores=scores.tolist(),
        present=present.tolist(),
    )
