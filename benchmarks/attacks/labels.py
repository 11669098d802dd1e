"""How many of the target's labels does the bias gradient of the last layer give away?

    python benchmarks/attacks/labels.py RUNS --participants 2,5,17 --trained 0,20

Runs the scenario reconstruction-images (or another with a last dense layer) with attacks that do
next to nothing, keeps the traces, and counts labels in them (`label_counts`). Of the target's batch
the share of labels that stand in the count, each as often as it is there, beside the same for a
guess: as many labels in the proportions of the adversary's own. Limits: 95 %, over runs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from privaudit.audit import run_audit
from privaudit.custody.folder import RunFolder, trace_folder
from privaudit.games import GAMES
from privaudit.games.reconstruction import target_batches
from privaudit.observation.trace import Trace
from privaudit.scenario.grid import Cell, cells_of
from privaudit.scenario.load import load_scenario
from privaudit.statistics.rebuilt import gain_over_runs, mean_over_runs
from privaudit.world import World, load_world
from privaudit_attacks.reconstruction.images import labels_of
from privaudit_attacks.reconstruction.label_counts import label_counts


def shared(truth: np.ndarray, answer: np.ndarray, classes: int) -> float:
    """Share of the labels of a batch that stand in an answer, each as often as it is there."""
    counts = [np.bincount(labels, minlength=classes) for labels in (truth, answer)]
    return float(np.minimum(*counts).sum() / len(truth))


def measured(world: World, folder: RunFolder, cell: Cell) -> list[tuple[float, float]]:
    """[T] of the target's labels those counted, and those that a guess holds."""
    given = GAMES[cell.game].given(world, [cell])[cell]
    labels, classes = world.dataset.labels, world.dataset.num_classes
    own = np.bincount(given.own.labels.numpy(), minlength=classes) / len(given.own)
    rows = []
    trace = Trace.open(trace_folder(folder, cell)).view()
    for seen, batch in zip(trace, target_batches(world, cell), strict=True):
        records = given.records(seen)
        guess = np.repeat(np.arange(classes), label_counts(np.zeros(classes), own, records))
        truth = labels[np.array(batch)]
        rows.append((shared(truth, labels_of(seen, given), classes), shared(truth, guess, classes)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs_folder", type=Path)
    parser.add_argument("--scenario", default="reconstruction-images")
    parser.add_argument("--participants", default="2,5,17")
    parser.add_argument("--batch", default="1,4,8,32")
    parser.add_argument("--trained", default="0,20", help="rounds of training before")
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--data-dir", type=Path)
    options = parser.parse_args()
    for trained in map(int, options.trained.split(",")):
        scenario = load_scenario(
            options.scenario,
            [
                f"runs={options.runs}",
                f"federation.rounds={trained}",
                f"audit.participants=[{options.participants}]",
                f"reconstruction.batch_sizes=[{options.batch}]",
                "audit.fractions=[1.0]",
                "audit.keep_traces=true",
                "ledger.enabled=false",
                "attack_options.gradient-matching={steps = 1, restarts = 1, most = 1}",
            ],
        )
        place = options.runs_folder / f"trained-{trained}"
        folder = run_audit(scenario, place, data_dir=options.data_dir)
        world = load_world(scenario.model_dump_json(), options.data_dir)
        cells: dict[tuple[str, int], list[Cell]] = {}
        for cell in cells_of(scenario):
            cells.setdefault((cell.property, cell.participants), []).append(cell)
        for (name, participants), of_runs in cells.items():
            runs = [measured(world, folder, cell) for cell in of_runs]
            found = [[row[0] for row in run] for run in runs]
            guess = [[row[1] for row in run] for run in runs]
            counted, gain = mean_over_runs(found), gain_over_runs(found, guess)
            print(
                f"trained {trained:2d}  {name:8s}  K {participants:2d}  "
                f"labels {counted.value:.2f} [{counted.low:.2f}, {counted.high:.2f}]  "
                f"guess {mean_over_runs(guess).value:.2f}  "
                f"difference {gain.value:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}]",
                flush=True,
            )


if __name__ == "__main__":
    main()
