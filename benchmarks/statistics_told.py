"""How often are stars printed where nothing leaks, and where a leak is as large as power says?

Settings are listed here, before anything runs. Without a leak, records have one number each that
has nothing to do with the property; they are dealt anew for every run, and a round is the mean of a
batch of the target's plus what the other clients add, as three attacks with correlated errors see
it. With one, scores are normal. Told is decided by the pool test and Benjamini-Hochberg as in
:mod:`privaudit.statistics.told`; the permutation test, which can only take stars away, is left out
but for audits that go through real federations (``--federations``, ``--rotation``).

Run with ``python benchmarks/statistics_told.py [--audits 1000] [--federations 40]``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import sqrt

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import binomtest, false_discovery_control, rankdata
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import Ridge
from tabulate import tabulate

from privaudit.attack.registry import load_attack
from privaudit.data.dataset import Dataset
from privaudit.data.files import sha256_of_arrays
from privaudit.engine.process import tune_process
from privaudit.randomness import Seed
from privaudit.scenario.schema import Scenario
from privaudit.selftest.audits import audit, audits
from privaudit.selftest.world import PROPERTY, KnownWorld, LikelihoodRatio
from privaudit.statistics.intervals import auc_interval
from privaudit.statistics.pools import Holdings
from privaudit.statistics.runs import RunScores, Unit
from privaudit.statistics.told import SIGNIFICANT, SPREAD, Design, smallest_told

BATCH, ROUNDS, ATTACKS, ALIKE = 32, 40, 3, 0.8
HELD, CLIENTS, RUNS = (110, 300, 1000, 4000), (2, 5, 17), (3, 10)
GROUPS, ICC, PER_GROUP = (5, 10, 20), 0.1, 40
"""Writers of each kind that a target holds; what of a record's variance they explain, if known."""
POWER_SETTINGS = tuple(
    product(
        (3, 5, 10), (40, 100), ((0, 0), (0.1, 0.2), (0.38, 0.2), (0.57, 0.2), (0.91, 0.5)), (1, 18)
    )
)
ROTATION = (0.5, 0.65, 0.75)
"""True AUCs."""
FEDERATIONS = ((2, 110, 3), (5, 110, 3), (2, 300, 3))
"""K, records of each kind, runs: through the real stages."""
GROUPED = tuple(product((2, 5), GROUPS))
"""K, writers of each kind that a client holds on average, dealt whole; 3 runs, through the real
stages with :data:`GROUP_ATTACKS` in one table."""
GROUP_ATTACKS, GROUP_ICC = ("linear", "melis-rf", "magnitude-stack"), 0.2


def mean_aucs(scores: np.ndarray, n: int) -> np.ndarray:
    """[..., R] AUCs of the first ``n`` scores against the others of each run."""
    m = scores.shape[-1] - n
    sums = rankdata(scores, axis=-1)[..., :n].sum(axis=-1)
    return np.asarray((sums - n * (n + 1) / 2) / (n * m))


def told(p_values: np.ndarray) -> np.ndarray:
    """[S, m] which cells of S tables are."""
    return np.asarray(false_discovery_control(p_values, axis=1) < SIGNIFICANT)


def record_values(rng: np.random.Generator, size: int, per_group: int, icc: float) -> np.ndarray:
    """One number a record, of which its group explains the share ``icc``."""
    own = rng.standard_normal(size)
    if not per_group:
        return own
    shared = np.repeat(rng.standard_normal(-(-size // per_group)), per_group)[:size]
    return np.asarray(sqrt(icc) * shared + sqrt(1 - icc) * own)


def null_audit(
    rng: np.random.Generator, clients: int, held: int, runs: int, per_group: int
) -> tuple[np.ndarray, Design]:
    """[attacks, R, T] scores of one audit, and what its test knows."""
    everything = [record_values(rng, clients * held, per_group, ICC) for _ in range(2)]
    unit = max(per_group, 1)
    scores, taken = np.empty((runs, ROUNDS)), []
    others = clients - 2
    for run in range(runs):
        pools = [
            rng.choice(clients * held // unit, held // unit, replace=False)[:, None] * unit
            + np.arange(unit)
            for _ in range(2)
        ]
        taken.append(
            [np.bincount(p[:, 0] // unit, minlength=clients * held // unit) for p in pools]
        )
        for label, pool in enumerate(pools):
            mine = everything[label][pool.ravel()]
            half = slice(label * ROUNDS // 2, (label + 1) * ROUNDS // 2)
            batches = [rng.choice(held, BATCH, replace=False) for _ in range(ROUNDS // 2)]
            scores[run, half] = mine[np.array(batches)].mean(axis=1)
    within = 1 / BATCH - 1 / held
    scores += sqrt(others * within) * rng.standard_normal(scores.shape)
    flat = np.array(taken, np.float32).reshape(runs, -1)
    shared = flat @ flat.T / (2 * held // unit)
    overlap = float((shared.sum() - runs) / (runs * (runs - 1)))
    number = held // unit
    holdings = Holdings(
        held, held, BATCH, others=others, other_records=held if others else 0.0,
        groups=(number, number) if per_group else None,
        group_weight=2 / number if per_group else None, icc=ICC if per_group else 0.0,
    )  # fmt: skip
    half_rounds = (ROUNDS // 2,) * runs
    # What an attack adds to the best statistic: its own errors, which here leave ALIKE of it.
    error = sqrt((1 / ALIKE - 1) * within * (1 + others))
    seen = scores + error * rng.standard_normal((ATTACKS, *scores.shape))
    return seen, Design(Unit.ROUND, half_rounds, half_rounds, holdings.tau, overlap)


def null_row(
    rng: np.random.Generator, setting: tuple[int, int, int, int], count: int
) -> tuple[int, int, int]:
    """Of ``count`` audits: with a star, with a star by permutation alone; intervals without 0.5.

    The intervals are those of the first cell of every other audit, as they take the most time.
    """
    clients, held, runs, per_group = setting
    starred = blind = missed = 0
    present = np.arange(ROUNDS) >= ROUNDS // 2
    for number in range(count):
        scores, design = null_audit(rng, clients, held, runs, per_group)
        aucs = mean_aucs(scores[..., ::-1], ROUNDS // 2).mean(axis=1)
        exchangeable = Design(Unit.ROUND, design.n_present, design.n_absent)
        starred += bool(told(ndtr((0.5 - aucs) / design.null_error)[None]).any())
        blind += bool(told(ndtr((0.5 - aucs) / exchangeable.null_error)[None]).any())
        if number % 2 == 0:
            cell = [RunScores(run, present) for run in scores[0]]
            limits = auc_interval(cell, tau=design.tau or 0.0, overlap=design.overlap)
            missed += not limits.low <= 0.5 <= limits.high
    return starred, blind, missed


def null_table(count: int, seed: Seed) -> str:
    of_records = [(k, n, r, 0) for k, n, r in product(CLIENTS, HELD, RUNS)]
    of_groups = [(k, g * PER_GROUP, r, PER_GROUP) for k, g, r in product(CLIENTS, GROUPS, RUNS)]
    rows, found = [], []
    for setting in [*of_records, *of_groups]:
        counts = null_row(seed.generator("null", *setting), setting, count)
        found.append(counts)
        clients, held, runs, per_group = setting
        unit = f"{held // per_group} groups" if per_group else "records"
        shares = [counts[0] / count, counts[1] / count, 1 - counts[2] / (count // 2)]
        p = binomtest(counts[0], count, 0.07, alternative="greater").pvalue
        low = binomtest(counts[2], count // 2, 0.07, alternative="greater").pvalue
        rows.append([clients, held, unit, runs, *shares, p, low])
        print(*rows[-1], flush=True)
    stars, blind, missed = np.sum(found, axis=0) / (count * len(found))
    worst, least = (min(1.0, min(row[i] for row in rows) * len(rows)) for i in (-2, -1))
    heads = ["K", "of each kind", "unit", "runs", "starred", "by permutation", "holds .5"]
    table = tabulate([row[:-2] for row in rows], headers=heads, tablefmt="github", floatfmt=".3f")
    return (
        f"{table}\n\n{count} audits of {ATTACKS} cells each, {count // 2} intervals. Pooled: "
        f"starred {stars:.4f}, by permutation alone {blind:.4f}, intervals hold 0.5 "
        f"{1 - 2 * missed:.4f}. Smallest p of a setting, times {len(rows)} (Holm): "
        f"starred above 7 % {worst:.2f}, intervals below 93 % {least:.2f}."
    )


def simulated(
    rng: np.random.Generator, design: Design, auc: float, count: int, spread: float
) -> np.ndarray:
    """[count] mean AUCs of normal scores about a true one."""
    runs, n, tau = len(design.n_present), design.n_present[0], design.tau or 0.0
    common = sqrt(design.overlap) * rng.standard_normal((count, 1))
    d = tau * (common + sqrt(1 - design.overlap) * rng.standard_normal((count, runs)))
    d += spread * rng.standard_normal((count, runs)) + ndtri(auc) * sqrt(2 + tau**2 + spread**2)
    scores = rng.standard_normal((count, runs, 2 * n))
    scores[..., :n] += d[..., None]
    return np.asarray(mean_aucs(scores, n).mean(axis=1))


def power_share(
    rng: np.random.Generator, design: Design, auc: float, cells: int, count: int
) -> float:
    """Of ``count`` tables with one leaking cell of this AUC: where it is told."""
    p_values = rng.random((count, cells))
    found = simulated(rng, design, auc, count, SPREAD)
    p_values[:, 0] = ndtr((0.5 - found) / design.null_error)
    return float(told(p_values)[:, 0].mean())


def power_table(count: int, seed: Seed) -> str:
    rows, off = [], []
    for runs, rounds, (tau, overlap), cells in POWER_SETTINGS:
        half = (rounds // 2,) * runs
        design = Design(Unit.ROUND, half, half, tau, overlap)
        auc = smallest_told(design, cells=cells)
        row = [runs, rounds, tau, overlap, cells]
        if auc is None:
            rows.append([*row, "none", "–"])
            continue
        rng = seed.generator("power", *(str(value) for value in row))
        share = power_share(rng, design, auc, cells, count)
        off.append(share - 0.8)
        rows.append([*row, f"{auc:.3f}", f"{share:.3f}"])
    heads = ["runs", "rounds", "tau", "overlap", "cells", "stated AUC", "starred"]
    return (
        tabulate(rows, headers=heads, tablefmt="github")
        + f"\n\n{count} audits each, one cell leaking. {len(off)} settings with a statement: share "
        f"starred minus 80 %: mean {np.mean(off):+.3f}, from {min(off):+.3f} to {max(off):+.3f}."
    )


def price_of_validity(count: int, seed: Seed) -> str:
    """K = 5, R = 3, T = 40, 1,000 records of each kind, AUC .75: what allowing for pools costs."""
    half, held = (20,) * 3, Holdings(1000, 1000, BATCH, others=3, other_records=1000)
    blind, allowed = (Design(Unit.ROUND, half, half, tau, 0.2) for tau in (0.0, held.tau))
    found = simulated(seed.generator("price"), allowed, 0.75, count, 0.0)
    lines = []
    for cells in (1, 18):
        shares = [
            float(np.mean(ndtr((0.5 - found) / design.null_error) < SIGNIFICANT / cells))
            for design in (blind, allowed)
        ]
        lines.append(f"{cells} cells: {shares[0]:.3f} -> {shares[1]:.3f}")
    return f"Power at AUC .75, rounds exchangeable -> pool test: {'; '.join(lines)}."


def federations(count: int, seed: Seed, workers: int) -> str:
    attack = load_attack("linear")
    rows = []
    for clients, held, runs in FEDERATIONS:
        world = KnownWorld(
            f"null-{clients}-{held}",
            runs=runs,
            rounds=ROUNDS,
            participants=clients,
            batch=BATCH,
            records=2 * held,
        )
        cells = [
            a.cells[attack.name] for a in audits(world, count, [attack], seed, workers=workers)
        ]
        starred = np.mean([c.told for c in cells])
        alone = np.mean([(c.permutation_p or 1) < SIGNIFICANT for c in cells])
        inside = np.mean([c.auc is not None and c.auc.low <= 0.5 <= c.auc.high for c in cells])
        rows.append([clients, held, runs, starred, alone, inside])
    heads = ["K", "of each kind", "runs", "starred", "by permutation", "holds .5"]
    table = tabulate(rows, headers=heads, tablefmt="github", floatfmt=".3f")
    return f"{table}\n\n{count} audits each through real federations, attack `linear`."


@dataclass(frozen=True)
class WritersWorld(KnownWorld):
    """A world without a leak whose property belongs to writers, each with a mean of its own."""

    writers: int = 10

    def scenario(self, seed: Seed, attacks: list[str]) -> Scenario:
        """Writers are dealt whole."""
        made = super().scenario(seed, attacks)
        federation = made.federation.model_copy(update={"partition": "by-group"})
        return made.model_copy(update={"federation": federation})

    def dataset(self, seed: Seed) -> Dataset:
        """Half of the writers have the property; one more of each kind for the test set."""
        rng = seed.generator("records")
        count = 2 * (self.participants * self.writers + 1)
        group = np.repeat(np.arange(count), PER_GROUP)
        means = rng.standard_normal((count, self.features))
        own = rng.standard_normal((len(group), self.features))
        values = sqrt(GROUP_ICC) * means[group] + sqrt(1 - GROUP_ICC) * own
        sign = rng.choice(np.array([-1, 1], dtype=np.int64), len(group))
        inputs = (values * sign[:, None]).astype(np.float32)
        secret = (group % 2).astype(np.int8)
        return Dataset(
            name="writers",
            kind="table",
            inputs=inputs,
            labels=(sign > 0).astype(np.int64),
            class_names=("minus", "plus"),
            properties={PROPERTY: secret},
            groups=group,
            group_kind="writer",
            checksum=sha256_of_arrays(inputs, secret),
        )


def writers(count: int, seed: Seed) -> str:
    """Stars and coverage with the closed form for groups, also of attacks that are not linear."""
    attacks = [load_attack(name) for name in GROUP_ATTACKS]
    worlds = [
        WritersWorld(
            f"writers-{clients}-{number}",
            runs=3,
            rounds=ROUNDS,
            participants=clients,
            batch=BATCH,
            writers=number,
        )
        for clients, number in GROUPED
    ]
    found: dict[str, list[list[float]]] = {world.name: [] for world in worlds}
    for number in range(count):
        for world in worlds:
            cells = audit(world, seed.child(world.name, number), attacks).cells
            row = [float(any(cell.told for cell in cells.values()))]
            row.append(float(min(cell.permutation_p or 1 for cell in cells.values()) < 0.05 / 3))
            for name in GROUP_ATTACKS:
                cell = cells[name]
                row.append(float((cell.p_value or 1.0) < SIGNIFICANT))
                row.append(float(cell.auc is not None and cell.auc.low <= 0.5 <= cell.auc.high))
            found[world.name].append(row)
            print(world.name, number, *row, flush=True)
    rows = [[name, len(rows), *np.mean(rows, axis=0)] for name, rows in found.items()]
    rows.append(["all", count * len(worlds), *np.mean([row[2:] for row in rows], axis=0)])
    heads = [f"{name}: {what}" for name in GROUP_ATTACKS for what in ("p < .05", "holds .5")]
    return tabulate(
        rows,
        headers=["K, writers", "audits", "starred", "by permutation", *heads],
        tablefmt="github",
        floatfmt=".3f",
    )


def learned_scores(
    rng: np.random.Generator, own: np.ndarray, label: np.ndarray, seen: np.ndarray
) -> list[np.ndarray]:
    """[T] scores of a linear, a magnitude and a forest attack that learned from own aggregates."""
    trees = ExtraTreesClassifier(12, min_samples_leaf=5, random_state=int(rng.integers(2**31)))
    found = []
    for change in (np.asarray, lambda x: np.abs(x) ** 0.05):
        examples, rounds = change(own), change(seen)
        centre = examples.mean(axis=0)
        weights = Ridge(alpha=len(own) / 10).fit(examples - centre, label - 0.5).coef_
        found.append((rounds - centre) @ weights)
    return [*found, trees.fit(own, label).predict_proba(seen)[:, 1]]


def writers_audit(rng: np.random.Generator, clients: int, number: int) -> bool:
    """Whether one simulated audit without a leak, of writers and learned attacks, has a star."""
    features, runs, held = 8, 3, number * PER_GROUP
    shape = (2, clients * number, PER_GROUP, features)
    records = sqrt(1 - GROUP_ICC) * rng.standard_normal(shape)
    records += sqrt(GROUP_ICC) * rng.standard_normal((2, clients * number, 1, features))
    aucs, taken = np.empty((ATTACKS, runs)), np.zeros((runs, 2, clients * number))
    noise = sqrt((clients - 2) * (1 / BATCH - 1 / held))
    for run in range(runs):
        dealt = [rng.permutation(clients * number) for _ in range(2)]
        taken[run, [[0], [1]], [part[:number] for part in dealt]] = 1

        def batches(start: int, count: int, dealt: list[np.ndarray] = dealt) -> np.ndarray:
            """[2 count, F] aggregates of one client's batches, first those without the property."""
            parts = []
            for kind, part in enumerate(dealt):
                pool = records[kind, part[start : start + number]].reshape(held, features)
                drawn = [pool[rng.choice(held, BATCH, replace=False)] for _ in range(count)]
                parts.append(np.mean(drawn, axis=1))
            made = np.concatenate(parts)
            return np.asarray(made + noise * rng.standard_normal(made.shape))

        own = batches(number, 80)
        scores = learned_scores(rng, own, np.repeat([0, 1], 80), batches(0, ROUNDS // 2))
        aucs[:, run] = [float(mean_aucs(-s, ROUNDS // 2)) for s in scores]
    flat = taken.reshape(runs, -1)
    shared = flat @ flat.T / (2 * number)
    others = clients - 2
    holdings = Holdings(
        held, held, BATCH, others=others, other_records=held if others else 0.0,
        groups=(number, number), group_weight=2 / number, icc=GROUP_ICC,
    )  # fmt: skip
    half = (ROUNDS // 2,) * runs
    overlap = float((shared.sum() - runs) / (runs * (runs - 1)))
    design = Design(Unit.ROUND, half, half, holdings.tau, overlap)
    return bool(told(ndtr((0.5 - aucs.mean(axis=1)) / design.null_error)[None]).any())


def learned(count: int, seed: Seed) -> str:
    """Stars where attacks learn, two of three far from linear, and tau is the closed form."""
    rows = []
    for clients, number in GROUPED:
        rng = seed.generator("learned", clients, number)
        starred = sum(writers_audit(rng, clients, number) for _ in range(count))
        p = binomtest(starred, count, 0.07, alternative="greater").pvalue
        rows.append([clients, number, starred / count, p])
        print(*rows[-1], flush=True)
    return (
        tabulate(rows, headers=["K", "writers", "starred", "p > 7 %"], tablefmt="github")
        + f"\n\n{count} audits each; pooled {np.mean([row[2] for row in rows]):.4f}."
    )


def rotation_power(count: int, seed: Seed) -> str:
    """The same in simulated scores: share starred of one cell, 3 runs of 40 rounds, K = 5."""
    held = Holdings(110, 110, BATCH, others=3, other_records=110)
    one = Design(Unit.ROUND, (20,) * 3, (20,) * 3, held.tau, 0.2)
    # Targets of a run share no records, those of two runs a fifth: 8 of 11 others.
    four = Design(Unit.ROUND, (5,) * 12, (5,) * 12, held.tau, 0.2 * 8 / 11, targets=4)
    rows = []
    for auc in (0.5, 0.6, 0.65, 0.7, 0.75):
        rngs = (seed.generator("rotation", str(auc), name) for name in ("one", "four"))
        found = [
            simulated(rng, d, auc, count, 0.0) for rng, d in zip(rngs, (one, four), strict=True)
        ]
        told_ = [
            float(np.mean(ndtr((0.5 - aucs) / d.null_error) < SIGNIFICANT))
            for aucs, d in zip(found, (one, four), strict=True)
        ]
        rows.append([auc, *told_])
    table = tabulate(rows, headers=["AUC", "one target", "four"], tablefmt="github")
    return (
        f"Share starred, 110 records of each kind (tau {held.tau:.2f}), {count} audits:\n\n{table}"
    )


def rotation(count: int, seed: Seed, workers: int) -> str:
    """Real federations, K = 5, 110 records of each kind, 3 runs of 40: one target, or four in turn.

    The attack is the likelihood ratio, so that nothing else differs.
    """
    rows = []
    for auc in ROTATION:
        shift = sqrt(2) * float(ndtri(auc)) * sqrt(4 / BATCH)
        for rotate in (False, True):
            world = KnownWorld(
                f"rotate-{100 * auc:.0f}", shift=shift, runs=3, rounds=ROUNDS, participants=5,
                batch=BATCH, shadows=2, records=220, rotate=rotate,
            )  # fmt: skip
            found = list(audits(world, count, [LikelihoodRatio], seed, workers=workers))
            assert not any(audit.failure for audit in found), found[0].failure
            cells = [audit.cells[LikelihoodRatio.name] for audit in found]
            aucs = [cell.auc.value for cell in cells if cell.auc is not None]
            inside = [c.auc.low <= auc <= c.auc.high for c in cells if c.auc is not None]
            designs = [cell.design for cell in cells if cell.design is not None]
            rows.append(
                [
                    auc,
                    "four" if rotate else "one",
                    np.mean([cell.told for cell in cells]),
                    np.mean(aucs),
                    np.std(aucs),
                    np.mean([design.null_error for design in designs]),
                    np.mean(inside),
                ]
            )
    heads = ["AUC", "targets", "starred", "mean AUC", "its sd", "stated sd (blind)", "holds it"]
    table = tabulate(rows, headers=heads, tablefmt="github", floatfmt=".3f")
    return f"{table}\n\n{count} audits each through real federations, likelihood ratio."


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="stars where nothing leaks, and where something does"
    )
    parser.add_argument("--audits", type=int, default=1000, help="simulated audits per setting")
    parser.add_argument("--federations", type=int, default=0, help="real ones per setting")
    parser.add_argument("--learned", type=int, default=0, help="simulated, of attacks that learn")
    parser.add_argument("--writers", type=int, default=0, help="real ones per setting of groups")
    parser.add_argument("--rotation", type=int, default=0, help="one target, or several in turn")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    seed = Seed(options.seed)
    if options.learned:
        print(learned(options.learned, seed))
    if options.writers:
        tune_process()
        print(writers(options.writers, seed))
    if options.rotation:
        print(rotation(options.rotation, seed.child("rotation"), options.workers))
    if not options.audits:
        return
    print(price_of_validity(20 * options.audits, seed), end="\n\n")
    print(rotation_power(4 * options.audits, seed), end="\n\n")
    print(power_table(2 * options.audits, seed), end="\n\n")
    print(null_table(options.audits, seed), end="\n\n")
    if options.federations:
        print(federations(options.federations, seed, options.workers))


if __name__ == "__main__":
    main()
