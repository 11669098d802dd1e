"""W1 on Flower's simulation: wall and processor seconds of each round, as one JSON list.

Run by ``run.py`` with the Python of ``--peers-python``. Two actors, one core and one thread each.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

for switch in ("FLWR_TELEMETRY_ENABLED", "RAY_USAGE_STATS_ENABLED"):
    os.environ[switch] = "0"
os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parent))

import textbook  # noqa: E402
import torch  # noqa: E402
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict  # noqa: E402
from flwr.clientapp import ClientApp  # noqa: E402
from flwr.serverapp import ServerApp  # noqa: E402
from flwr.serverapp.strategy import FedAvg  # noqa: E402
from flwr.simulation import run_simulation  # noqa: E402

HERE = str(Path(__file__).parent)
client_app, server_app = ClientApp(), ServerApp()
seconds: list[tuple[float, float]] = []


@client_app.train()
def train(message, context):
    import sys

    sys.path.insert(0, HERE)
    import textbook
    import torch

    torch.set_num_threads(1)
    if not hasattr(textbook, "kept"):  # an actor keeps its modules: make the records once
        textbook.kept = textbook.clients()
    images, labels = textbook.kept[int(context.node_config["partition-id"])]
    model = textbook.cnn()
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    optimiser = torch.optim.SGD(model.parameters(), lr=textbook.LR)
    batches = zip(images.split(textbook.BATCH), labels.split(textbook.BATCH), strict=True)
    for batch, target in batches:
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(batch), target).backward()
        optimiser.step()
    content = {
        "arrays": ArrayRecord(model.state_dict()),
        "metrics": MetricRecord({"num-examples": len(labels)}),
    }
    return Message(content=RecordDict(content), reply_to=message)


def clocks() -> tuple[float, float]:
    return time.perf_counter(), textbook.processor_seconds(os.getpid())


class Timed(FedAvg):
    """Keeps the time from sending a round's models to having averaged them."""

    def configure_train(self, *arguments):
        self.started = clocks()
        return super().configure_train(*arguments)

    def aggregate_train(self, *arguments):
        found = super().aggregate_train(*arguments)
        seconds.append(tuple(b - a for a, b in zip(self.started, clocks(), strict=True)))
        return found


@server_app.main()
def main(grid, context):
    strategy = Timed(
        fraction_train=1.0, fraction_evaluate=0.0, min_available_nodes=textbook.CLIENTS
    )
    arrays = ArrayRecord(textbook.cnn().state_dict())
    strategy.start(grid=grid, initial_arrays=arrays, num_rounds=int(sys.argv[1]))


torch.set_num_threads(1)
run_simulation(
    server_app,
    client_app,
    num_supernodes=textbook.CLIENTS,
    backend_config={
        "init_args": {"num_cpus": 2, "include_dashboard": False},
        "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
    },
)
print(json.dumps(seconds))
