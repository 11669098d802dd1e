"""A federation so simple that the best possible AUC of membership is known in closed form.

A record is u ~ N(0, I) in F dimensions, shown as x = u or -u with a label by the toss of a coin
that says which; the model is that of :mod:`.world`. Every client takes one step on all of its n
records, so that the sum of the honest deltas gives away the sum s of N = (K - 1) n records, and of
noise like that of m more. A candidate u that is in it leaves s ~ N(u, (N - 1 + m) I), another one
N(0, (N + m) I). As s is the same for all, the likelihood ratio (Neyman & Pearson, 1933) ranks them
by s.u - |u|^2 / 2. Of u that is in and v that is not,

    (s.u - |u|^2 / 2) - (s.v - |v|^2 / 2) = |u - v|^2 / 2 + r.(u - v),    r ~ N(0, (N - 1 + m) I)

which is above 0 with probability Phi(|u - v| / (2 sqrt(N - 1 + m))). |u - v|^2 / 2 is chi-squared
with F degrees of freedom, so that a normal number lies below its root over sqrt(2 (N - 1 + m)) with
the probability T_F(sqrt(F / (2 (N - 1 + m)))), where T_F is Student's distribution: the AUC.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student_t

from privaudit.attack.membership import Candidates, MembershipAttack, centred
from privaudit.data.dataset import Dataset
from privaudit.data.files import sha256_of_arrays
from privaudit.observation.views import Observation
from privaudit.randomness import Seed
from privaudit.scenario.schema import Scenario
from privaudit.selftest.world import LR, ZeroLinear


class MemberRatio(MembershipAttack):
    """The best test there is in :class:`KnownMembers`: the likelihood ratio."""

    name = "member-ratio"
    source = "J. Neyman & E. Pearson, Phil. Trans. R. Soc. A 231 (1933)"

    def __init__(self, *, seed: Seed) -> None:
        super().__init__(seed=seed)
        self._scores = np.zeros(0)

    def listen(self, observation: Observation, given: Candidates) -> None:
        """Of the one round there is: second row of the weights minus first."""
        first, second = observation.signal.double().numpy().reshape(2, -1)
        total = (second - first) * given.rules.batch_size / given.rules.lr
        signs = 2.0 * given.samples.labels.numpy() - 1
        records = given.samples.inputs.double().numpy() * signs[:, None]
        self._scores = records @ total - (records**2).sum(1) / 2

    def answer(self) -> np.ndarray:
        """[N] log likelihood ratios but for a factor and a constant."""
        return centred(self._scores)


@dataclass(frozen=True)
class KnownMembers:
    """A federation of which it is known how well its members can be told.

    Attributes:
        name: of the world.
        noise: m / (K - 1), the variance of the noise that a client adds to the sum of its records,
            in those of one record.
        runs: federation runs of one audit.
        participants: K.
        features: F, dimensions of a record.
        candidates: asked about; every client trains on n, half as many.
        records: per client, what it does not train on among them.
    """

    name: str
    noise: float = 0.0
    runs: int = 2
    participants: int = 3
    features: int = 40
    candidates: int = 40
    records: int = 80

    layers = False

    @property
    def sizes(self) -> tuple[int, ...]:
        """All numbers of participants."""
        return (self.participants,)

    @property
    def auc(self) -> float:
        """Of the likelihood ratio, the best there is."""
        held = self.candidates / 2 + self.noise
        others = (self.participants - 1) * held - 1
        return float(student_t.cdf(np.sqrt(self.features / (2 * others)), self.features))

    def scenario(self, seed: Seed, attacks: list[str]) -> Scenario:
        """One audit of this world, as a user would write it down."""
        size = self.candidates // 2
        table = {
            "name": self.name,
            "seed": seed.integer(),
            "runs": self.runs,
            "data": {"name": "self-test"},
            "model": {"name": f"{ZeroLinear.__module__}:{ZeroLinear.__name__}"},
            "federation": {
                "participants": self.participants,
                "protocol": "fedsgd",
                "rounds": 1,
                "batch_size": size,
                "test_share": 0.01,
                "lr": LR,
                "noise": float(np.sqrt(self.noise / 2)) * LR / size,  # in either row
            },
            "audit": {"participants": [self.participants], "fractions": [1.0]},
            "membership": {"candidates": self.candidates, "attacks": attacks},
            "ledger": {"enabled": False},
        }
        return Scenario.model_validate(table)

    def dataset(self, seed: Seed) -> Dataset:
        """Fresh records for all participants."""
        rng = seed.generator("records")
        total = self.participants * self.records
        inputs = rng.standard_normal((total, self.features)).astype(np.float32)
        labels = rng.integers(2, size=total)  # of a symmetric record the sign changes nothing
        return Dataset(
            name="self-test",
            kind="table",
            inputs=inputs,
            labels=labels,
            class_names=("minus", "plus"),
            properties={},
            groups=None,
            group_kind="",
            checksum=sha256_of_arrays(inputs, labels),
        )
