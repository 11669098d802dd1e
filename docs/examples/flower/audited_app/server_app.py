"""The server: FedAvg; what it sees under secure aggregation is kept as well."""

from __future__ import annotations

from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from audited_app.task import make_model
from privaudit.taps.flower import server_tap

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """All rounds; every node hears of the model after each (``fraction_evaluate=1``)."""
    config = context.run_config
    nodes = int(config["nodes"])
    strategy = FedAvg(min_train_nodes=nodes, min_evaluate_nodes=nodes, min_available_nodes=nodes)
    rules = {"lr": config["lr"], "batch_size": config["batch-size"], "participants": nodes}
    start = ArrayRecord(make_model(config["seed"]).state_dict())
    tapped = server_tap(strategy, config["server-trace"], rules=rules)
    tapped.start(grid=grid, initial_arrays=start, num_rounds=config["rounds"])
