"""The attacks beside the best that anybody could do, on the very rounds that they attack.

    python benchmarks/attacks/oracle.py --seeds 3
    python benchmarks/attacks/oracle.py --changes variance --participants 5 --records 12000

The worlds are those of :mod:`privaudit.selftest.optima`: the property shifts a mean, changes a
spread, or mixes records differently; the model is linear or has one hidden layer. ``optimum`` is
the likelihood ratio of who knows both distributions; ``optimum-of-own`` the same with moments (or
frequencies) of the adversary's own records instead. Of every attack the AUC, and in brackets its d'
in units of the optimum's: what it has of what can be had. A gap is said to be that of the own
records where the attack has as much of the second optimum as is wanted of the first.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import replace

import numpy as np
from tabulate import tabulate

from privaudit.attack.registry import load_attack
from privaudit.engine.process import tune_process
from privaudit.randomness import Seed
from privaudit.selftest.audits import audit
from privaudit.selftest.optima import Best, OptimumWorld, PlugIn, best_in
from privaudit.statistics.laws import d_prime
from privaudit.statistics.roc import auc

SIZES = {"mean": 0.6, "variance": 3.0, "mixture": 0.6}
"""Of what the property changes."""

WANTED = {"mean": 0.93, "variance": 0.85}
"""Share of the optimum's d' that an attack should have."""

TOLD, NEAR = 0.65, 0.03
"""An optimum below this AUC, or of a mixture, is compared by AUC: no farther off than that."""


def areas(world: OptimumWorld, names: list[str], seeds: range) -> dict[str, list[float]]:
    """AUC of both optima and of each attack, a federation per seed."""
    found: dict[str, list[float]] = defaultdict(list)
    for seed in seeds:
        child = Seed(seed).child(world.name, world.participants)
        audited = audit(world, child, [*best_in(world), *map(load_attack, names)])
        for one in audited.scored:
            found[one.attack].append(auc(np.array(one.scores), np.array(one.present)))
    return found


def verdict(world: OptimumWorld, best: float, own: float, reached: float) -> str:
    """Whether an attack has what is wanted of it, and if not, why."""

    def near(limit: float) -> bool:
        if limit < TOLD or world.change not in WANTED:
            return reached >= limit - NEAR
        return d_prime(reached) >= WANTED[world.change] * d_prime(limit)

    if near(best):
        return "reached"
    return "own records" if near(own) else "short"


def main() -> None:
    options = _options()
    tune_process()
    names, rows = options.attacks.split(","), []
    for change in options.changes.split(","):
        for model in options.models.split(","):
            for participants in map(int, options.participants.split(",")):
                world = OptimumWorld(
                    change, model, participants, size=SIZES[change], records=options.records
                )
                world = replace(world, rounds=options.rounds)
                seeds = range(options.first_seed, options.first_seed + options.seeds)
                found = {k: float(np.mean(v)) for k, v in areas(world, names, seeds).items()}
                best, own = found[Best.name], found[PlugIn.name]
                row = {"world": world.name, "K": participants}
                row |= {Best.name: f"{best:.3f}", PlugIn.name: _beside(own, best)}
                row |= {name: _beside(found[name], best) for name in names}
                row[f"{names[-1]} is"] = verdict(world, best, own, found[names[-1]])
                rows.append(row)
                print(" ".join(map(str, row.values())), flush=True)
    print()
    print(tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True))
    print(f"\n{options.seeds} federations of {options.rounds} rounds each")


def _beside(found: float, best: float) -> str:
    return f"{found:.3f} ({d_prime(found) / d_prime(best):.2f})"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--changes", default=",".join(SIZES))
    parser.add_argument("--models", default="linear,hidden")
    parser.add_argument("--participants", default="2,5,17")
    parser.add_argument("--attacks", default="melis-rf,linear,magnitude-stack")
    parser.add_argument("--records", type=int, default=4000, help="per client")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--first-seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
