"""The best tests are the best: exact ratios, of what is really in the sums."""

from __future__ import annotations

import itertools
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from privaudit.engine.engine import Engine, Samples
from privaudit.models.mlp import MLP
from privaudit.randomness import Seed
from privaudit.selftest.optima import (
    KINDS,
    Change,
    Kind,
    Moments,
    OpenHidden,
    OptimumWorld,
    _batch_means,
    _counts,
    counted_ratio,
    gaussian_ratio,
)
from privaudit.selftest.world import ZeroLinear

KINDS_OF_MODEL: tuple[Kind, ...] = get_args(Kind)


@given(
    counts=st.lists(st.integers(0, 3), min_size=3, max_size=3).filter(lambda c: sum(c) >= 2),
    batch=st.integers(1, 2),
)
def test_the_ratio_of_a_mixture_is_the_mean_over_all_choices(counts: list[int], batch: int) -> None:
    ratios = np.array([0.5, 1.0, 2.5])
    each = np.repeat(ratios, counts)
    chosen = [np.prod(some) for some in itertools.combinations(each, batch)]
    found = counted_ratio(np.array(counts), ratios, batch)
    assert found == pytest.approx(np.log(np.mean(chosen)))


def test_the_ratio_of_sums_is_that_of_two_densities() -> None:
    rng = np.random.default_rng(1)
    absent = Moments(np.array([0.1, 0.0]), np.diag([1.0, 2.0]))
    present = Moments(np.array([0.5, -0.2]), np.array([[2.0, 0.3], [0.3, 1.0]]))
    rows = rng.standard_normal((6, 2))

    def densities(total: np.ndarray) -> float:
        both = []
        for one in (present, absent):
            mean = one.mean + 3 * absent.mean
            covariance = (one.covariance + 3 * absent.covariance) / 8
            both.append(multivariate_normal(mean, covariance).logpdf(total))
        return float(both[0] - both[1])

    found = [gaussian_ratio(row, absent, present, contributors=4, batch=8) for row in rows]
    assert np.diff(found) == pytest.approx(np.diff([densities(row) for row in rows]))


def made(change: Change, model: Kind) -> tuple[OptimumWorld, Engine]:
    world = OptimumWorld(change, model, 3, records=200)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        module = ZeroLinear(2, world.features) if model == "linear" else None
        if module is None:
            mixed = change == "mixture"
            module = MLP(2, world.features, hidden=[8]) if mixed else OpenHidden(2, world.features)
        return world, Engine(module)


@pytest.mark.parametrize("model", KINDS_OF_MODEL)
def test_what_is_read_off_a_sum_is_what_is_in_it(model: Kind) -> None:
    for change in ("mean", "mixture"):
        world, engine = made(change, model)
        data = world.dataset(Seed(2))
        samples = Samples(torch.from_numpy(data.inputs), torch.from_numpy(data.labels))
        batches = np.split(np.arange(4 * world.batch), 4)
        gradient = engine.gradients(engine.initial, samples, batches, Seed(0)).sum(0)
        known = gradient.double().numpy()
        shown = data.inputs * (2.0 * data.labels - 1)[:, None]
        if change == "mean":
            expected = sum(shown[batch].mean(0) for batch in batches)
            found = _batch_means(known, engine.initial, engine, world.features)
            assert found == pytest.approx(expected, abs=0.02)
        else:
            kind = ((shown[: 4 * world.batch, None] - world.vectors) ** 2).sum(2).argmin(1)
            counts = _counts(known * world.batch, engine.initial, engine, world)
            assert counts.tolist() == np.bincount(kind, minlength=KINDS).tolist()
