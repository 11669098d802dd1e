"""Are the sentences of a dilution report true, and the TPR at a fixed FPR beside them?

Simulated audits with normal scores whose truth is known. Everything that is tried is listed in the
constants below; nothing was left out afterwards. Prints

- ``harmless``: how often "harmless for 0.6" is claimed at a true AUC of 0.33 to 0.67;
- ``pools``: the same where the target's finite pools move the AUC of all runs, partly alike;
- ``states``: the same of federations in both states, one score each or several;
- ``curves``: for whole curves of three numbers of clients with one that is not harmless;
- ``needed``: how often it is shown where the attack is blind, with as many runs as the report says
  are needed;
- ``order``: how often two equal attacks are ordered, and two unequal ones;
- ``tpr``: TPR at a fixed FPR of a blind guess, with and without ties, and how often its 95 %
  interval covers.

Run with ``python benchmarks/statistics_dilution.py [--simulations 2000] [--part harmless]`` (about
twenty minutes on one core).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import product

import numpy as np
from scipy.special import ndtr, ndtri
from tabulate import tabulate

from privaudit.randomness import Seed
from privaudit.statistics.dilution import DilutionPoint
from privaudit.statistics.harmless import Finding, finding, harmless_from, runs_needed
from privaudit.statistics.intervals import tpr_at_fpr_interval
from privaudit.statistics.paired import Pair, auc_difference
from privaudit.statistics.roc import mean_auc, tpr_at_fpr
from privaudit.statistics.runs import RunScores

THRESHOLD = 0.6
AUCS = (0.33, 0.4, 0.6, 0.67)
ROUNDS_LABELLED = ((3, 100, 0.0), (10, 40, 0.0), (10, 100, 0.2), (20, 40, 0.4))
"""(runs, rounds, standard deviation of d' between runs)."""

POOLS = (
    (10, 40, 0.0, 0.22, 0.06),
    (10, 100, 0.2, 0.22, 0.06),
    (20, 40, 0.0, 0.22, 0.06),
    (20, 100, 0.2, 0.3, 0.2),
    (10, 100, 0.0, 0.45, 0.2),
    (10, 100, 0.0, 0.91, 0.5),
    (20, 100, 0.0, 0.1, 0.5),
)
"""(runs, rounds, standard deviation of d' between runs, tau, overlap), as of 110 records of each
kind at K = 17, 5 and 2 and of thousands at K = 2; the true AUC is that without pools."""

RUNS_LABELLED = (12, 120, 320)
STATES = tuple(
    (federations, rounds, correlation)
    for federations, rounds in ((12, 1), (24, 1), (24, 5), (60, 1))
    for correlation in (0.0, 0.5, 0.8, 0.9, 0.98)
)
"""(federations in both states, rounds, correlation of the two states' scores)."""
CURVES = ((0.9, 0.75, 0.6), (0.9, 0.6, 0.5), (0.5, 0.4, 0.5))
"""True AUCs at 1, 4 and 16 honest clients; "harmless" at or below the last 0.6 or 0.4 is wrong."""

NEEDED = ((40, 0.0), (40, 0.2), (40, 0.4), (100, 0.0), (100, 0.2), (100, 0.4), (None, 0.0))
"""(rounds, spread of d'); None: labels on runs."""

ORDER = ((2, True), (3, True), (5, True), (10, True), (12, False), (24, False))
"""(runs, labels on rounds); run effects of d' with deviation 0.3, half of the noise shared."""

TPR = ((20, 0.1), (20, 0.05), (30, 0.1), (100, 0.1), (100, 0.01), (1000, 0.01))
"""(absent rounds a run, FPR); as many present; three runs."""

LEVELS = (None, 40, 5)
"""Distinct scores; None: no ties."""

Row = list[str | float | int]


def runs_of(
    rng: np.random.Generator,
    auc: float,
    runs: int,
    rounds: int,
    spread: float,
    tau: float = 0.0,
    overlap: float = 0.0,
) -> list[RunScores]:
    """Labels on rounds; the mean over runs of their true AUC is ``auc``, but for pools."""
    present = np.arange(rounds) % 2 == 0
    centre = ndtri(auc) * np.sqrt(2 + spread**2)
    if tau:
        centre += tau * np.sqrt(overlap) * rng.standard_normal()
        spread = float(np.hypot(spread, tau * np.sqrt(1 - overlap)))
    return [
        RunScores(
            rng.standard_normal(rounds) + present * (centre + spread * rng.standard_normal()),
            present,
        )
        for _ in range(runs)
    ]


def whole_runs_of(rng: np.random.Generator, auc: float, runs: int) -> list[RunScores]:
    """Labels on runs, one score each."""
    d = np.sqrt(2) * ndtri(auc)
    return [
        RunScores(rng.standard_normal(1) + d * (run % 2), np.array([run % 2 == 1]))
        for run in range(runs)
    ]


def states_of(
    rng: np.random.Generator, auc: float, federations: int, rounds: int, correlation: float
) -> list[RunScores]:
    """Labels on runs. What is not of the federation is half its state's and half a round's."""
    made = []
    for pair in range(federations):
        common = np.sqrt(correlation) * rng.standard_normal()
        for present in (False, True):
            own, each = rng.standard_normal(), rng.standard_normal(rounds)
            scores = common + np.sqrt((1 - correlation) / 2) * (own + each)
            scores += present * np.sqrt(2) * ndtri(auc)
            made.append(RunScores(scores, np.full(rounds, present), pair=pair))
    return made


def claimed(runs: list[RunScores], tau: float = 0.0, overlap: float = 0.0) -> bool:
    """Whether "harmless" is; limits lie so far from the mean that many need not be computed.

    At least 0.7 times as far as the normal ones of the rounds alone.
    """
    error = 0.0
    if runs[0].n_present and runs[0].n_absent:
        sizes = [(run.n_present, run.n_absent) for run in runs]
        error = np.sqrt(np.sum([(n + m + 1) / (12 * n * m) for n, m in sizes])) / len(runs)
    if abs(mean_auc(runs) - 0.5) + 0.7 * 1.645 * error >= THRESHOLD - 0.5:
        return False
    point = DilutionPoint(1, tuple(runs), tau=tau, overlap=overlap)
    return finding(point, THRESHOLD) is Finding.HARMLESS


def share(hits: int, n: int) -> str:
    """A share with its upper 95 % limit (Wilson)."""
    p, z = hits / n, 1.645
    top = p + z**2 / (2 * n) + z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return f"{100 * p:.1f} (<= {100 * top / (1 + z**2 / n):.1f})"


def harmless(n: int, seed: Seed) -> Iterator[Row]:
    yield ["unit", "runs", "rounds", "sd of d'", *(f"AUC {auc:g}" for auc in AUCS)]
    for runs, rounds, spread in ROUNDS_LABELLED:
        rng = seed.generator("rounds", runs, rounds, str(spread))
        found = [
            sum(claimed(runs_of(rng, auc, runs, rounds, spread)) for _ in range(n)) for auc in AUCS
        ]
        yield ["round", runs, rounds, spread, *(share(hits, n) for hits in found)]
    for runs in RUNS_LABELLED:
        rng = seed.generator("runs", runs)
        found = [sum(claimed(whole_runs_of(rng, auc, runs)) for _ in range(n)) for auc in AUCS]
        yield ["run", runs, 1, 0.0, *(share(hits, n) for hits in found)]


def pools(n: int, seed: Seed) -> Iterator[Row]:
    yield ["runs", "rounds", "sd of d'", "tau", "overlap", *(f"AUC {auc:g}" for auc in AUCS)]
    for setting in POOLS:
        rng = seed.generator(*(str(part) for part in setting))
        found = [
            sum(claimed(runs_of(rng, auc, *setting), *setting[3:]) for _ in range(n))
            for auc in AUCS
        ]
        yield [*setting, *(share(hits, n) for hits in found)]


def states(n: int, seed: Seed) -> Iterator[Row]:
    yield ["federations", "rounds", "correlation", *(f"AUC {auc:g}" for auc in (*AUCS, 0.5))]
    for setting in STATES:
        rng = seed.generator(*(str(part) for part in setting))
        found = [sum(claimed(states_of(rng, auc, *setting)) for _ in range(n)) for auc in AUCS]
        shown = sum(claimed(states_of(rng, 0.5, *setting)) for _ in range(n))
        yield [*setting, *(share(hits, n) for hits in (*found, shown))]


def curves(n: int, seed: Seed) -> Iterator[Row]:
    yield ["AUC at 1, 4, 16", "runs", "wrongly harmless (%)", "rightly from the last (%)"]
    for truth in CURVES:
        rng = seed.generator("curves", str(truth))
        last = max(i for i, auc in enumerate(truth) if auc in (0.6, 0.4))
        wrong = right = 0
        for _ in range(n):
            points = [
                DilutionPoint(honest, tuple(runs_of(rng, auc, 20, 40, 0.0)))
                for honest, auc in zip((1, 4, 16), truth, strict=True)
            ]
            measured = harmless_from(points, threshold=THRESHOLD).measured
            wrong += measured is not None and measured <= (1, 4, 16)[last]
            right += measured is not None and measured > (1, 4, 16)[last]
        yield [str(truth), 20, share(wrong, n), share(right, n)]


def needed(n: int, seed: Seed) -> Iterator[Row]:
    yield ["rounds", "sd of d'", "runs said to be needed for 80 %", "shown (%)"]
    for rounds, spread in NEEDED:
        rng = seed.generator("needed", str(rounds), str(spread))
        if rounds is None:
            runs = runs_needed(whole_runs_of(rng, 0.5, 4), THRESHOLD)
        else:
            three = runs_of(rng, 0.5, 3, rounds, 0.0)
            runs = runs_needed(three, THRESHOLD, spread=spread / np.sqrt(2))
        assert runs is not None
        shown = 0
        for _ in range(n):
            made = (
                whole_runs_of(rng, 0.5, runs)
                if rounds is None
                else runs_of(rng, 0.5, runs, rounds, spread)
            )
            shown += claimed(made)
        yield [rounds or "labels on runs", spread, runs, share(shown, n)]


def order(n: int, seed: Seed) -> Iterator[Row]:
    yield ["unit", "runs", "equal attacks ordered (%)", "a gap of .5 in d' ordered rightly (%)"]
    for runs, of_rounds in ORDER:
        rng = seed.generator("order", runs, str(of_rounds))
        equal = [auc_difference(two_attacks(rng, runs, of_rounds, 0.0)) for _ in range(n)]
        apart = [auc_difference(two_attacks(rng, runs, of_rounds, 0.5)) for _ in range(n)]
        yield [
            "round" if of_rounds else "run",
            runs,
            share(sum(d is not None and d.ordered for d in equal), n),
            share(sum(d is not None and d.low > 0 for d in apart), n),
        ]


def two_attacks(
    rng: np.random.Generator, runs: int, of_rounds: bool, gap: float
) -> list[list[Pair]]:
    """At three numbers of clients, a run's effect on an attack being the same at all of them."""
    effects = 0.3 * rng.standard_normal((runs, 2))

    def pair(run: int) -> Pair:
        if of_rounds:
            present, d = np.arange(40) % 2 == 0, 1.0
        else:  # ten rounds added up
            present, d = np.full(10, run % 2 == 0), 0.3
        common = rng.standard_normal(len(present))
        made = [
            np.sqrt(0.5) * (common + rng.standard_normal(len(present)))
            + present * (d + extra + effect)
            for extra, effect in zip((gap, 0.0), effects[run], strict=True)
        ]
        return RunScores(made[0], present), RunScores(made[1], present)

    return [[pair(run) for run in range(runs)] for _ in range(3)]


def tpr(n: int, seed: Seed) -> Iterator[Row]:
    yield ["absent", "FPR", "levels", "blind: mean TPR", "bias", "AUC .8: 95 % intervals cover (%)"]
    d = np.sqrt(2) * ndtri(0.8)
    for (absent, fpr), levels in product(TPR, LEVELS):
        rng = seed.generator("tpr", absent, str(fpr), str(levels))
        present = np.arange(2 * absent) % 2 == 0
        null = []
        for _ in range(n):
            found = tpr_at_fpr(binned(rng.standard_normal(2 * absent), levels), present, fpr)
            if found is not None:
                null.append(found)
        truth, covered, tried = expected_tpr(d, fpr, levels), 0, n // 4
        for _ in range(tried):
            runs = [
                RunScores(binned(rng.standard_normal(2 * absent) + d * present, levels), present)
                for _ in range(3)
            ]
            interval = tpr_at_fpr_interval(runs, fpr)
            covered += interval is not None and interval.low <= truth <= interval.high
        mean = float(np.mean(null))
        yield [
            absent,
            fpr,
            levels or "all",
            f"{mean:.4f}",
            f"{mean - fpr:+.4f}",
            f"{100 * covered / tried:.1f} of {tried}",
        ]


def binned(scores: np.ndarray, levels: int | None) -> np.ndarray:
    """Scores with that many values, equally likely of a blind guess."""
    return scores if levels is None else np.floor(ndtr(scores) * levels)


def expected_tpr(d: float, fpr: float, levels: int | None) -> float:
    """Where the true false positive rate is ``fpr``, straight between the levels' points."""
    if levels is None:
        return float(ndtr(d + ndtri(fpr)))
    rates = np.arange(levels + 1) / levels
    return float(np.interp(fpr, rates, ndtr(d + ndtri(rates))))


PARTS = {
    "harmless": harmless,
    "pools": pools,
    "states": states,
    "curves": curves,
    "needed": needed,
    "order": order,
    "tpr": tpr,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--part", choices=PARTS, action="append")
    given = parser.parse_args()
    for name in given.part or PARTS:
        heads, *rows = PARTS[name](given.simulations, Seed(given.seed).child(name))
        print(f"\n{name}, {given.simulations} simulations each; in brackets upper 95 % limits\n")
        print(tabulate(rows, headers=[str(h) for h in heads], tablefmt="github"), flush=True)


if __name__ == "__main__":
    main()
