"""Does the model show the property more after crafted deltas? Nothing is attacked here.

    python benchmarks/attacks/active_representation.py

The federations of the scenario `active`, as active.py has them: after the audited rounds a logistic
regression is fitted to the last shared representation of the adversary's records and asked about
the target's. AUC of single records, mean over runs, and the change from a participant who listens
with its 95 % interval (Student's t over runs).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from scipy import stats
from sklearn.linear_model import LogisticRegression
from tabulate import tabulate
from torch import Tensor, nn

from privaudit.custody.folder import RunFolder, trace_folder
from privaudit.engine.engine import Engine
from privaudit.engine.process import tune_process
from privaudit.experiment.training import train_run
from privaudit.federation.partition import ADVERSARY, TARGET
from privaudit.games import GAMES
from privaudit.games.listening import chosen_samples
from privaudit.models.last_layer import last_dense_layer, with_layer
from privaudit.observation.trace import Trace
from privaudit.scenario.grid import Cell, cells_of
from privaudit.scenario.load import load_scenario
from privaudit.statistics.roc import auc
from privaudit.world import World, load_world

SENT = {
    "listens": ["audit.alpha=0.0"],
    "alpha 0.9": ["audit.alpha=0.9"],
    "alpha 0.9, times 10": ["audit.alpha=0.9", "audit.boost=10.0"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--participants", default="9,17,33")
    parser.add_argument("--others", default="without")
    parser.add_argument("--runs", type=int, default=4)
    options = parser.parse_args()
    tune_process()
    rows = []
    for clients in options.participants.split(","):
        base = [f"audit.others={options.others}", f"audit.participants=[{clients}]"]
        base += [f"runs={options.runs}", "sweep=null", "ledger.enabled=false"]
        found = {what: np.array(shown([*base, *settings])) for what, settings in SENT.items()}
        for what, aucs in found.items():
            change = aucs - found["listens"]
            reach = stats.t.ppf(0.975, len(aucs) - 1) * change.std(ddof=1) / np.sqrt(len(aucs))
            rows.append([clients, what, aucs.mean(), change.mean(), reach])
    print(tabulate(rows, ["K", "sends", "AUC", "change", "+-"], "github", floatfmt=".3f"))


def shown(settings: list[str]) -> list[float]:
    """The AUC of each run."""
    scenario = load_scenario("active", settings)
    world = load_world(scenario.model_dump_json(), None)
    found = []
    for cell in cells_of(scenario):
        with (
            tempfile.TemporaryDirectory() as place,
            RunFolder.create(Path(place) / "run", scenario, resume=False) as folder,
        ):
            train_run(world, folder, cell.run)
            GAMES["property"].observe(world, folder, [cell])
            *_, last = Trace.open(trace_folder(folder, cell))
            found.append(told(world, cell, last.after))
    return found


def told(world: World, cell: Cell, parameters: Tensor) -> float:
    """How well the property of the target's records is told from their representation."""
    engine = world.engine(cell.run)
    few, _ = world.samples.batch(np.arange(2), engine.device)
    last = last_dense_layer(engine.model, few, without="name another model")
    body = Engine(with_layer(engine.model, last, nn.Identity()))
    clients = world.deal(cell.run).audited(cell.participants).clients
    present = world.dataset.properties[cell.property]
    # The last layer's weights and offsets are the last ones of the vector.
    seen = {
        client: body.outputs(
            parameters[: body.layout.size],
            chosen_samples(world, clients[client]),
        ).numpy()
        for client in (ADVERSARY, TARGET)
    }
    fitted = LogisticRegression(max_iter=1000).fit(seen[ADVERSARY], present[clients[ADVERSARY]])
    return auc(fitted.decision_function(seen[TARGET]), present[clients[TARGET]] == 1)


if __name__ == "__main__":
    main()
