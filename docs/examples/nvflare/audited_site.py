"""What each site runs: one step of SGD a round, on batches that the auditor draws at site-2.

The model and the records are those of the Flower example.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import nvflare.client as flare
import torch

from audited_app.task import AUDITED, Net, records_of, tensors
from privaudit.taps.audited_client import AuditedClient

config = json.loads(Path(sys.argv[1]).read_text())
torch.set_num_threads(1)
flare.init()
site = int(flare.get_site_name().removeprefix("site-")) - 1
records = records_of(site, config)
while flare.is_running():
    received = flare.receive()
    number = received.current_round + 1  # NVFlare counts from 0
    if site == AUDITED:
        audited = AuditedClient(
            config["truth"],
            records[config["property"]],
            batch_size=config["batch-size"],
            rounds=config["rounds"],
        )
        chosen = audited.batch(number)
    else:
        rng = np.random.default_rng([config["seed"], site, number])
        chosen = rng.choice(len(records["labels"]), config["batch-size"], replace=False)
    model = Net()
    model.load_state_dict({name: torch.as_tensor(v) for name, v in received.params.items()})
    inputs, labels = tensors(records, chosen)
    torch.nn.functional.cross_entropy(model(inputs), labels).backward()
    torch.optim.SGD(model.parameters(), lr=config["lr"]).step()
    meta = {"NUM_STEPS_CURRENT_ROUND": len(labels)}
    flare.send(flare.FLModel(params=model.state_dict(), meta=meta))
