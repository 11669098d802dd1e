"""A training loop of one's own, three times: what ``privaudit judge`` is shown with.

    python live.py FOLDER

Four clients train a small network on letters and digits by a loop that privaudit does not know. One
of them listens, one is the audited client; ``FOLDER/0`` to ``FOLDER/2`` get ``trace``, ``truth``
and ``mine.npz`` (docs/live.md).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from privaudit.data.registry import load_dataset
from privaudit.engine.layout import Layout
from privaudit.observation.trace import TraceWriter
from privaudit.randomness import Seed
from privaudit.taps.audited_client import AuditedClient

CLIENTS, HELD, BATCH, ROUNDS, LR = 4, 900, 32, 40, 0.1


class Net(nn.Sequential):
    """Pixels, 24 units, 36 characters."""

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(784, 24), nn.Tanh(), nn.Linear(24, 36))


def federation(folder: Path, number: int) -> None:
    """Train one, and keep what the listener, client 0, saw of it."""
    rng = np.random.default_rng(number)
    torch.manual_seed(number)
    data = load_dataset("glyphs", {"records": CLIENTS * HELD}, None, Seed(7).child(str(number)))
    held = rng.permutation(len(data.labels)).reshape(CLIENTS, HELD)
    pixels = data.inputs.astype(np.float32) / 255
    serif = data.properties["serif"]
    audited = AuditedClient(folder / "truth", serif[held[1]], batch_size=BATCH, rounds=ROUNDS)
    model = Net()
    layout = Layout.of([(name, part.shape) for name, part in model.named_parameters()])
    weights = nn.utils.parameters_to_vector(model.parameters()).detach().clone()

    def delta(chosen: np.ndarray) -> Tensor:
        nn.utils.vector_to_parameters(weights, model.parameters())
        inputs, labels = torch.tensor(pixels[chosen]), torch.tensor(data.labels[chosen])
        loss = nn.functional.cross_entropy(model(inputs), labels)
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        return -LR * torch.cat([gradient.flatten() for gradient in gradients])

    rules = {"lr": LR, "batch_size": BATCH}
    with TraceWriter(folder / "trace", weights, layout, rules=rules) as trace:
        for round_ in range(1, ROUNDS + 1):
            drawn = [rng.choice(records, BATCH, replace=False) for records in held]
            drawn[1] = held[1][audited.batch(round_)]
            deltas = [delta(chosen) for chosen in drawn]
            mean = torch.stack(deltas).mean(0)
            trace.append(
                mean, deltas[0], own_weight=1 / CLIENTS, participants=CLIENTS, server_round=round_
            )
            weights = weights + mean
    own = held[0]
    np.savez(folder / "mine.npz", inputs=pixels[own], labels=data.labels[own], serif=serif[own])


def main(folder: Path) -> None:
    """Three federations."""
    for number in range(3):
        federation(folder / str(number), number)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
