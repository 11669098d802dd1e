"""Made-up live federations, small enough for every test: a trace, a truth, a listener's records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from privaudit.engine.layout import Layout
from privaudit.observation.trace import TraceWriter
from privaudit.taps.audited_client import SECRET, AuditedClient

MODEL = "small_models:Dense"
BATCH, LR = 16, 0.1


def people(rng: np.random.Generator, secret: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Records whose second input says whether they are secret, beside labels that do not."""
    rows = rng.normal(size=(len(secret), 5)).astype(np.float32)
    rows[:, 1] += 3.0 * secret
    return rows, (rows[:, 0] > 0).astype(np.int64) + (rows[:, 2] > 0)


def live_run(folder: Path, *, rounds: int = 12, seed: int = 1, clients: int = 3) -> Path:
    """A federation: client 0 listens, 1 is audited, the others are like everybody.

    Leaves ``trace``, ``truth`` and ``mine.npz`` in the folder, which is returned.
    """
    from small_models import Dense

    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = Dense()
    layout = Layout.of([(name, p.shape) for name, p in model.named_parameters()])
    weights = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    secret = np.arange(120) % 2
    held = [people(rng, secret) for _ in range(clients)]
    settings: dict[str, Any] = {"rounds": rounds, "batch_size": BATCH, "share": 1.0, "records": 120}
    settings |= {"run": f"run-{seed}", "secret": str(seed)}
    (folder / "truth").mkdir(parents=True)  # the same schedule every time
    file = folder / "truth" / SECRET
    file.write_text(json.dumps(settings) + "\n")
    file.chmod(0o600)
    audited = AuditedClient(
        folder / "truth", secret, batch_size=BATCH, rounds=rounds, run=f"run-{seed}"
    )
    rules = {"lr": LR, "batch_size": BATCH}
    about = {"run": f"run-{seed}"}
    with TraceWriter(folder / "trace", weights, layout, rules=rules, about=about) as trace:
        for number in range(1, rounds + 1):
            drawn = [rng.choice(120, BATCH, replace=False) for _ in range(clients)]
            drawn[1] = audited.batch(number)
            deltas = [_delta(model, weights, held[who], drawn[who]) for who in range(clients)]
            mean = torch.stack(deltas).mean(0)
            trace.append(
                mean, deltas[0], own_weight=1 / clients, participants=clients, server_round=number
            )
            weights = weights + mean
    rows, labels = held[0]
    np.savez(folder / "mine.npz", inputs=rows, labels=labels, secret=secret)
    return folder


def _delta(
    model: nn.Module, weights: Tensor, held: tuple[np.ndarray, np.ndarray], chosen: np.ndarray
) -> Tensor:
    rows, labels = (torch.from_numpy(array[chosen]) for array in held)
    nn.utils.vector_to_parameters(weights, model.parameters())
    loss = nn.functional.cross_entropy(model(rows), labels)
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    return -LR * torch.cat([g.flatten() for g in gradients])


def judge_words(*folders: Path) -> list[str]:
    """Of ``privaudit judge``, for so many runs."""
    words = ["judge", *(str(folder / "trace") for folder in folders)]
    for folder in folders:
        words += ["--truth", str(folder / "truth"), "--auxiliary", str(folder / "mine.npz")]
    return [*words, "--model", MODEL]
