"""Federations of which the best possible test is known, for every round that is attacked.

A record is u, shown as x = s u with the label s = -1 or +1 by the toss of a coin. What the property
changes is one of three things:

- ``mean``: u ~ N(shift, I) instead of N(0, I), in F dimensions;
- ``variance``: u ~ N(0, diag(1 + ratio, ..., 1)), a few directions spread more;
- ``mixture``: u is one of M fixed vectors, and some are more frequent with the property.

In the first two the sum of the honest deltas gives away the sum of the K - 1 batch means of u, and
nothing else that depends on the property: exactly in a linear model at zero weights, whose gradient
is -u / 2 in one row; up to one in a thousand in a model with one hidden layer all of whose units
are active and whose output weights are next to zero. So the sum is Gaussian in either state, and
the likelihood ratio (Neyman & Pearson, 1933) is a linear or quadratic form in it. In a mixture the
sum gives away how many records of each kind are in it, in a network with ReLU and any weights, too,
as the 2 M gradients are linearly independent. With r_i the ratio of the frequencies of record i,
the likelihood ratio of n = (K - 1) b records, b of which are the target's, is the mean over all
ways to choose b of them of the product of their r_i: the b-th elementary symmetric polynomial over
the binomial coefficient.

An adversary does not know the two distributions; it has records of its own. :class:`PlugIn` is the
same test with what its own records say instead of the truth: what remains between that and
:class:`Best` no attack with so many records can be blamed for.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from math import comb, log
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from scipy.stats import norm
from torch import Tensor, nn

from privaudit.attack.adversary import Adversary, AuxiliaryData, ShadowRound
from privaudit.attack.protocol import Attack
from privaudit.data.dataset import Dataset
from privaudit.data.files import sha256_of_arrays
from privaudit.engine.engine import Engine, Samples
from privaudit.engine.layout import Layout
from privaudit.observation.views import Observation
from privaudit.randomness import Seed
from privaudit.scenario.schema import Scenario
from privaudit.selftest.world import LR, PROPERTY, ZeroLinear

Change = Literal["mean", "variance", "mixture"]
Kind = Literal["linear", "hidden"]

OPEN, SMALL, WIDTH = 6.0, 1e-3, 24
"""Of the hidden layer whose units are all active: its bias, its output weights, its units."""

KINDS = 10
"""Different records of a mixture."""


class OpenHidden(nn.Module):
    """One hidden layer of ReLU units that are all active, and output weights next to zero.

    Args:
        num_classes: 2.
        features: columns of the table.
    """

    def __init__(self, num_classes: int, features: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(features, WIDTH)
        self.output = nn.Linear(WIDTH, num_classes)
        with torch.no_grad():
            self.hidden.weight.normal_(0.0, features**-0.5)
            self.hidden.bias.fill_(OPEN)
            self.output.weight.normal_(0.0, SMALL)
            self.output.bias.zero_()

    def forward(self, rows: Tensor) -> Tensor:
        """Logits [b, 2] of rows [b, features]."""
        logits: Tensor = self.output(torch.relu(self.hidden(rows)))
        return logits


@dataclass(frozen=True)
class OptimumWorld:
    """What the property changes, in which model, and among how many.

    Attributes:
        change: what the property changes.
        model: ``linear``, or ``hidden`` for one hidden layer.
        participants: K.
        rounds: audited rounds of one run, half of them with the property.
        runs: federation runs of one audit.
        features: F, dimensions of a record.
        size: ``mean``: length of the shift; ``variance``: what is added to the variance of a fifth
            of the dimensions; ``mixture``: deviation of the log frequency ratios.
        batch: b, records per batch.
        records: per client, half of them with the property.
        shadows: of each kind and round.
    """

    change: Change
    model: Kind = "linear"
    participants: int = 2
    rounds: int = 200
    runs: int = 1
    features: int = 20
    size: float = 0.6
    batch: int = 16
    records: int = 4000
    shadows: int = 8
    layers: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """Of the world."""
        return f"{self.change}-{self.model}"

    @property
    def sizes(self) -> tuple[int, ...]:
        """All numbers of participants."""
        return (self.participants,)

    def scenario(self, seed: Seed, attacks: list[str]) -> Scenario:
        """One audit of this world, as a user would write it down."""
        model = ZeroLinear if self.model == "linear" else OpenHidden
        named: dict[str, Any] = {"name": f"{model.__module__}:{model.__name__}"}
        if self.change == "mixture" and self.model == "hidden":
            named = {"name": "mlp", "hidden": [8]}
        table = {
            "name": self.name,
            "seed": seed.integer(),
            "runs": self.runs,
            "data": {"name": "self-test"},
            "model": named,
            "federation": {
                "participants": self.participants,
                "rounds": 0,
                "test_share": 0.01,
                "lr": LR,
            },
            "audit": {
                "properties": [PROPERTY],
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
        if self.change == "mixture":
            kind = np.empty(total, np.int64)
            for value, share in zip((0, 1), self.frequencies, strict=True):
                kind[secret == value] = rng.choice(KINDS, int((secret == value).sum()), p=share)
            values = self.vectors[kind]
        else:
            values = rng.standard_normal((total, self.features))
            if self.change == "mean":
                values += secret[:, None] * self.size / np.sqrt(self.features)
            else:
                values[secret == 1] *= np.sqrt(self.spread)
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

    @property
    def spread(self) -> np.ndarray:
        """[F] variances with the property, where it changes variances."""
        return np.where(np.arange(self.features) < self.features / 5, 1 + self.size, 1.0)

    @cached_property
    def vectors(self) -> np.ndarray:
        """[M, F] the records of a mixture."""
        return Seed(0).generator("mixture").standard_normal((KINDS, self.features))

    @cached_property
    def frequencies(self) -> tuple[np.ndarray, np.ndarray]:
        """[M] of the records of a mixture, without the property and with it."""
        steps = norm.ppf((np.arange(KINDS) + 0.5) / KINDS)
        tilted = np.exp(self.size * steps / steps.std())
        return np.full(KINDS, 1 / KINDS), tilted / tilted.sum()

    def moments(self) -> tuple[Moments, Moments]:
        """Of a record without the property and with it."""
        zero, unit = np.zeros(self.features), np.eye(self.features)
        if self.change == "mean":
            return Moments(zero, unit), Moments(zero + self.size / np.sqrt(self.features), unit)
        return Moments(zero, unit), Moments(zero, np.diag(self.spread))


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean [F] and covariance [F, F] of a record."""

    mean: np.ndarray
    covariance: np.ndarray


def gaussian_ratio(
    total: np.ndarray, absent: Moments, present: Moments, contributors: int, batch: int
) -> float:
    """Log likelihood ratio, but for a constant, of a sum [F] of batch means of normal records.

    One of ``contributors`` clients has the property, or none has.
    """
    found = 0.0
    for sign, one in ((1, present), (-1, absent)):
        mean = one.mean + (contributors - 1) * absent.mean
        covariance = (one.covariance + (contributors - 1) * absent.covariance) / batch
        rest = total - mean
        found -= sign * 0.5 * float(rest @ np.linalg.solve(covariance, rest))
    return found


def counted_ratio(counts: np.ndarray, ratios: np.ndarray, batch: int) -> float:
    """Log likelihood ratio of the numbers [M] of records of each kind, ``batch`` of one client.

    Args:
        counts: [M] whole numbers.
        ratios: [M] how much more frequent each kind is with the property.
        batch: how many records are the target's.
    """
    chosen = np.zeros(batch + 1)
    chosen[0] = 1.0
    for count, ratio in zip(counts, ratios, strict=True):
        ways = np.array([comb(int(count), a) * ratio**a for a in range(batch + 1)])
        chosen = np.convolve(chosen, ways)[: batch + 1]
    return log(chosen[batch]) - log(comb(int(counts.sum()), batch))


class _Known(Attack):
    """What reads the sum off and knows, or estimates, the two distributions."""

    world: ClassVar[OptimumWorld]

    def __init__(self, *, seed: Seed) -> None:
        super().__init__(seed=seed)
        self._scores: list[float] = []

    def listen(self, observation: Observation, given: Adversary) -> None:
        """No shadows are needed: records are read off the sum."""
        world, rules = self.world, given.rules
        gradient = observation.signal.double().numpy() / -rules.lr
        if world.change == "mixture":
            counts = _counts(gradient * world.batch, observation.before, given.engine, world)
            absent, present = self.frequencies(given.auxiliary)
            self._scores.append(counted_ratio(counts, present / absent, world.batch))
        else:
            total = _batch_means(gradient, observation.before, given.engine, world.features)
            moments = self.moments(given.auxiliary)
            self._scores.append(
                gaussian_ratio(total, *moments, observation.contributors, world.batch)
            )

    def partial_fit(self, observation: Observation, shadow: ShadowRound, layout: Layout) -> Self:
        """Not used: :meth:`listen` needs the engine."""
        raise NotImplementedError

    def score(self) -> np.ndarray:
        """[T] log likelihood ratios, but for a constant."""
        return np.array(self._scores)

    @abstractmethod
    def frequencies(self, own: AuxiliaryData) -> tuple[np.ndarray, np.ndarray]:
        """[M] of each kind of record, without the property and with it."""

    @abstractmethod
    def moments(self, own: AuxiliaryData) -> tuple[Moments, Moments]:
        """Likewise of Gaussian records."""


class Best(_Known):
    """The best test there is: it knows both distributions."""

    name = "optimum"
    source = "J. Neyman & E. Pearson, Phil. Trans. R. Soc. A 231 (1933)"

    def frequencies(self, own: AuxiliaryData) -> tuple[np.ndarray, np.ndarray]:
        """The true ones."""
        return self.world.frequencies

    def moments(self, own: AuxiliaryData) -> tuple[Moments, Moments]:
        """The true ones."""
        return self.world.moments()


class PlugIn(_Known):
    """The same test, both distributions being estimated from the adversary's own records."""

    name = "optimum-of-own"
    source = "own: the likelihood ratio with the moments of the adversary's records"

    def frequencies(self, own: AuxiliaryData) -> tuple[np.ndarray, np.ndarray]:
        """Of the own records, each kind being there once more."""
        distance = torch.cdist(_shown(own), torch.from_numpy(self.world.vectors))
        kind = distance.argmin(1).numpy()
        counted = [np.bincount(kind[own.present == v], minlength=KINDS) + 1.0 for v in (0, 1)]
        return counted[0] / counted[0].sum(), counted[1] / counted[1].sum()

    def moments(self, own: AuxiliaryData) -> tuple[Moments, Moments]:
        """Of the own records; one covariance for both where the property shifts the mean."""
        rows = _shown(own).numpy()
        both = [rows[own.present == value] for value in (0, 1)]
        means, spreads = [r.mean(0) for r in both], [np.cov(r.T) for r in both]
        if self.world.change == "mean":
            spreads = [(spreads[0] + spreads[1]) / 2] * 2
        absent, present = (Moments(m, s) for m, s in zip(means, spreads, strict=True))
        return absent, present


def best_in(world: OptimumWorld) -> tuple[type[Best], type[PlugIn]]:
    """The two tests of this world."""
    about = {"world": world, "__module__": __name__}
    best: type[Best] = type("Best", (Best,), about)
    plug_in: type[PlugIn] = type("PlugIn", (PlugIn,), about)
    return best, plug_in


def _shown(own: AuxiliaryData) -> Tensor:
    """[N, F] u of own records."""
    return own.samples.inputs.double() * (2.0 * own.samples.labels - 1)[:, None]


def _batch_means(gradient: np.ndarray, before: Tensor, engine: Engine, features: int) -> np.ndarray:
    """[F] sum of the clients' batch means of u, which the sum of their gradients [P] is linear in.

    What does not depend on u - it counts labels - is taken out.
    """
    unit = torch.eye(features)
    # u with s = +1 is shown as u with label 1, with s = -1 as -u with label 0; last u = 0, s = +1.
    inputs = torch.cat([unit, -unit, torch.zeros(1, features)])
    labels = torch.tensor([1] * features + [0] * features + [1])
    found = _gradients(inputs, labels, before, engine)
    by_u = (found[:features] + found[features:-1]) / 2
    basis = np.concatenate([by_u, found[-1:]])
    solved: np.ndarray = np.linalg.lstsq(basis.T, gradient, rcond=1e-9)[0]
    return solved[:features]


def _counts(
    gradient: np.ndarray, before: Tensor, engine: Engine, world: OptimumWorld
) -> np.ndarray:
    """[M] how many records of each kind the sum of their gradients [P] is of."""
    shown = torch.from_numpy(world.vectors).float()
    inputs = torch.cat([shown, -shown])
    found = _gradients(inputs, torch.arange(2 * KINDS) < KINDS, before, engine)
    if world.model == "linear":  # both labels have the same gradient
        found = found[:KINDS]
    counts = np.rint(np.linalg.lstsq(found.T, gradient, rcond=1e-9)[0])
    return counts if world.model == "linear" else counts[:KINDS] + counts[KINDS:]


def _gradients(inputs: Tensor, labels: Tensor, before: Tensor, engine: Engine) -> np.ndarray:
    """[n, P] of single records."""
    samples = Samples(inputs, labels.long())
    each = [np.array([n]) for n in range(len(inputs))]
    return engine.gradients(before, samples, each, Seed(0)).double().numpy()
