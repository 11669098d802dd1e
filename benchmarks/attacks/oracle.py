"""The attacks beside the best that anybody could do, in a world where that is known.

    python benchmarks/attacks/oracle.py --participants 2,5,9,17,33

A record is u ~ N(shift, I) with the property and N(0, I) without it, shown as x = s u with the
label s = -1 or +1 by the toss of a coin. At zero weights a linear two-class model has the gradient
-s x / 2 = -u / 2 in the row of its second class and the opposite in that of the first; the learning
rate is so small that the weights stay there. So the delta of a batch of b records is Gaussian, the
sum over K - 1 honest clients is, too, and no test beats the likelihood ratio, linear in that sum:

    d' = |shift| sqrt(b / (K - 1)),   AUC = Phi(d' / sqrt(2)).
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import norm
from torch import Tensor, nn

from privaudit.attack.adversary import Adversary, AuxiliaryData
from privaudit.attack.protocol import fit_together, make_attack
from privaudit.attack.registry import load_attack
from privaudit.engine.engine import Engine, Samples
from privaudit.engine.process import tune_process
from privaudit.federation.partition import ADVERSARY
from privaudit.federation.phases import AuditedPhase, audited
from privaudit.federation.rounds import LocalTraining
from privaudit.federation.schedule import PropertyPools, balanced_presence
from privaudit.observation.rules import Rules
from privaudit.observation.tap import Tap
from privaudit.observation.trace import Trace, TraceWriter
from privaudit.randomness import Seed
from privaudit.statistics.roc import auc

BATCH, LR = 16, 1e-4


class Linear(nn.Module):
    """Two logits, linear in the input, from zero weights."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.output = nn.Linear(features, 2, bias=False)
        nn.init.zeros_(self.output.weight)

    def forward(self, rows: Tensor) -> Tensor:
        """Logits [b, 2] of rows [b, features]."""
        logits: Tensor = self.output(rows)
        return logits


@dataclass(frozen=True)
class OracleWorld:
    """How far the property shifts the mean, in how many dimensions, and who holds how much.

    Attributes:
        participants: K.
        rounds: audited rounds.
        features: dimensions of a record.
        shift: length of the shift of the mean.
        records: records per client, half of them with the property.
    """

    participants: int
    rounds: int = 200
    features: int = 20
    shift: float = 0.5
    records: int = 4000

    @property
    def optimum(self) -> float:
        """AUC of the likelihood ratio between one shifted client of K - 1 and none."""
        spread = np.sqrt(BATCH / (self.participants - 1))
        return float(norm.cdf(self.shift * spread / np.sqrt(2)))

    def scores(self, names: list[str], seed: Seed) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Ground truth [rounds] and each attack's scores [rounds] of one federation."""
        samples, secret = self._records(seed.generator("records"))
        clients = np.split(np.arange(len(secret)), self.participants)
        pools = PropertyPools(
            tuple(c[secret[c] == 1] for c in clients),
            tuple(c[secret[c] == 0] for c in clients),
            tuple(clients),
        )
        engine = Engine(Linear(self.features))
        phase = AuditedPhase(
            participants=self.participants,
            cohort=None,
            rounds=self.rounds,
            local_steps=1,
            batch_size=BATCH,
            property_share=1.0,
            others="without",
            training=LocalTraining(LR),
        )
        present = balanced_presence(self.rounds, seed.generator("presence"))
        rules = Rules(participants=self.participants, batch_size=BATCH, lr=LR, others="without")
        own = clients[ADVERSARY]
        auxiliary = AuxiliaryData(Samples(samples.inputs[own], samples.labels[own]), secret[own])
        attacks = [make_attack(load_attack(name), {}, seed.child(name)) for name in names]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trace"
            start = engine.initial
            with TraceWriter(path, start, engine.layout, view="participant", target=None) as writer:
                tap = Tap(writer, adversary=ADVERSARY)
                arguments = (engine, samples, pools, present, phase)
                for _ in audited(*arguments, start=start, seed=seed, observers=[tap]):
                    pass
            adversary = Adversary(Engine(Linear(self.features)), auxiliary, rules, 8, seed)
            fit_together(attacks, Trace.open(path).view(), adversary)
        return present, {attack.name: attack.answer() for attack in attacks}

    def _records(self, rng: np.random.Generator) -> tuple[Samples, np.ndarray]:
        total = self.participants * self.records
        secret = (np.arange(total) % 2).astype(np.int8)
        values = rng.standard_normal((total, self.features)).astype(np.float32)
        values += secret[:, None] * np.float32(self.shift / np.sqrt(self.features))
        sign = rng.choice(np.array([-1, 1]), total)
        inputs = torch.from_numpy((values * sign[:, None]).astype(np.float32))
        return Samples(inputs, torch.from_numpy((sign > 0).astype(np.int64))), secret


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--participants", default="2,5,9,17,33")
    parser.add_argument("--attacks", default="melis-rf,linear,magnitude-stack")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    tune_process()
    names, rows = options.attacks.split(","), []
    for participants in map(int, options.participants.split(",")):
        world = OracleWorld(participants)
        for run in range(options.runs):
            present, scores = world.scores(names, Seed(1).child("run", run, participants))
            areas = {name: auc(values, present) for name, values in scores.items()}
            rows.append({"K": participants, "n": len(present), "optimum": world.optimum, **areas})
    table = pd.DataFrame(rows).groupby("K")
    print(table.agg({"n": "sum"} | dict.fromkeys(["optimum", *names], "mean")).round(3))


if __name__ == "__main__":
    main()
