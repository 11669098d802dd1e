"""Every attack on every cell of a scenario's grid: AUC over runs, n, and seconds per cell.

    python benchmarks/attacks/compare.py quickstart --participants 2,5,9,17,33 --runs 2
    python benchmarks/attacks/compare.py letters --data-dir DIR --fractions 0.1,1 --out letters.csv

The adversary holds a fifth of the training records whatever the number of participants, so that a
column shows dilution by honest clients and not the adversary's shrinking share; ``--set
federation.adversary_share=null`` deals equal parts instead. Traces are dropped after each cell.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from privaudit.attack.protocol import Attack, make_attack
from privaudit.attack.registry import load_attack
from privaudit.engine.process import tune_process
from privaudit.experiment.attacking import adversary_of
from privaudit.experiment.cells import Cell, cells_of
from privaudit.experiment.folder import RunFolder
from privaudit.experiment.observing import observe_cell
from privaudit.experiment.training import train_run
from privaudit.experiment.world import World, check_world, load_world
from privaudit.observation.trace import Trace
from privaudit.scenario.load import load_scenario
from privaudit.statistics.calibration import brier_score
from privaudit.statistics.roc import auc

ATTACKS = ("melis-rf", "linear", "magnitude-stack")


def main() -> None:
    options = _options()
    tune_process()
    overrides = [
        f"audit.participants=[{options.participants}]",
        f"audit.fractions=[{options.fractions}]",
        f"audit.attacks={list(options.attacks.split(','))}",
        f"runs={options.runs}",
        "federation.adversary_share=0.2",
        *options.set,
    ]
    scenario = load_scenario(options.scenario, overrides)
    world = load_world(scenario.model_dump_json(), options.data_dir)
    check_world(world)
    with tempfile.TemporaryDirectory() as path:
        rows = []
        for row in _rows(world, RunFolder(Path(path))):
            rows.append(row)
            print(*(f"{v:.3f}" if isinstance(v, float) else v for v in row.values()), flush=True)
    table = pd.DataFrame(rows)
    if options.out:
        table.to_csv(options.out, index=False, float_format="%.4f")
    keys = ["property", "rule", "fraction", "K"]
    summary = table.pivot_table("auc", keys, "attack", aggfunc="mean").reindex(
        columns=options.attacks.split(",")
    )
    summary.insert(0, "n", table.groupby(keys)["n"].sum() // len(summary.columns))
    seconds = table.pivot_table("seconds", keys, "attack", aggfunc="mean").mean()
    print(summary.round(3).to_string(), "\nseconds per cell\n", seconds.round(2).to_string())


def _rows(world: World, folder: RunFolder) -> Iterator[dict[str, Any]]:
    trained = set()
    for cell in cells_of(world.scenario):
        if cell.run not in trained:
            train_run(world, folder, cell.run)
            trained.add(cell.run)
        observe_cell(world, folder, cell)
        present = np.array(folder.read_json(f"truth/run-{cell.run}/{cell.name}.json"))
        trace = folder.file("traces", f"run-{cell.run}", cell.name)
        for attack, seconds in _fitted(world, cell, trace):
            scores = attack.score()
            row = {
                "run": cell.run,
                "property": cell.property,
                "rule": cell.rule,
                "fraction": cell.fraction,
                "K": cell.participants,
                "attack": attack.name,
                "n": len(present),
                "auc": auc(scores, present),
                "seconds": seconds,
            }
            if hasattr(attack, "probability"):
                row["brier"] = brier_score(attack.probability(), present)
            yield row
        shutil.rmtree(trace)


def _fitted(world: World, cell: Cell, trace: Path) -> list[tuple[Attack, float]]:
    """The attacks, each with the seconds it took by itself; the shadows are timed for nobody."""
    view, adversary = Trace.open(trace).view(), adversary_of(world, cell)
    seed = world.run_seed(cell.run).child("attack")
    attacks = [
        make_attack(load_attack(name), {}, seed.child(name, cell.name))
        for name in world.scenario.audit.attacks
    ]
    taken = np.zeros(len(attacks))
    for observation in view:
        shadow = adversary.shadow(observation)
        for number, attack in enumerate(attacks):
            started = time.perf_counter()
            attack.partial_fit(observation, shadow, adversary.layout)
            taken[number] += time.perf_counter() - started
    for number, attack in enumerate(attacks):
        started = time.perf_counter()
        attack.score()
        taken[number] += time.perf_counter() - started
    return list(zip(attacks, taken.tolist(), strict=True))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("scenario")
    parser.add_argument("--participants", default="2,5,9,17,33")
    parser.add_argument("--fractions", default="0.1,1.0")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--attacks", default=",".join(ATTACKS))
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
