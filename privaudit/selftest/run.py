"""The self-test: a leak of known size, one that is defended, and none, as verdicts.

What is planted has the size of which the power statement says that it is starred in 80 of 100
audits (:func:`privaudit.statistics.told.smallest_told`), so that statement is tested too. What is
checked is read from the printed report (:mod:`privaudit.selftest.printed`): stars, intervals, the
word of the verdict, stars of layers, the AUC that the power statement names, and "harmless".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.optimize import brentq
from tabulate import tabulate

from privaudit.attack.registry import load_attack
from privaudit.progress import Progress, Silent
from privaudit.randomness import Seed
from privaudit.selftest import printed
from privaudit.selftest.audits import Attacks, Audited, Known, audits
from privaudit.selftest.canaries import canary_checks
from privaudit.selftest.checks import (
    COVERAGE,
    Check,
    all_runs,
    all_say,
    at_least,
    at_most,
    covered,
    failure,
    is_auc,
    is_found,
    is_near,
    leak_said,
    starred,
)
from privaudit.selftest.members import KnownMembers, MemberRatio
from privaudit.selftest.optima import Best, OptimumWorld
from privaudit.selftest.world import HARMLESS, KnownWorld, LikelihoodRatio
from privaudit.statistics.laws import d_prime
from privaudit.statistics.pools import Holdings
from privaudit.statistics.runs import Unit
from privaudit.statistics.told import POWER, SIGNIFICANT, Design, smallest_told

BEST = LikelihoodRatio.name
CHEAP, STRONG = "linear", "magnitude-stack"
"""The registered attacks that are tried: the cheap one in every null audit."""
NULL = KnownWorld("null")
FEW = KnownWorld("few-records", participants=2, batch=32, records=220, runs=3, layers=True)
"""No leak, but two small pools: permuting rounds alone would find one in 25 to 37 % of audits."""
HUSHED = KnownWorld("hushed", rounds=30, shadows=2, smaller=(2,))
"""No leak, of two sizes: the dilution report may call it harmless."""
DEFENCE = 40.0
"""Noise of the defended world, in deviations of a delta: leaves d' at 1 / 28."""
SPREAD = OptimumWorld("variance", rounds=60, runs=2, size=3.0, records=2000)
"""The property changes variances alone, which no mean shows."""
HAD = 0.85
"""Share of the best test's d' in it that the strong attack should have."""
ROUNDING = 0.0151
"""How far a printed AUC may be from the exact one: its decimals, and deals that differ a little."""
ASKING = ("gradient-cosine", "membership-stack")
"""The attacks on membership that are tried: the cheap one where there is nothing to find."""
ASKED = KnownMembers("members-asked", runs=4)
STRANGERS = KnownMembers("members-behind-noise", noise=1e6)
"""Told with an AUC of 0.501 at the best."""
LARGER = 1.5
"""Times the planted shift, for attacks that learn: six runs are then enough to see that they do."""


class BestAtSpread(Best):
    """The best test in that world."""

    world = SPREAD


def design_of_world(world: KnownWorld) -> Design:
    """What a test of a cell of this world has to work with, from its numbers alone."""
    half, pool = (world.rounds // 2,) * world.runs, world.records // 2
    others = world.participants - 2
    held = Holdings(pool, pool, world.batch, others=others, other_records=pool)
    return Design(Unit.ROUND, half, half, held.tau, overlap=1 / world.participants)


def with_auc(world: KnownWorld, name: str, auc: float) -> KnownWorld:
    """The same world with a leak of that AUC."""
    shift = d_prime(auc) * np.sqrt((world.participants - 1) / world.batch)
    return replace(world, name=name, shift=float(shift))


def planted_world() -> KnownWorld:
    """The null world with a leak that is starred in 80 % of audits, its runs being alike."""
    auc = smallest_told(design_of_world(NULL), power=POWER, spread=0.0)
    assert auc is not None
    # The best test takes nothing from shadows.
    return replace(with_auc(NULL, "planted", auc), shadows=2)


def design_of_members(world: KnownMembers) -> Design:
    """The same where members are asked for: candidates are drawn by the challenger."""
    half = (world.candidates // 2,) * world.runs
    return Design(Unit.ROUND, half, half)


def members_world() -> KnownMembers:
    """Members that are told in 80 % of audits: noise hides the rest of what could be."""
    clear = KnownMembers("members")
    auc = smallest_told(design_of_members(clear), power=POWER, spread=0.0)
    assert auc is not None
    noise = brentq(lambda m: replace(clear, noise=m).auc - auc, 0.0, 1e4)
    return replace(clear, noise=float(noise))


def self_test(
    *, count: int, seed: Seed, workers: int = 1, progress: Progress | None = None
) -> list[Check]:
    """All checks, each with its verdict.

    Args:
        count: null audits, at least 20; a fifth as many of a planted leak, of a defended one, of
            targets with few records, of a leak that does not dilute, and of members that can be
            told or not; a tenth of one that does, a fiftieth of attacks that learn, half of
            that of a spread that changes. A fifth as many of canaries, twice.
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
        world: Known, number: int, attacks: Attacks, check: Callable[..., list[Check]]
    ) -> list[Check]:
        found = audits(world, number, attacks, seed, workers=workers)
        done = list(show.track(found, stage=world.name, total=number))
        failed = failure(f"{world.name} audits", done)
        return [failed] if failed else check(done, world)

    return [
        *series(planted, max(1, count // 5), [LikelihoodRatio], planted_checks),
        *series(learned, max(2, count // 50), learners, learned_checks),
        *series(SPREAD, max(1, count // 100), [BestAtSpread, load_attack(STRONG)], spread_checks),
        *series(defended, max(1, count // 5), [LikelihoodRatio], defended_checks),
        *series(NULL, count, learners[:1], null_checks),
        *series(FEW, max(1, count // 5), learners[:1], few_checks),
        *series(
            with_auc(HUSHED, "audible", HARMLESS),
            max(1, count // 5),
            [LikelihoodRatio],
            audible_checks,
        ),
        *series(HUSHED, max(1, count // 10), [LikelihoodRatio], hushed_checks),
        *series(members_world(), max(1, count // 5), [MemberRatio], members_checks),
        *series(ASKED, max(2, count // 50), [*map(load_attack, ASKING)], asked_checks),
        *series(STRANGERS, max(1, count // 5), [load_attack(ASKING[0])], strangers_checks),
        *canary_checks(max(20, count // 5), seed),
    ]


def planted_checks(done: Sequence[Audited], world: KnownWorld) -> list[Check]:
    """A leak of known size is measured right, and starred as often as the power statement says."""
    return _measured_right("planted leak", done, BEST, world.auc, design_of_world(world))


def members_checks(done: Sequence[Audited], world: KnownMembers) -> list[Check]:
    """Likewise where members are asked for."""
    return _measured_right("members", done, MemberRatio.name, world.auc, design_of_members(world))


def _measured_right(
    what: str, done: Sequence[Audited], best: str, auc: float, design: Design
) -> list[Check]:
    stars, leaks = starred(done, best), leak_said(done)
    said = [printed.power(audited.report) for audited in done]
    smallest = smallest_told(design)
    assert smallest is not None
    return [
        is_auc(f"{what}: AUC of the best test", all_runs(done, best), auc),
        at_least(f"{what}: 95 % intervals cover it", covered(done, best, auc), COVERAGE),
        at_least(f"{what}: starred", stars, POWER),
        all_say(
            f"{what}: the verdict goes with the star",
            "leak, or not",
            ["leak" if leak else "no leak" for leak in leaks],
            [star == leak for star, leak in zip(stars, leaks, strict=True)],
        ),
        all_say(
            f"{what}: the AUC of the power statement",
            f"{smallest:.2f}, give or take 0.01",
            said,
            [found is not None and abs(found - smallest) < ROUNDING for found in said],
        ),
    ]


def asked_checks(done: Sequence[Audited], world: KnownMembers) -> list[Check]:
    """The attacks of this package find members, and none is better than the best there is."""
    return [is_found(f"members: AUC of {name}", all_runs(done, name), world.auc) for name in ASKING]


def strangers_checks(
    done: Sequence[Audited], world: KnownMembers, attack: str | None = None
) -> list[Check]:
    """Where noise drowns them, no more stars are printed than promised."""
    return _nothing_there("members behind noise", done, attack or ASKING[0], world.auc)


def learned_checks(done: Sequence[Audited], world: KnownWorld) -> list[Check]:
    """Attacks that learn from shadows find it, and none is better than the best there is."""
    return [
        is_found(f"larger leak: AUC of {name}", all_runs(done, name), world.auc)
        for name in (CHEAP, STRONG)
    ]


def spread_checks(
    done: Sequence[Audited], world: OptimumWorld, attack: str = STRONG
) -> list[Check]:
    """Where only variances differ, the strong attack has most of what can be had."""
    name = f"a spread that changes: AUC of {attack}"
    return [is_near(name, all_runs(done, attack), all_runs(done, Best.name), HAD)]


def defended_checks(done: Sequence[Audited], world: KnownWorld) -> list[Check]:
    """Noise leaves of the leak what the closed form says: next to nothing."""
    return [is_auc("leak behind noise: AUC of the best test", all_runs(done, BEST), world.auc)]


def null_checks(done: Sequence[Audited], world: KnownWorld, attack: str = CHEAP) -> list[Check]:
    """Where there is no leak, no more stars are printed than promised."""
    return _nothing_there(f"no leak, {world.records} records", done, attack, world.auc)


def _nothing_there(what: str, done: Sequence[Audited], attack: str, auc: float) -> list[Check]:
    return [
        at_most(f"{what}: starred", starred(done, attack), SIGNIFICANT),
        at_most(f"{what}: the verdict says leak", leak_said(done), SIGNIFICANT),
        at_least(f"{what}: intervals hold 0.5", covered(done, attack, auc), COVERAGE),
    ]


def few_checks(done: Sequence[Audited], world: KnownWorld) -> list[Check]:
    """Likewise where pools are small, of single layers too."""
    found = [bool(printed.layers_starred(audited.report)) for audited in done]
    what = f"no leak, {world.records} records"
    return [*null_checks(done, world), at_most(f"{what}: a layer starred", found, SIGNIFICANT)]


def audible_checks(done: Sequence[Audited], world: KnownWorld) -> list[Check]:
    """A leak that is not harmless with the most clients is not called so."""
    found = [printed.harmless(audited.harmless) for audited in done]
    return [at_most(f"AUC of {world.auc:.2f}: called harmless for {HARMLESS}", found, SIGNIFICANT)]


def hushed_checks(done: Sequence[Audited], world: KnownWorld) -> list[Check]:
    """Where there is no leak, enough runs show that."""
    found = [printed.harmless(audited.harmless) for audited in done]
    return [at_least(f"AUC of {world.auc:.2f}: called harmless for {HARMLESS}", found, POWER)]


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
