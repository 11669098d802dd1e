"""A whole grid, ours against the straight port of the published method: cost and AUC.

``python benchmarks/speed/grid.py SCENARIO WHO [--set KEY=VALUE ...] [--data-dir DIR]`` audits
every cell of the scenario in this process, on one thread, and prints one JSON line: processor
seconds (those of the processes that attacks run in are counted; imports are not, nor the ordinary
training, both start from its parameters), batches backpropagated where counted, and the mean AUC by
cell over runs. WHO is ``port``, or an attack.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{library}_NUM_THREADS"] = "1"
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).resolve().parents[2])]

import attacks_process  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from straight_port import audit_cell  # noqa: E402

from privaudit.custody.folder import RunFolder  # noqa: E402
from privaudit.custody.models import trained_parameters  # noqa: E402
from privaudit.data.files import default_data_dir  # noqa: E402
from privaudit.experiment import tasks  # noqa: E402
from privaudit.experiment.tasks import Job, audit_task, training_task  # noqa: E402
from privaudit.experiment.training import train_run  # noqa: E402
from privaudit.models.build import build_model  # noqa: E402
from privaudit.scenario.grid import Cell, cells_of, groups_of  # noqa: E402
from privaudit.scenario.load import load_scenario  # noqa: E402
from privaudit.statistics.roc import auc  # noqa: E402
from privaudit.world import World, input_shape, load_world  # noqa: E402


def main() -> None:
    options = _options()
    sets = ["ledger.enabled=false", "audit.keep_traces=false", "report.devices=[]", *options.set]
    if options.who != "port":
        sets.append(f'audit.attacks=["{options.who}"]')
    scenario = load_scenario(options.scenario, sets)
    with tempfile.TemporaryDirectory() as place:
        job = Job(scenario.model_dump_json(), options.data_dir or default_data_dir(), Path(place))
        found = port(job) if options.who == "port" else ours(job, options.who)
    print(json.dumps(found))


def ours(job: Job, attack: str) -> dict[str, object]:
    """The stages of this package as one worker runs them, without layers: the port has none."""
    tasks.cells_for_layers = lambda scenario: []  # type: ignore[attr-defined]
    world, folder = job.world(), RunFolder(job.folder)  # one thread, freed memory kept
    for run in range(world.scenario.runs):
        training_task(job, run)
    imports, started = attacks_process.imported(), time.process_time()
    for group in groups_of(world.scenario, workers=1):
        for outcome in audit_task(job, group):
            if outcome.failures:
                raise SystemExit(f"{outcome.task}: {outcome.failures}")
    seconds = time.process_time() - started + attacks_process.ended() - imports
    scores = {
        cell: (
            folder.read_json(f"scores/run-{cell.run}/{cell.name}.json")[attack],
            [bool(p) for p in world.presence(cell)],
        )
        for cell in cells_of(world.scenario)
    }
    return {"seconds": seconds, "auc": _by_cell(scores)}


def port(job: Job) -> dict[str, object]:
    """Cell after cell, nothing shared, memory as the system gives it."""
    torch.set_num_threads(1)
    world = load_world(job.scenario_json, job.data_dir)
    folder = RunFolder(job.folder)
    for run in range(world.scenario.runs):
        train_run(world, folder, run)
    started, passes = time.process_time(), 0
    scores = {}
    for cell in cells_of(world.scenario):
        present = world.presence(cell)
        found, count = audit_cell(world, _trained(world, folder, cell.run), cell, list(present))
        scores[cell] = (list(found), list(present))
        passes += count
    seconds = time.process_time() - started
    return {"seconds": seconds, "passes": passes, "auc": _by_cell(scores)}


def _trained(world: World, folder: RunFolder, run: int) -> torch.nn.Module:
    """A bundled model of its own with the parameters that the audited rounds start from."""
    model = world.scenario.model
    shape = input_shape(world.dataset)
    module = build_model(model.name, model.options, shape, world.run_seed(run))
    torch.nn.utils.vector_to_parameters(trained_parameters(folder, run), module.parameters())
    return module


def _by_cell(scores: dict[Cell, tuple[list[float], list[bool]]]) -> dict[str, float]:
    """Cell -> mean AUC over runs."""
    found: dict[str, list[float]] = {}
    for cell, (values, present) in scores.items():
        found.setdefault(cell.name, []).append(auc(np.array(values), np.array(present)))
    return {name: float(np.mean(values)) for name, values in found.items()}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scenario")
    parser.add_argument("who")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--data-dir", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
