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
    """All rounds. A node that evaluates hears of the model after each, else when it trains next."""
    config = context.run_config
    nodes = int(config["nodes"])
    heard = float(config["fraction-evaluate"])
    strategy = FedAvg(
        fraction_evaluate=heard,
        min_train_nodes=nodes,
        min_evaluate_nodes=nodes if heard else 0,
        min_available_nodes=nodes,
    )
    rules = {"lr": config["lr"], "batch_size": config["batch-size"], "participants": nodes}
    start = ArrayRecord(make_model(config["seed"]).state_dict())
    tapped = server_tap(strategy, config["server-trace"], rules=rules)
    tapped.start(grid=grid, initial_arrays=start, num_rounds=config["rounds"])
