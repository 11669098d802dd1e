"""Small federations of which it is known who trained on what: tables that are learned by heart,
texts whose words give them away; the null and the defended world of either.

Labels of the tables are coins, so that there is nothing to learn but the records themselves. In a
null world the target trains on records that are none of the candidates.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from privaudit.attack.membership import Candidates
from privaudit.defences.transforms import Transforms
from privaudit.engine.engine import Engine, Samples
from privaudit.federation.partition import ADVERSARY, TARGET, Partition
from privaudit.federation.phases import TrainingPhase, train
from privaudit.federation.rounds import LocalTraining
from privaudit.models.mlp import MLP
from privaudit.models.text_cnn import TextCNN
from privaudit.observation.rules import Rules
from privaudit.observation.tap import Tap
from privaudit.observation.trace import Trace, TraceWriter
from privaudit.randomness import Seed

MEMBERS, FEATURES, WORDS, LENGTH = 32, 100, 300, 12
DEFENCE = Transforms(clip_norm=0.05, noise=5.0)
Kind = Literal["table", "text"]


@dataclass(frozen=True, eq=False)
class MembershipWorld:
    """What such a federation leaves behind; ``trained`` is the truth that no attack may see."""

    trace: Trace
    given: Candidates
    trained: np.ndarray


def play(
    path: Path,
    *,
    kind: Kind = "table",
    seed: int = 0,
    participants: int = 3,
    server: bool = False,
    null: bool = False,
    transforms: Transforms | None = None,
) -> MembershipWorld:
    """Train a federation under the tap, into a trace at ``path``."""
    root = Seed(seed).child(kind)
    rng, clients = root.generator("records"), participants + 2
    count = MEMBERS * (clients + 2)
    labels = rng.integers(2, size=count)
    inputs = (
        rng.standard_normal((count, FEATURES)).astype(np.float32)
        if kind == "table"
        else rng.integers(1, WORDS, size=(count, LENGTH)).astype(np.int32)
    )
    samples = Samples.of(inputs, labels)
    parts = rng.permutation(count).reshape(-1, MEMBERS)
    target, out, elsewhere, *others = parts
    adversary, others = others[0], others[1:]
    own = np.concatenate([adversary, others[-1]])
    asked = rng.permutation(np.concatenate([target, out]))
    held = {ADVERSARY: adversary, TARGET: elsewhere if null else target}
    held |= {client: others[client - 2] for client in range(2, participants)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: nn.Module = (
            MLP(2, FEATURES, hidden=(32,))
            if kind == "table"
            else TextCNN(2, WORDS, embedding=8, filters=24)
        )
    engine = Engine(model)
    rounds, epochs, lr = (12, 4, 0.3) if kind == "table" else (1, 1, 0.1)
    phase = TrainingPhase(
        protocol="fedavg",
        rounds=rounds,
        cohort=None,
        local_epochs=epochs,
        batch_size=8,
        training=LocalTraining(lr, transforms=transforms or Transforms()),
    )
    sent = phase.training.transforms
    rules = Rules(
        participants=participants,
        batch_size=8,
        local_steps=epochs * MEMBERS // 8,
        local_epochs=epochs,
        lr=lr,
        clip_norm=sent.clip_norm,
        noise=sent.noise,
        sharing_rule=sent.sharing.rule,
        shared_fraction=sent.sharing.fraction,
    )
    with TraceWriter(
        path,
        engine.initial,
        engine.layout,
        view="server" if server else "participant",
        target=TARGET if server else None,
        rules=rules,
    ) as writer:
        partition = Partition(parts[0][:0], tuple(held[c] for c in range(participants)))
        tap = Tap(writer, adversary=ADVERSARY, server=server)
        for _ in train(
            engine,
            samples,
            partition,
            phase,
            start=engine.initial,
            seed=root.child("training"),
            observers=[tap],
        ):
            pass
    given = Candidates(
        engine=engine,
        samples=Samples(samples.inputs[asked], samples.labels[asked]),
        own=Samples(samples.inputs[own], samples.labels[own]),
        rules=rules,
        seed=root.child("adversary"),
        trained=np.arange(len(own)) < len(adversary),
    )
    return MembershipWorld(Trace.open(path), given, np.isin(asked, target))
