"""From records to the cells of the inference-accuracy table: pure, the same every time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from privaudit.accounting.claims import Ceiling, Claim
from privaudit.evaluation.metrics import METRICS, measure_all
from privaudit.evaluation.records import Record, colluders_in, with_scores
from privaudit.randomness import Seed
from privaudit.scenario.grid import how_sent
from privaudit.statistics.intervals import Interval, auc_interval
from privaudit.statistics.pools import Holdings
from privaudit.statistics.told import (
    SIGNIFICANT,
    Design,
    adjusted,
    against_chance,
    design_of,
    is_told,
    smallest_told,
)


@dataclass(frozen=True)
class TableCell:
    """One attack on one (property, rule, fraction, K, defence), over all runs.

    Attributes:
        rounds: scores over all runs; in the game membership of candidates.
        game: what was asked.
        facts: name -> mean over runs of what else a reader needs.
        runs: federation runs with scores.
        failures: reasons of the runs without.
        silent: runs whose scores are all the same.
        metrics: name -> interval over runs; None where not estimable.
        p_value: test against chance, one-sided (:mod:`privaudit.statistics.told`).
        permutation_p: of the permutation test alone, which allows for no finite pools.
        q_value: ``p_value`` adjusted over the cells of the table.
        detectable: smallest AUC that would have been told in 80 of 100 audits if this cell alone
            leaked; None = not even a perfect attack.
        detectable_if_all: likewise if all cells of the table did.
        at_least: lower limit of the AUC, corrected for choosing among the cells of the property.
        design: what the test had to work with; None when every run failed.
        holdings: of the first run's (first) target; None where nobody wrote them down.
        repeated: audits with the property permuted over the whole data set, where asked for.
        repeated_p: (1 + those with as high an AUC) / (1 + all of them); None without.
        fewest: records with and without the property of the target that holds fewest of each;
            None likewise.
        published: the published AUC, where the scenario reproduces one.
        defence: its name; empty where there is none.
        claim: what it promises; None where it is no matter of promises.
        ceiling: what no attack exceeds while that is true; None where nothing is known.
        colluders: of the participants, those who pool with the adversary what they own and see.
    """

    property: str
    rule: str
    fraction: float
    participants: int
    attack: str
    view: str
    runs: int
    rounds: int
    failures: tuple[str, ...]
    metrics: dict[str, Interval | None]
    p_value: float | None
    q_value: float | None
    detectable: float | None
    published: float | None
    silent: int = 0
    permutation_p: float | None = None
    detectable_if_all: float | None = None
    at_least: float | None = None
    design: Design | None = None
    holdings: Holdings | None = None
    repeated: int = 0
    repeated_p: float | None = None
    game: str = "property"
    facts: Mapping[str, float] = field(default_factory=dict)
    fewest: tuple[int, int] | None = None
    colluders: int = 0
    defence: str = ""
    claim: Claim | None = None
    ceiling: Ceiling | None = None

    @cached_property
    def sent(self) -> str:
        """The sharing rule, with the defence where there is one."""
        return how_sent(self.rule, self.defence)

    @cached_property
    def auc(self) -> Interval | None:
        """The cell's AUC; None when every run failed."""
        return self.metrics.get("auc")

    @cached_property
    def told(self) -> bool:
        """Whether the attack told the property from chance: what a star says."""
        return is_told(self.q_value)

    @cached_property
    def above_ceiling(self) -> bool:
        """Whether more was measured than the mechanism claimed allows: so it was another one."""
        found, ceiling = self.auc, self.ceiling
        return found is not None and ceiling is not None and found.low > ceiling.auc


Key = tuple[str, str, float, int, str, str]


def table_cells(records: Sequence[Record]) -> list[TableCell]:
    """All cells of a run, in the order of the records, tests adjusted over the whole table."""
    groups = _by_cell(records)
    among = Counter(
        name for (name, *_), group in groups.items() if any(r.status == "ok" for r in group)
    )
    return one_family(_cell(key, group, among[key[0]]) for key, group in groups.items())


def auc_cells(records: Sequence[Record]) -> list[TableCell]:
    """The same cells with their AUC alone, without tests: in a tenth of the time."""
    return [_cell(key, group, None) for key, group in _by_cell(records).items()]


def _by_cell(records: Sequence[Record]) -> dict[Key, list[Record]]:
    groups: dict[Key, list[Record]] = {}
    for record in records:
        if record.is_rebuilding:  # no AUC: it has a table of its own (:mod:`.rebuilt_cells`)
            continue
        key = (
            record.property,
            record.rule,
            record.fraction,
            record.participants,
            record.attack,
            record.defence,
        )
        groups.setdefault(key, []).append(record)
    return groups


def one_family(cells: Iterable[TableCell]) -> list[TableCell]:
    """The same cells, with what depends on how many stand in one table: q-values and power."""
    cells = list(cells)
    tested = sum(cell.p_value is not None for cell in cells)
    q_values = adjusted([cell.p_value for cell in cells])
    return [
        replace(
            cell,
            q_value=q,
            detectable=smallest_told(cell.design, cells=tested) if cell.design else None,
            detectable_if_all=smallest_told(cell.design) if cell.design else None,
        )
        for cell, q in zip(cells, q_values, strict=True)
    ]


def _cell(key: Key, records: Sequence[Record], among: int | None) -> TableCell:
    """One cell; ``among`` how many one may choose the best from, None for the AUC alone."""
    name, rule, fraction, participants, attack, defence = key
    # Sums and random permutations go through the runs in turn: in their own order, whatever order
    # the records came in.
    records = sorted(records, key=lambda record: record.run)
    good = with_scores(records)
    paired = sum(record.status == "ok" and record.pair is not None for record in records)
    left_out = max(0, paired - len(good))
    runs = [record.run_scores() for record in good]
    first = records[0]
    published = first.configuration["report"]["published"].get(name, {})
    rng = Seed(first.seed).generator("permutation", *(str(p) for p in key if p != ""))
    design = design_of(runs, [r.held() for r in good]) if runs else None
    test = against_chance(runs, design, rng) if design and among else None
    pools = design.pools if design else {}
    names = ["auc"] if among is None else METRICS
    return TableCell(
        property=name,
        rule=rule,
        fraction=fraction,
        participants=participants,
        attack=attack,
        view=first.view,
        runs=len(good),
        rounds=sum(len(r.scores) for r in good),
        failures=(
            *(r.reason for r in records if r.status == "failed"),
            *["the other state of its federation failed"] * left_out,
        ),
        metrics=measure_all(runs, names, **pools) if runs else dict.fromkeys(names),
        p_value=test.p_value if test else None,
        q_value=None,
        detectable=None,
        published=next((v for f, v in published.items() if float(f) == fraction), None),
        silent=sum(bool(np.ptp(run.scores) == 0) for run in runs),
        permutation_p=test.permutation if test else None,
        # One-sided at 5 % over all that one chooses among: two-sided twice that.
        at_least=auc_interval(runs, level=1 - 2 * SIGNIFICANT / among, **pools).low
        if runs and among
        else None,
        design=design,
        holdings=next((held for r in good for held in r.held()), None),
        game=first.game,
        facts=_mean_facts([r.facts for r in good]),
        colluders=colluders_in(first.configuration, participants),
        defence=defence,
        claim=first.claim,
        ceiling=first.ceiling,
        fewest=_fewest([held for r in good for held in r.held()]),
    )


def _mean_facts(facts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of what is known of every run."""
    known = [n for n in facts[0] if all(n in one for one in facts)] if facts else []
    return {n: float(np.mean([one[n] for one in facts])) for n in known}


def _fewest(holdings: Sequence[Holdings]) -> tuple[int, int] | None:
    if not holdings:
        return None
    return min(held.present for held in holdings), min(held.absent for held in holdings)
