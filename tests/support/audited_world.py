"""Small federations with a known leak, audited as by the main path: null, planted, defended.

Records are rows of normal numbers. In a planted world the property shifts a few columns and leans
the label to one side, so that a batch with it moves the weights further and elsewhere; the learning
rate is small, so that the model does not learn the difference away.
In the null world the property is a coin toss that no input depends on. The defended world is the
planted one with every delta clipped and drowned in noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from privaudit.attack.adversary import Adversary, AuxiliaryData
from privaudit.data.dataset import Dataset
from privaudit.defences.transforms import Transforms
from privaudit.engine.engine import Engine, Samples
from privaudit.engine.local_rule import PLAIN, LocalOptions
from privaudit.federation.partition import ADVERSARY, TARGET, PartitionPlan, make_partition
from privaudit.federation.phases import AuditedPhase, audited
from privaudit.federation.rounds import LocalTraining, RoundOutcome
from privaudit.federation.schedule import balanced_presence, property_pools
from privaudit.models.mlp import MLP
from privaudit.observation.rules import Rules
from privaudit.observation.tap import Tap
from privaudit.observation.trace import Trace, TraceWriter
from privaudit.randomness import Seed

FEATURES, CLASSES, RECORDS, BATCH = 12, 2, 9000, 16
SHIFT, LR = 3.0, 0.02
DEFENCE = Transforms(clip_norm=0.05, noise=5.0)


@dataclass(frozen=True, eq=False)
class AuditedWorld:
    """What an audit leaves behind; ``present`` is the ground truth no attack may see."""

    trace: Trace
    adversary: Adversary
    present: np.ndarray
    outcomes: list[RoundOutcome]


def records(seed: Seed, shift: float) -> Dataset:
    """Labels depend on the first column; the property shifts the last three by ``shift``."""
    rng = seed.generator("records")
    secret = rng.integers(2, size=RECORDS).astype(np.int8)
    inputs = rng.standard_normal((RECORDS, FEATURES)).astype(np.float32)
    side = np.sign(shift) * (secret - 0.5)
    labels = (inputs[:, 0] + side + 0.5 * rng.standard_normal(RECORDS) > 0).astype(np.int64)
    inputs[:, -3:] += shift * secret[:, None]
    return Dataset(
        name="synthetic",
        kind="table",
        inputs=inputs,
        labels=labels,
        class_names=("no", "yes"),
        properties={"secret": secret},
        groups=None,
        group_kind="",
        checksum="0" * 64,
    )


def audit(
    path: Path,
    *,
    seed: int = 0,
    shift: float = SHIFT,
    participants: int = 3,
    rounds: int = 40,
    transforms: Transforms | None = None,
    server: bool = False,
    always: bool | None = None,
    presence: np.ndarray | None = None,
    lr: float = LR,
    local: LocalOptions = PLAIN,
) -> AuditedWorld:
    """Run the audited rounds under the tap, into a trace at ``path``.

    ``always``: the property is there in every round (True) or in none (False); None = by the round.
    ``lr`` and ``local``: how clients train. ``presence``: [rounds] bool where it is there for a
    stretch.
    """
    root = Seed(seed)
    dataset = records(root, shift)
    samples = Samples.of(dataset.inputs, dataset.labels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        engine = Engine(MLP(CLASSES, FEATURES, hidden=(8,)))
    partition = make_partition(dataset, participants, PartitionPlan(), root.child("partition"))
    training = LocalTraining(lr, transforms=transforms or Transforms(), local=local)
    phase = AuditedPhase(
        participants=participants,
        cohort=None,
        rounds=rounds,
        local_steps=1,
        batch_size=BATCH,
        property_share=1.0,
        others="without",
        training=training,
    )
    pools = property_pools(dataset, partition, "secret", BATCH, "without")
    present = balanced_presence(rounds, root.generator("presence"))
    if always is not None:
        present = np.full(rounds, always)
    if presence is not None:
        present = presence
    with TraceWriter(
        path,
        engine.initial,
        engine.layout,
        view="server" if server else "participant",
        target=TARGET if server else None,
        about={"lr": lr},
    ) as writer:
        outcomes = list(
            audited(
                engine,
                samples,
                pools,
                present,
                phase,
                start=engine.initial,
                seed=root.child("audit"),
                observers=[Tap(writer, adversary=ADVERSARY, server=server)],
            )
        )
    own = partition.clients[ADVERSARY]
    sent = training.transforms
    rules = Rules(
        participants=participants,
        batch_size=BATCH,
        lr=lr,
        local=local,
        sharing_rule=sent.sharing.rule,
        shared_fraction=sent.sharing.fraction,
        clip_norm=sent.clip_norm,
        noise=sent.noise,
        defences=[step.model_dump() for step in sent.defences],
        others="without",
        persistent=always is not None or presence is not None,
    )
    adversary = Adversary(
        engine=engine,
        auxiliary=AuxiliaryData(
            Samples(samples.inputs[own], samples.labels[own]), dataset.properties["secret"][own]
        ),
        rules=rules,
        shadows=8,
        seed=root.child("adversary"),
    )
    return AuditedWorld(Trace.open(path), adversary, present, outcomes)
