"""How often is the answer to one trace of a property that stays wrong, where the truth is known?

Two ways, both with the drawing of :mod:`privaudit.attack.reference` as it is:

- ``numbers``: a record is a number, what a client sends the mean of what it draws from, the score
  the sum of that: thousands of traces in a minute, but nothing is learned.
- ``federations``: Gaussian records and a linear model (:mod:`privaudit.selftest.world`), a trace of
  a few rounds, and all that ``privaudit attack`` does with it, the attack ``linear`` included; but
  in this process, which takes less time.

Half of the traces are of a target that has the property, half of one that has not. Where nothing
leaks (shift 0) each "yes" on the one and "no" on the other half is false. Everything tried is in
the constants below. Run with ``python benchmarks/attacks/one_trace_nulls.py [--numbers 2000]
[--federations 120]``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import torch
from scipy.stats import beta
from tabulate import tabulate

from privaudit.attack import scoring, standalone
from privaudit.attack.adversary import AuxiliaryData, draw_batch
from privaudit.attack.reference import Pools, Population, Standing, halves_of, units_held
from privaudit.attack.registry import load_attack
from privaudit.attack.scoring import in_step, score_in_step
from privaudit.attack.standalone import open_case
from privaudit.engine.engine import Engine, Samples
from privaudit.engine.process import tune_process
from privaudit.observation.trace import TraceWriter
from privaudit.randomness import Seed
from privaudit.selftest.world import LR, ZeroLinear

REFERENCES, BATCH, ROUNDS, FEATURES = 19, 8, 4, 4

NUMBERS = (
    ("records", 400, 1, 0.0),
    ("records", 100, 1, 0.0),
    ("groups", 64, 10, 0.3),
    ("groups", 64, 10, 0.8),
)
"""What a client holds: units, units of each client, records of a unit, how alike these are."""

CLIENTS, MANY = (1, 4), 16
"""Honest ones; many for the first setting only."""

SHAPES = ("normal", "skewed")
SHIFTS = (0.5, 1.0, 2.0)
"""Of records with the property, in deviations of one: how often that is found."""

FEDERATIONS = (
    (5, 400, 1, 0.0, 0.0),
    (5, 640, 10, 0.3, 0.0),
    (5, 400, 1, 0.0, 1.0),
    (2, 400, 1, 0.0, 0.0),
)
"""Participants, records of each client, records of a group, how alike, shift of the property."""

Client = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Records [N, F], whether each has the property, group of each."""


def client(
    rng: np.random.Generator,
    units: int,
    per_unit: int,
    alike: float,
    shift: float,
    features: int = 1,
    *,
    skewed: bool = False,
) -> Client:
    """Units half of which have the property; the variance of a record is 1."""

    def draw(count: int) -> np.ndarray:
        values = rng.standard_gamma(1.0, (count, features)) - 1 if skewed else None
        return rng.standard_normal((count, features)) if values is None else values

    group = np.repeat(np.arange(units), per_unit)
    present = (group % 2 == 0).astype(np.int8)
    values = np.sqrt(alike) * draw(units)[group] + np.sqrt(1 - alike) * draw(len(group))
    return values + shift * present[:, None] / np.sqrt(features), present, group


def pools_of(present: np.ndarray) -> Pools:
    found = {"present": np.flatnonzero(present == 1), "absent": np.flatnonzero(present == 0)}
    return found | {"all": np.arange(len(present))}


def own_of(mine: Client, *, grouped: bool) -> AuxiliaryData:
    values, present, group = mine
    samples = Samples.of(values.astype(np.float32), np.zeros(len(values), dtype=np.int64))
    return AuxiliaryData(samples, present, group if grouped else None)


def numbers(
    rng: np.random.Generator,
    setting: tuple[str, int, int, float],
    clients: int,
    shift: float,
    there: bool,
    *,
    skewed: bool,
    seed: Seed,
) -> Standing:
    """One trace of many rounds: the score is the sum of the means of what everybody draws from."""
    unit, units, per_unit, alike = setting

    def make() -> Client:
        return client(rng, units, per_unit, alike, shift, skewed=skewed)

    def mean(value: np.ndarray, pools: Pools, number: int, present: bool) -> float:
        pool = "all" if number else "present" if present else "absent"
        return float(value[pools[pool]].mean())

    total = 0.0
    for number in range(clients):
        value, present, _ = make()
        total += mean(value, pools_of(present), number, there)
    own = own_of(make(), grouped=unit == "groups")
    _, kept = halves_of(own, BATCH, seed)
    values, held = kept.samples.inputs.numpy().ravel(), units_held(own, None)
    found: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(REFERENCES):
        population = Population.guessed(kept, rng)
        drawn = [population.holding(held, rng) for _ in range(clients)]
        for state, totals in found.items():
            totals.append(sum(mean(values, pools, n, state) for n, pools in enumerate(drawn)))
    return Standing(total, tuple(found[False]), tuple(found[True]))


def federation(
    rng: np.random.Generator,
    setting: tuple[int, int, int, float, float],
    there: bool,
    place: Path,
    number: int,
) -> Standing:
    """A trace and the adversary's records, as files, and what ``privaudit attack`` says."""
    participants, records, per_unit, alike, shift = setting
    engine = Engine(ZeroLinear(2, FEATURES))
    model = f"{ZeroLinear.__module__}:{ZeroLinear.__name__}"
    rules = {"model": model, "lr": LR, "batch_size": BATCH, "persistent": True}
    held, pools = [], []
    for _ in range(participants):
        values, present, group = client(rng, records // per_unit, per_unit, alike, shift, FEATURES)
        sign = rng.choice(np.array([-1, 1]), records)
        held.append((values * sign[:, None], (sign > 0).astype(np.int64), present, group))
        pools.append(pools_of(present))
    samples = [Samples.of(inputs.astype(np.float32), labels) for inputs, labels, _, _ in held]
    before = engine.initial
    trace = place / f"trace-{number}"
    with TraceWriter(trace, before, engine.layout, rules=rules) as writer:
        for _ in range(ROUNDS):
            deltas = []
            for one in range(participants):
                share = None if one != 1 else float(there)
                batch = draw_batch(share, BATCH, pools[one], rng)
                deltas.append(-LR * engine.gradients(before, samples[one], [batch], Seed(0))[0])
            mean = torch.stack(deltas).mean(0)
            writer.append(mean, deltas[0], own_weight=1 / participants, participants=participants)
            before = before + mean
    inputs, labels, present, group = held[0]
    mine = place / "mine.npz"
    owner = group if per_unit > 1 else np.arange(records)
    np.savez(mine, inputs=inputs.astype(np.float32), labels=labels, secret=present, groups=owner)
    case = open_case(trace, mine, model=model, shadows=4, seed=number + 1, references=REFERENCES)
    return case.standings("secret", ["linear"])[1]["linear"]


def row(found: Counter[tuple[bool, str]], shift: float) -> list[str | float]:
    """Wrong and right answers of either kind, in percent."""
    cells: list[str | float] = []
    for there, wrong, right in ((False, "yes", "no"), (True, "no", "yes")):
        n = sum(count for (state, _), count in found.items() if state == there)
        hits = found[there, wrong]
        top = float(beta.ppf(0.95, hits + 1, n - hits)) if hits < n else 1.0
        cells.append(f"{100 * hits / n:.1f} (<= {100 * top:.1f}) of {n}")
        cells.append(f"{100 * found[there, right] / n:.0f}" if shift else "")
    return cells


HEADS = ["false yes %", "rightly no %", "false no %", "rightly yes %"]


def of_numbers(count: int, seed: Seed) -> Iterator[list[str | float]]:
    plain = [(s, c, shape, 0.0) for s in NUMBERS for c in CLIENTS for shape in SHAPES]
    plain += [(NUMBERS[0], MANY, shape, 0.0) for shape in SHAPES]
    power = [(NUMBERS[0], c, SHAPES[0], shift) for c in (*CLIENTS, MANY) for shift in SHIFTS]
    for setting, clients, shape, shift in plain + power:
        rng = seed.generator("numbers", str(setting), clients, shape, str(shift))
        found: Counter[tuple[bool, str]] = Counter()
        for number in range(count):
            there = number % 2 == 1
            standing = numbers(
                rng,
                setting,
                clients,
                shift,
                there,
                skewed=shape == "skewed",
                seed=seed.child("halves", number),
            )
            found[there, standing.answer] += 1
        unit, units, per_unit, alike = setting
        yield [f"{units} {unit} of {per_unit}", alike, clients, shape, shift, *row(found, shift)]


def of_federations(count: int, seed: Seed) -> Iterator[list[str | float]]:
    tune_process()
    vars(standalone)["score_apart"] = lambda some, views: score_in_step(some, in_step(views))
    for module in (standalone, scoring):
        vars(module)["load_attack"] = cache(load_attack)
    for setting in FEDERATIONS:
        rng = seed.generator("federations", str(setting))
        found: Counter[tuple[bool, str]] = Counter()
        started = time.perf_counter()
        for number in range(count):
            there = number % 2 == 1
            with tempfile.TemporaryDirectory() as place:
                standing = federation(rng, setting, there, Path(place), number)
            found[there, standing.answer] += 1
        seconds = (time.perf_counter() - started) / count
        yield [*setting, *row(found, setting[-1]), f"{seconds:.1f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--numbers", type=int, default=2000)
    parser.add_argument("--federations", type=int, default=120)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    of_a_client = ["a client holds", "alike"]
    if given.numbers:
        heads = [*of_a_client, "honest", "shape", "shift", *HEADS]
        rows = []
        for found in of_numbers(given.numbers, Seed(given.seed)):
            rows.append(found)
            print(*found, sep=" | ", flush=True)
        print(tabulate(rows, headers=heads, tablefmt="github"), flush=True)
    if given.federations:
        heads = ["K", "records", "of a group", "alike", "shift", *HEADS, "s a trace"]
        rows = []
        for found in of_federations(given.federations, Seed(given.seed)):
            rows.append(found)
            print(*found, sep=" | ", flush=True)
        print(tabulate(rows, headers=heads, tablefmt="github"), flush=True)


if __name__ == "__main__":
    main()
