"""How often is the answer to one trace of a property that stays right?

Federations on rows of Adult (``--data-dir``), half of them with the property throughout, half
without it, each attacked from its trace alone as ``privaudit attack`` does: the adversary has its
own records and the rules. Properties: the sex, and a coin, of which nothing can be known. Prints
yes, no and "cannot say" by truth. Everything tried is in the constants below. Run with
``python benchmarks/attacks/one_trace.py --data-dir DIR`` (about half an hour on one core).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from tabulate import tabulate

from privaudit.attack.standalone import open_case
from privaudit.custody.folder import RunFolder, trace_folder
from privaudit.data import adult
from privaudit.data.dataset import Dataset
from privaudit.engine.process import tune_process
from privaudit.experiment.observing import observe_cells
from privaudit.experiment.training import train_run
from privaudit.experiment.world import World
from privaudit.federation.partition import ADVERSARY
from privaudit.randomness import Seed
from privaudit.scenario.grid import cells_of
from privaudit.scenario.load import check_scenario

ROWS, ROUNDS, RUNS, REFERENCES = 6000, 20, 12, 19
SETTINGS = (("sex", 5, "magnitude-stack"), ("coin", 5, "magnitude-stack"), ("sex", 17, "linear"))
"""Property, participants, attack."""


def dataset(whole: Dataset) -> Dataset:
    """Some rows, with the sex and a coin."""
    rng = np.random.default_rng(1)
    rows = rng.permutation(len(whole.labels))[:ROWS]
    coin = (rng.random(ROWS) < 0.5).astype(np.int8)
    return Dataset(
        name="adult",
        kind="table",
        inputs=whole.inputs[rows],
        labels=whole.labels[rows],
        class_names=whole.class_names,
        properties={"sex": whole.properties["sex"][rows], "coin": coin},
        groups=None,
        group_kind="",
        checksum="0" * 64,
    )


def answers(data: Dataset, name: str, participants: int, attack: str, place: Path) -> list[str]:
    """The answer to each trace, as ``present: yes``."""
    plan = {
        "name": "one-trace",
        "seed": 1,
        "runs": RUNS,
        "data": {"name": "self-test"},
        "model": {"name": "mlp", "hidden": [64, 32]},
        "federation": {"participants": participants, "rounds": 2, "lr": 0.05},
        "audit": {
            "properties": [name],
            "fractions": [1.0],
            "rounds": ROUNDS,
            "schedule": "dataset",
            "attacks": [attack],
        },
        "ledger": {"enabled": False},
    }
    world = World(check_scenario(plan, where="one-trace"), data)
    found = []
    with RunFolder.create(place, world.scenario, resume=False) as folder:
        for cell in cells_of(world.scenario):
            train_run(world, folder, cell.run)
            observe_cells(world, folder, [cell])
            own = world.deal(cell.run).audited(participants).clients[ADVERSARY]
            mine = folder.file("mine.npz")
            known = data.properties[name][own]
            np.savez(mine, inputs=data.inputs[own], labels=data.labels[own], **{name: known})
            case = open_case(trace_folder(folder, cell), mine, seed=cell.run, references=REFERENCES)
            _, standings = case.standings(name, [attack])
            truth = "present" if world.presence(cell)[0] else "absent"
            standing = standings[attack]
            found.append(f"{truth}: {standing.answer}")
            print(name, participants, attack, found[-1], standing.p_without, standing.p_present)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    given = parser.parse_args()
    tune_process()
    data = dataset(adult.load(adult.AdultOptions(), given.data_dir, Seed(1)))
    rows = []
    for number, (name, participants, attack) in enumerate(SETTINGS):
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as place:
            found = Counter(answers(data, name, participants, attack, Path(place) / str(number)))
        seconds = (time.perf_counter() - started) / RUNS
        said = ", ".join(f"{n} x {what}" for what, n in sorted(found.items()))
        rows.append([name, participants, attack, said, f"{seconds:.0f}"])
    print(tabulate(rows, headers=["property", "K", "attack", "truth: answer", "s a trace"]))


if __name__ == "__main__":
    main()
