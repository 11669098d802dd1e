"""A federation so simple that the best possible AUC is known in closed form.

A record is u ~ N(shift, I) with the property and N(0, I) without it, shown as x = s u with the
label s = -1 or +1 by the toss of a coin. At zero weights a linear two-class model has the gradient
-s x / 2 = -u / 2 in the row of its second class and the opposite in that of the first; the learning
rate is so small that the weights stay there. So the delta of a batch of b records is Gaussian, with
mean lr shift / 2 and variance lr^2 / (4 b) in each coordinate of the second row, and the sum over
the K - 1 honest clients is Gaussian, too. No test beats the likelihood ratio (Neyman & Pearson,
1933), which is linear in that sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from torch import Tensor, nn

from privaudit.attack.adversary import ShadowRound
from privaudit.attack.protocol import Attack
from privaudit.data.dataset import Dataset
from privaudit.data.files import sha256_of_arrays
from privaudit.engine.layout import Layout
from privaudit.observation.views import Observation
from privaudit.randomness import Seed
from privaudit.scenario.schema import Scenario
from privaudit.statistics.laws import auc_of_d_prime

PROPERTY = "secret"
LR = 1e-4
HARMLESS = 0.8
"""AUC below which the self-test asks for "harmless": two runs of thirty rounds can show that."""


class ZeroLinear(nn.Module):
    """Two logits, linear in the input, from zero weights.

    Args:
        num_classes: 2.
        features: columns of the table.
    """

    def __init__(self, num_classes: int, features: int) -> None:
        super().__init__()
        self.output = nn.Linear(features, num_classes, bias=False)
        nn.init.zeros_(self.output.weight)

    def forward(self, rows: Tensor) -> Tensor:
        """Logits [b, 2] of rows [b, features]."""
        logits: Tensor = self.output(rows)
        return logits


class LikelihoodRatio(Attack):
    """The best test there is in a :class:`KnownWorld`: it knows where the shift points.

    The log likelihood ratio of a round but for a factor and a constant. It takes nothing from the
    shadows, so that its AUC is the closed form and depends on no fit.
    """

    name = "likelihood-ratio"
    source = "J. Neyman & E. Pearson, Phil. Trans. R. Soc. A 231 (1933)"

    def __init__(self, *, seed: Seed) -> None:
        super().__init__(seed=seed)
        self._scores: list[float] = []

    def partial_fit(self, observation: Observation, shadow: ShadowRound, layout: Layout) -> Self:
        """Project the sum of the honest deltas on the shift: second row minus first."""
        first, second = observation.signal.double().chunk(2)
        self._scores.append(float((second - first).sum()))
        return self

    def score(self) -> np.ndarray:
        """[T] projections."""
        return np.array(self._scores)


@dataclass(frozen=True)
class KnownWorld:
    """A leak of known size, a defended one, or none.

    Attributes:
        name: of the world.
        shift: length of the shift of the mean; 0 = the property changes nothing.
        noise: deviation of the noise each client adds, in units of lr / (2 sqrt(b)), the deviation
            of a delta's coordinate from the choice of records.
        runs: federation runs of one audit.
        rounds: audited rounds of one run, half of them with the property.
        participants: K.
        features: dimensions of a record.
        batch: b, records per batch.
        shadows: of each kind and round, for attacks that learn.
        records: per client, half of them with the property.
        smaller: further numbers of participants, smaller than ``participants``.
        layers: whether layers are measured, too.
        rotate: whether each round is about another honest client.
    """

    name: str
    shift: float = 0.0
    noise: float = 0.0
    runs: int = 2
    rounds: int = 20
    participants: int = 3
    features: int = 4
    batch: int = 8
    shadows: int = 4
    records: int = 2000
    smaller: tuple[int, ...] = ()
    layers: bool = False
    rotate: bool = False

    @property
    def sizes(self) -> tuple[int, ...]:
        """All numbers of participants, increasing."""
        return (*self.smaller, self.participants)

    @property
    def d_prime(self) -> float:
        """Distance of the best statistic's means in units of its deviation.

        The statistic adds the difference of the two rows over the coordinates. Its mean moves by
        lr shift sqrt(F); each honest client adds the variance F lr^2 / b from its records (the rows
        are opposite: the variance of one, four times) and 2 F noise^2 lr^2 / (4 b) from its noise.
        So d' = shift sqrt(b / ((K - 1) (1 + noise^2 / 2))).

        Batches are drawn from finite pools of ``records / 2``: within a run d' is off by a normal
        amount of variance 4 b / (records (K - 1)), the same for all its rounds. With the defaults
        this moves the mean AUC by less than 0.001 and is left out.
        """
        honest = self.participants - 1
        return self.shift * float(np.sqrt(self.batch / (honest * (1 + self.noise**2 / 2))))

    @property
    def auc(self) -> float:
        """AUC of the likelihood ratio, the best there is: Phi(d' / sqrt 2)."""
        return float(auc_of_d_prime(self.d_prime))

    def scenario(self, seed: Seed, attacks: list[str]) -> Scenario:
        """One audit of this world, as a user would write it down."""
        noise = self.noise * LR / (2 * np.sqrt(self.batch))
        table = {
            "name": self.name,
            "seed": seed.integer(),
            "runs": self.runs,
            "data": {"name": "self-test"},
            "model": {"name": f"{__name__}:{ZeroLinear.__name__}"},
            "federation": {
                "participants": self.participants,
                "rounds": 0,
                "test_share": 0.01,
                "lr": LR,
                "noise": float(noise),
            },
            "audit": {
                "properties": [PROPERTY],
                "participants": list(self.sizes),
                "targets": "rotate" if self.rotate else "fixed",
                "fractions": [1.0],
                "rounds": self.rounds,
                "batch_size": self.batch,
                "shadows": self.shadows,
                "attacks": attacks,
            },
            "ledger": {"enabled": False},
        }
        return Scenario.model_validate(table)

    def dataset(self, seed: Seed) -> Dataset:
        """Fresh records for all participants."""
        rng = seed.generator("records")
        total = self.participants * self.records
        secret = (np.arange(total) % 2).astype(np.int8)
        values = rng.standard_normal((total, self.features)).astype(np.float32)
        values += secret[:, None] * np.float32(self.shift / np.sqrt(self.features))
        sign = rng.choice(np.array([-1, 1], dtype=np.int64), total)
        inputs = (values * sign[:, None]).astype(np.float32)
        return Dataset(
            name="self-test",
            kind="table",
            inputs=inputs,
            labels=(sign > 0).astype(np.int64),
            class_names=("minus", "plus"),
            properties={PROPERTY: secret},
            groups=None,
            group_kind="",
            checksum=sha256_of_arrays(inputs, secret),
        )
