"""The self-test: a leak of known size, one that is defended, and none, as verdicts.

What is planted has the size of which the power statement says that it is starred in 80 of 100
audits (:func:`privaudit.statistics.told.smallest_told`), so that statement is tested too. What is
checked is what a report prints: stars and intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from tabulate import tabulate

from privaudit.attack.registry import load_attack
from privaudit.progress import Progress, Silent
from privaudit.randomness import Seed
from privaudit.selftest.audits import Attacks, Audited, audits
from privaudit.selftest.checks import (
    COVERAGE,
    Check,
    all_runs,
    at_least,
    at_most,
    covered,
    failure,
    is_auc,
    is_found,
    starred,
)
from privaudit.selftest.world import KnownWorld, LikelihoodRatio
from privaudit.statistics.laws import d_prime
from privaudit.statistics.pools import Holdings
from privaudit.statistics.runs import Unit
from privaudit.statistics.told import POWER, SIGNIFICANT, Design, smallest_told

BEST = LikelihoodRatio.name
CHEAP, STRONG = "linear", "magnitude-stack"
"""The registered attacks that are tried: the cheap one in every null audit."""
NULL = KnownWorld("null")
FEW = KnownWorld("few-records", participants=2, batch=32, records=220, runs=3)
"""No leak, but two small pools: permuting rounds alone would find one in 25 to 37 % of audits."""
DEFENCE = 40.0
"""Noise of the defended world, in deviations of a delta: leaves d' at 1 / 28."""
LARGER = 1.5
"""Times the planted shift, for attacks that learn: six runs are then enough to see that they do."""


def planted_world() -> KnownWorld:
    """The null world with a leak that is starred in 80 % of audits."""
    half, pool = (NULL.rounds // 2,) * NULL.runs, NULL.records // 2
    honest = NULL.participants - 1
    held = Holdings(pool, pool, NULL.batch, others=honest - 1, other_records=pool)
    design = Design(Unit.ROUND, half, half, held.tau, overlap=1 / NULL.participants)
    auc = smallest_told(design, power=POWER, spread=0.0)
    assert auc is not None
    shift = d_prime(auc) * np.sqrt(honest / NULL.batch)
    # The best test takes nothing from shadows.
    return replace(NULL, name="planted", shift=float(shift), shadows=2)


def self_test(
    *, count: int, seed: Seed, workers: int = 1, progress: Progress | None = None
) -> list[Check]:
    """All checks, each with its verdict.

    Args:
        count: null audits, at least 20; a fifth as many of a planted leak, of a defended one and of
            targets with few records, a fiftieth of attacks that learn.
        seed: of everything; the same seed gives the same numbers whatever ``workers`` is.
        workers: processes.
        progress: shows how far each series is.

    Raises:
        UserError: the attacks of this package are not registered.
    """
    show = progress or Silent()
    learners = [load_attack(CHEAP), load_attack(STRONG)]
    planted = planted_world()
    larger = LARGER * planted.shift
    learned = replace(planted, name="learned", shift=larger, runs=3, rounds=40, shadows=8)
    defended = replace(planted, name="defended", noise=DEFENCE)

    def series(
        world: KnownWorld, number: int, attacks: Attacks, check: Callable[..., list[Check]]
    ) -> list[Check]:
        found = audits(world, number, attacks, seed, workers=workers)
        done = list(show.track(found, stage=world.name, total=number))
        failed = failure(f"{world.name} audits", done)
        return [failed] if failed else check(done, world)

    return [
        *series(planted, max(1, count // 5), [LikelihoodRatio], planted_checks),
        *series(learned, max(2, count // 50), learners, learned_checks),
        *series(defended, max(1, count // 5), [LikelihoodRatio], defended_checks),
        *series(NULL, count, learners[:1], null_checks),
        *series(FEW, max(1, count // 5), learners[:1], null_checks),
    ]


def planted_checks(done: Sequence[Audited], world: KnownWorld) -> list[Check]:
    """A leak of known size is measured right, and starred as often as the power statement says."""
    return [
        is_auc("planted leak: AUC of the best test", all_runs(done, BEST), world.auc),
        at_least("planted leak: 95 % intervals cover it", covered(done, BEST, world.auc), COVERAGE),
        at_least("planted leak: starred", starred(done, BEST), POWER),
    ]


def learned_checks(done: Sequence[Audited], world: KnownWorld) -> list[Check]:
    """Attacks that learn from shadows find it, and none is better than the best there is."""
    return [
        is_found(f"larger leak: AUC of {name}", all_runs(done, name), world.auc)
        for name in (CHEAP, STRONG)
    ]


def defended_checks(done: Sequence[Audited], world: KnownWorld) -> list[Check]:
    """Noise leaves of the leak what the closed form says: next to nothing."""
    return [is_auc("leak behind noise: AUC of the best test", all_runs(done, BEST), world.auc)]


def null_checks(done: Sequence[Audited], world: KnownWorld, attack: str = CHEAP) -> list[Check]:
    """Where there is no leak, no more stars are printed than promised."""
    what = f"no leak, {world.records} records"
    return [
        at_most(f"{what}: starred", starred(done, attack), SIGNIFICANT),
        at_least(f"{what}: intervals hold 0.5", covered(done, attack, world.auc), COVERAGE),
    ]


def as_table(checks: Sequence[Check]) -> str:
    """The checks as a table."""
    rows = [
        [c.name, c.expected, c.measured, c.n, c.tolerance, "holds" if c.holds else "FAILS"]
        for c in checks
    ]
    headers = ["check", "expected", "measured", "n", "tolerance (3 SE)", "verdict"]
    return tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True)


def as_document(checks: Sequence[Check], *, count: int, seed: Seed) -> dict[str, Any]:
    """One JSON document."""
    return {
        "holds": all(check.holds for check in checks),
        "audits": count,
        "seed": seed.root,
        "checks": [check.as_json() for check in checks],
    }
