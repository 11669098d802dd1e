"""Is a coin flip told from a layer, and is a planted property still told?

Real federations on rows of Adult (``--data-dir``; as many as :data:`ROWS`; of five clients or
``--participants``), whose property is a coin, a shift of all inputs, or the sex. Prints the AUC
over runs of every layer and of all of them, and the seconds that the layers of a run took.
Everything tried is in the constants below. Run with ``python benchmarks/statistics_layers.py
--data-dir DIR`` (about ten minutes on one core).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from tabulate import tabulate

from privaudit.attack.layers import signal_by_layer
from privaudit.custody.folder import RunFolder, trace_folder
from privaudit.data import adult
from privaudit.data.dataset import Dataset
from privaudit.engine.process import tune_process
from privaudit.experiment.holdings import holdings_of
from privaudit.experiment.training import train_run
from privaudit.games.property import adversary_of, observe_cells
from privaudit.observation.trace import Trace
from privaudit.randomness import Seed
from privaudit.scenario.grid import cells_of
from privaudit.scenario.load import check_scenario
from privaudit.statistics.intervals import Interval, auc_interval
from privaudit.statistics.runs import RunScores
from privaudit.statistics.told import adjusted, against_chance, design_of, is_told
from privaudit.world import World

ROWS, ROUNDS, RUNS = 2000, 40, 3
KINDS = {"coin": range(1, 26), "shift": range(1, 3), "sex": range(1, 3)}
"""Property -> seeds."""


def dataset(kind: str, whole: Dataset, seed: int) -> Dataset:
    """Some rows, with a property of this kind."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(whole.labels))[:ROWS]
    inputs = whole.inputs[rows].copy()
    values = (rng.random(ROWS) < 0.5).astype(np.int8)
    if kind == "shift":
        shift = 0.25 * rng.standard_normal(inputs.shape[1:])
        inputs[values == 1] += np.asarray(shift, inputs.dtype)
    if kind == "sex":
        values = whole.properties["sex"][rows]
    return Dataset(
        name=kind,
        kind="table",
        inputs=inputs,
        labels=whole.labels[rows],
        class_names=whole.class_names,
        properties={"p": values},
        groups=None,
        group_kind="",
        checksum="0" * 64,
    )


def measured(world: World) -> tuple[dict[str, list[RunScores]], float]:
    """Layer -> its scores in each run; seconds for the layers of a run."""
    found: dict[str, list[RunScores]] = {}
    seconds = 0.0
    with (
        tempfile.TemporaryDirectory() as place,
        RunFolder.create(Path(place) / "run", world.scenario, resume=False) as folder,
    ):
        for cell in cells_of(world.scenario):
            train_run(world, folder, cell.run)
            observe_cells(world, folder, [cell])
            trace = Trace.open(trace_folder(folder, cell))
            started = time.process_time()
            scores = signal_by_layer(
                trace.view(), adversary_of(world, cell), count=len(trace), seed=Seed(cell.run)
            )
            seconds += time.process_time() - started
            for layer, values in scores.items():
                assert values is not None, "diverged"
                found.setdefault(layer, []).append(RunScores(values, world.presence(cell)))
    return found, seconds / RUNS


def told(world: World, found: dict[str, list[RunScores]]) -> tuple[list[Interval], list[bool]]:
    """The interval of each layer, and whether the page would star it, as one table."""
    held = holdings_of(world)
    (participants,) = world.scenario.participants
    holdings = [held[run, "p", participants] for run in range(RUNS)]
    intervals, p_values = [], []
    for layer, runs in found.items():
        design = design_of(runs, holdings)
        rng = Seed(world.scenario.seed).generator("layers", layer)
        p_values.append(against_chance(runs, design, rng).p_value)
        tau = design.tau or 0.0
        intervals.append(auc_interval(runs, tau=tau, overlap=design.overlap))
    return intervals, [is_told(q) for q in adjusted(p_values)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--participants", type=int, default=5)
    given = parser.parse_args()
    tune_process()
    whole = adult.load(adult.AdultOptions(), given.data_dir, Seed(1))
    rows = []
    for kind in given.kinds:
        for seed in KINDS[kind]:
            plan = {
                "name": "layers",
                "seed": seed,
                "runs": RUNS,
                "data": {"name": "self-test"},
                "model": {"name": "mlp", "hidden": [64, 32]},
                "federation": {"participants": given.participants, "rounds": 2, "lr": 0.05},
                "audit": {"properties": ["p"], "fractions": [1.0], "rounds": ROUNDS},
                "ledger": {"enabled": False},
            }
            world = World(check_scenario(plan, where="layers"), dataset(kind, whole, seed))
            found, seconds = measured(world)
            texts = [
                f"{i.value:.3f} [{i.low:.2f}, {i.high:.2f}]{'*' * star}"
                for i, star in zip(*told(world, found), strict=True)
            ]
            rows.append([kind, seed, *texts, f"{seconds:.1f}"])
            print(rows[-1], flush=True)
    stars, cells = (sum(text.count(mark) for row in rows for text in row[2:-1]) for mark in "*[")
    print(f"{stars} of {cells} layers told")
    print(tabulate(rows, headers=["property", "seed", *found, "s a run"], tablefmt="github"))


if __name__ == "__main__":
    main()
