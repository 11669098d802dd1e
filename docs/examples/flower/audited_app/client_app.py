"""The client: one step of SGD a round, as in any Flower app, and two lines for the audit."""

from __future__ import annotations

import functools

import numpy as np
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from audited_app.task import AUDITED, make_model, records_of, tensors
from privaudit.taps.audited_client import AuditedClient
from privaudit.taps.flower import participant_tap

torch.set_num_threads(1)


@functools.cache
def held(partition: int, *config: tuple[str, object]) -> dict[str, np.ndarray]:
    """A node's records, made once a process."""
    return records_of(partition, dict(config))


app = ClientApp(mods=[participant_tap(rules={"lr": "lr", "batch_size": "batch-size"})])


@app.train()
def train(message: Message, context: Context) -> Message:
    """One batch of this node's records."""
    config = context.run_config
    number = int(message.content["config"]["server-round"])
    partition = int(context.node_config["partition-id"])
    records = held(partition, *config.items())
    if partition == AUDITED:
        audited = AuditedClient(
            config["truth"],
            records[config["property"]],
            batch_size=config["batch-size"],
            rounds=config["rounds"],
            run=context.run_id,
        )
        chosen = audited.batch(number)
    else:
        rng = np.random.default_rng([config["seed"], partition, number])
        chosen = rng.choice(len(records["labels"]), config["batch-size"], replace=False)
    model = make_model(config["seed"])
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    inputs, labels = tensors(records, chosen)
    torch.nn.functional.cross_entropy(model(inputs), labels).backward()
    torch.optim.SGD(model.parameters(), lr=config["lr"]).step()
    content = {
        "arrays": ArrayRecord(model.state_dict()),
        "metrics": MetricRecord({"num-examples": len(labels)}),
    }
    return Message(RecordDict(content), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Loss on a batch of what this node holds."""
    config = context.run_config
    partition = int(context.node_config["partition-id"])
    records = held(partition, *config.items())
    model = make_model(config["seed"])
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    inputs, labels = tensors(records, np.arange(100))
    with torch.no_grad():
        loss = float(torch.nn.functional.cross_entropy(model(inputs), labels))
    metrics = MetricRecord({"num-examples": len(labels), "loss": loss})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)
