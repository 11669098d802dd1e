"""How often do the intervals of an audit cover the truth, and how wide are they?

Simulated audits with normal scores: in run i, rounds with the property score d'_i higher, d'_i
normal between runs. Prints coverage and mean width of nominal 95 % intervals of the AUC, by number
of runs, rounds, spread of d' between runs, and true AUC, for

- ``ours``: :func:`privaudit.statistics.intervals.auc_interval`,
- ``bootstrap``: the percentile bootstrap over runs,
- ``t``: Student's t on the logits of the runs' AUCs,

and for ``ours`` in worlds that break its assumptions. Run with
``python benchmarks/statistics_coverage.py [--simulations 200]`` (about ten minutes on one core).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import expit, logit, ndtri
from scipy.stats import bootstrap as scipy_bootstrap
from scipy.stats import t as student_t
from tabulate import tabulate

from privaudit.randomness import Seed
from privaudit.statistics.intervals import auc_interval
from privaudit.statistics.laws import auc_of_d_prime
from privaudit.statistics.runs import RunScores

AUCS = (0.5, 0.65, 0.8, 0.95, 0.995)
Limits = tuple[float, float]
World = Callable[[np.random.Generator], list[RunScores]]
Method = Callable[[list[RunScores], np.random.Generator], Limits]


def ours(runs: list[RunScores], _: np.random.Generator) -> Limits:
    interval = auc_interval(runs)
    return interval.low, interval.high


def bootstrap(runs: list[RunScores], rng: np.random.Generator) -> Limits:
    aucs = [auc_interval([run]).value for run in runs]
    found = scipy_bootstrap((aucs,), np.mean, n_resamples=400, method="percentile", rng=rng)
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def logit_t(runs: list[RunScores], _: np.random.Generator) -> Limits:
    """Student's t with R - 1 degrees of freedom; an AUC of 0 or 1 is moved in by half a pair."""
    aucs = np.array([auc_interval([run]).value for run in runs])
    half_pair = np.array([0.5 / (run.n_present * run.n_absent) for run in runs])
    values = logit(np.clip(aucs, half_pair, 1 - half_pair))
    reach = student_t.ppf(0.975, len(runs) - 1) * values.std(ddof=1) / np.sqrt(len(runs))
    return float(expit(values.mean() - reach)), float(expit(values.mean() + reach))


METHODS: dict[str, Method] = {"ours": ours, "bootstrap": bootstrap, "t": logit_t}


def normal_world(n_runs: int, n_rounds: int, auc: float, between: float) -> World:
    """Runs whose d' is normal; the mean over runs of their true AUC is ``auc``."""
    centre = ndtri(auc) * np.sqrt(2 + between**2)

    def draw(rng: np.random.Generator) -> list[RunScores]:
        return [
            _run(rng, n_rounds, centre + between * rng.standard_normal()) for _ in range(n_runs)
        ]

    return draw


def _run(rng: np.random.Generator, n_rounds: int, d: float, spread: float = 1.0) -> RunScores:
    present = np.arange(n_rounds) % 2 == 0
    noise = rng.standard_normal(n_rounds)
    return RunScores(np.where(present, d + spread * noise, noise), present)


def other_worlds() -> dict[str, tuple[float, World]]:
    """Name -> (true AUC, world): what the model of the intervals does not foresee."""
    d, effect = 1.19, 0.7

    def unequal(rng: np.random.Generator) -> list[RunScores]:
        return [_run(rng, 60, 1.9, spread=2.0) for _ in range(3)]

    def mixed(rng: np.random.Generator) -> list[RunScores]:
        return [_run(rng, 100, 2.0 if rng.random() < 0.75 else 0.0) for _ in range(5)]

    def dependent(rng: np.random.Generator) -> list[RunScores]:
        """Six draws of a slow score shared by ten rounds each: 60 rounds worth twelve."""
        run = [_run(rng, 12, d) for _ in range(5)]
        return [RunScores(np.repeat(r.scores, 5), np.repeat(r.present, 5)) for r in run]

    def by_run(n_runs: int, n_rounds: int) -> World:
        def draw(rng: np.random.Generator) -> list[RunScores]:
            return [
                RunScores(
                    d * (i % 2) + effect * rng.standard_normal() + rng.standard_normal(n_rounds),
                    np.full(n_rounds, i % 2 == 1),
                )
                for i in range(n_runs)
            ]

        return draw

    truth_by_run = auc_of_d_prime(d / np.sqrt(1 + effect**2))
    worlds: dict[str, tuple[float, World]] = {
        "unequal variances, R=3 T=60": (auc_of_d_prime(1.9 * np.sqrt(2 / 5)), unequal),
        "one run in four at chance, R=5 T=100": (0.75 * auc_of_d_prime(2.0) + 0.125, mixed),
        "rounds in blocks of five, R=5 T=60": (auc_of_d_prime(d), dependent),
    }
    for n_runs, n_rounds in ((6, 1), (6, 20), (10, 1), (10, 20), (20, 1), (20, 20)):
        worlds[f"labels on runs, R={n_runs} T={n_rounds}"] = (
            truth_by_run,
            by_run(n_runs, n_rounds),
        )
    return worlds


def coverage(
    world: World, truth: float, method: Method, n_simulations: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Share of intervals that hold the truth, and their mean width."""
    limits = np.array([method(world(rng), rng) for _ in range(n_simulations)])
    inside = (limits[:, 0] <= truth) & (truth <= limits[:, 1])
    return float(inside.mean()), float((limits[:, 1] - limits[:, 0]).mean())


def main_table(n_simulations: int, seed: Seed) -> str:
    rows = []
    for n_runs in (1, 2, 3, 5, 10, 20):
        for n_rounds in (20, 60, 150):
            for between in (0.0, 0.5) if n_runs > 1 else (0.0,):
                for name, method in METHODS.items() if n_runs > 1 else [("ours", ours)]:
                    rng = seed.generator(n_runs, n_rounds, str(between))
                    cells = [
                        "{:.0%} / {:.3f}".format(
                            *coverage(
                                normal_world(n_runs, n_rounds, auc, between),
                                auc,
                                method,
                                n_simulations,
                                rng,
                            )
                        )
                        for auc in AUCS
                    ]
                    rows.append([n_runs, n_rounds, between, name, *cells])
    headers = ["runs", "rounds", "sd of d'", "method", *(f"AUC {auc}" for auc in AUCS)]
    return tabulate(rows, headers=headers, tablefmt="github")


def other_table(n_simulations: int, seed: Seed) -> str:
    rows = [
        [name, f"{truth:.3f}", *coverage(world, truth, ours, n_simulations, seed.generator(name))]
        for name, (truth, world) in other_worlds().items()
    ]
    headers = ["world", "AUC", "coverage", "width"]
    return tabulate(rows, headers=headers, tablefmt="github", floatfmt=".3f")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="coverage and width of the intervals of an audit")
    parser.add_argument("--simulations", type=int, default=200, help="simulated audits per cell")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    seed = Seed(options.seed)
    print(other_table(options.simulations, seed), end="\n\n")
    print(main_table(options.simulations, seed))


if __name__ == "__main__":
    main()
