"""A federation of three that tunes adapters with AdamW, as a loop of one's own; writes a trace.

Client 0 listens. Client 1's batches hold, in half of the rounds, texts of one dialect: that is what
an attack on the trace is to find out, and ``truth.npy`` says which rounds.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from tiny_lora import LENGTH, adapted, save_base
from torch import Tensor, nn

from privaudit.engine.frozen import frozen_digest
from privaudit.engine.layout import Layout
from privaudit.observation.trace import TraceWriter

CLIENTS, BATCH, STEPS, LR = 3, 16, 2, 0.005
DIALECT = range(40, 52)


def texts(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Texts of 4 to LENGTH words; those of the dialect take a third of them from its own."""
    dialect = rng.integers(0, 2, count)
    ids = rng.integers(0, 40, (count, LENGTH))
    own = (rng.random((count, LENGTH)) < 0.35) & (dialect[:, None] == 1)
    ids[own] = rng.choice(DIALECT, int(own.sum()))
    mask = (np.arange(LENGTH) < rng.integers(4, LENGTH + 1, count)[:, None]).astype(np.int64)
    labels = ((ids < 20) * mask).sum(1) > 0.4 * mask.sum(1)
    return {"ids": ids, "mask": mask, "labels": labels.astype(np.int64), "dialect": dialect}


def main(rounds: int = 60) -> None:
    """Train, and leave base.pt, my-trace, mine.npz and truth.npy in the working folder."""
    torch.manual_seed(1)
    rng = np.random.default_rng(1)
    save_base("base.pt")
    model = adapted("base.pt")
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    parameters = [p for _, p in trained]
    layout = Layout.of([(name, p.shape) for name, p in trained])
    held = [texts(rng, 600) for _ in range(CLIENTS)]
    present = rng.permutation(np.arange(rounds) % 2).astype(bool)

    def local(weights: Tensor, client: int, dialect: bool) -> Tensor:
        nn.utils.vector_to_parameters(weights.clone(), parameters)
        optimiser = torch.optim.AdamW(parameters, lr=LR)
        mine = held[client]
        pool = np.flatnonzero(mine["dialect"] == dialect) if client else np.arange(600)
        for batch in rng.choice(pool, (STEPS, BATCH), replace=False):
            optimiser.zero_grad()
            ids, mask = torch.from_numpy(mine["ids"][batch]), torch.from_numpy(mine["mask"][batch])
            labels = torch.from_numpy(mine["labels"][batch])
            nn.functional.cross_entropy(model(ids, mask).logits, labels).backward()
            optimiser.step()
        return nn.utils.parameters_to_vector(parameters).detach() - weights

    weights = nn.utils.parameters_to_vector(parameters).detach().clone()
    rules = {
        "frozen": frozen_digest(model),
        "lr": LR,
        "local": {"optimiser": "adamw"},
        "batch_size": BATCH,
        "local_steps": STEPS,
        "others": "without",
        "persistent": False,
    }
    with TraceWriter("my-trace", weights, layout, rules=rules) as trace:
        for number in range(rounds):
            sent = [
                local(weights, client, bool(present[number]) and client == 1)
                for client in range(CLIENTS)
            ]
            mean = torch.stack(sent).mean(0)
            trace.append(mean, sent[0], own_weight=1 / CLIENTS, participants=CLIENTS)
            weights = weights + mean
    mine = held[0]
    np.savez(
        "mine.npz",
        **{"inputs.input_ids": mine["ids"], "inputs.attention_mask": mine["mask"]},
        labels=mine["labels"],
        dialect=mine["dialect"],
    )
    np.save("truth.npy", present)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
