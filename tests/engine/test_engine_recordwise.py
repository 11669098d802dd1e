"""DP-SGD: gradients clipped record by record, and noise of the stated size on their sum."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from small_models import BatchNormalised, Dense, rows
from torch import Tensor, nn

from privaudit.accounting.claims import mu_over
from privaudit.engine.engine import Engine, Samples
from privaudit.engine.local_rule import LocalRule
from privaudit.engine.recordwise import Recordwise
from privaudit.errors import UserError
from privaudit.models.image_cnn import ImageCNN
from privaudit.models.text_cnn import TextCNN
from privaudit.randomness import Seed

SEED = Seed(5)
CLOSE = {"rtol": 1e-4, "atol": 1e-6}
BATCHES = [np.arange(8), np.arange(8, 16), np.array([3, 3, 59]), np.array([17])]


def seeded(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build()


def plain(model: nn.Module, samples: Samples, batch: np.ndarray) -> Tensor:
    inputs, labels = samples.batch(batch, torch.device("cpu"))
    loss = nn.functional.cross_entropy(model(inputs), labels)
    parts = torch.autograd.grad(loss, list(model.parameters()))
    return torch.cat([part.flatten() for part in parts])


class Flattened(nn.Module):
    """``view``, as many models of users have it, which needs the usual order of memory."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.dense = nn.Linear(4 * 36, 3)

    def forward(self, images: Tensor) -> Tensor:
        maps = nn.functional.max_pool2d(torch.tanh(self.first(images)), 2)
        return self.dense(maps.view(len(maps), -1))


def small_text_cnn() -> nn.Module:
    return TextCNN(2, 9, embedding=4, filters=3)


def words(count: int) -> Samples:
    rng = np.random.default_rng(0)
    return Samples.of(
        rng.integers(9, size=(count, 8)).astype(np.int32), rng.integers(2, size=count)
    )


def small_cnn() -> nn.Module:
    return ImageCNN(3, height=12, width=12, channels=(2, 3), hidden=5)


def small_images(count: int) -> Samples:
    rng = np.random.default_rng(0)
    return Samples.of(
        rng.integers(256, size=(count, 12, 12), dtype=np.uint8), rng.integers(3, size=count)
    )


class Stubborn(nn.Module):
    """Asks a tensor for its value, which cannot be done of many records at once."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(5, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.dense(inputs) * (2.0 if float(inputs.detach().sum()) > 1e9 else 1.0)


CASES: list[tuple[Callable[[], nn.Module], Samples]] = [
    (Dense, rows(60)),
    (Flattened, small_images(60)),
    (small_text_cnn, words(60)),
    (small_cnn, small_images(60)),
    (Stubborn, rows(60)),
]


def clipped_mean(model: nn.Module, samples: Samples, batch: np.ndarray, bound: float) -> Tensor:
    """The definition."""
    found = [plain(model, samples, np.array([record])) for record in batch]
    return sum(g * min(1.0, bound / float(g.norm())) for g in found) / len(batch)


@pytest.mark.parametrize(("build", "samples"), CASES)
def test_no_record_weighs_more_than_the_bound(
    build: Callable[[], nn.Module], samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference, engine = seeded(build), Engine(seeded(build))
    some = [plain(reference, samples, np.array([record])).norm() for record in range(8)]
    bound = float(torch.stack(some).median())  # half of them are clipped
    monkeypatch.setattr("privaudit.engine.recordwise.NUMBERS_AT_ONCE", 3 * engine.layout.size)
    treated = engine.under(Recordwise(bound, 0.0))
    found = treated.gradients(engine.initial, samples, BATCHES, SEED)
    for row, batch in zip(found, BATCHES, strict=True):
        torch.testing.assert_close(row, clipped_mean(reference, samples, batch, bound), **CLOSE)
    assert engine.under(None) is engine
    assert engine.under(Recordwise(bound, 0.0)) is treated
    unchanged = engine.gradients(engine.initial, samples, BATCHES[:1], SEED)[0]
    torch.testing.assert_close(unchanged, plain(reference, samples, BATCHES[0]), **CLOSE)


@pytest.mark.parametrize(("build", "samples"), CASES)
def test_without_bound_and_noise_it_is_ordinary_training(
    build: Callable[[], nn.Module], samples: Samples
) -> None:
    engine = Engine(seeded(build))
    settings: dict[str, Any] = {"rule": LocalRule(0.1, 0.5), "seed": SEED}
    usual = engine.train(engine.initial, samples, BATCHES, **settings)
    found = engine.under(Recordwise(1e9, 0.0)).train(engine.initial, samples, BATCHES, **settings)
    torch.testing.assert_close(found.delta, usual.delta, rtol=1e-3, atol=1e-5)
    assert (found.loss, found.accuracy) == pytest.approx((usual.loss, usual.accuracy), rel=1e-4)


def test_noise_is_of_the_stated_deviation_and_everybodys_own() -> None:
    engine, samples = Engine(seeded(small_cnn)), small_images(60)
    treated = engine.under(Recordwise(1e-6, 5.0))  # next to nothing but noise
    batch = np.arange(8)

    def deltas(root: int) -> Tensor:
        found = treated.train_clients(
            engine.initial,
            samples,
            [[batch, batch]] * 40,
            rule=LocalRule(0.5),
            seeds=[Seed(root).child(client) for client in range(40)],
        )
        return torch.stack([update.delta for update in found]).double()

    first = deltas(1)
    # Two steps, each -lr times noise of z C / b.
    assert float(first.std()) == pytest.approx(0.5 * 2**0.5 * 5e-6 / 8, rel=0.03)
    alike = torch.corrcoef(first) - torch.eye(40)
    assert float(alike.abs().max()) < 6 / engine.layout.size**0.5
    assert torch.equal(first, deltas(1))
    assert not torch.equal(first, deltas(2))


@pytest.mark.parametrize("passes", [1, 3])
def test_two_neighbours_are_as_far_apart_as_the_account_says(passes: int) -> None:
    """The exact Gaussian form: μ = 2 √(uses) / z where one record is exchanged for its opposite.

    Of a linear model on records alike, gradients keep their direction, and all are longer than the
    bound; so the two neighbours' deltas are normal about two means, and the best test of all, their
    projection, reaches what no test may exceed.
    """
    inputs = np.zeros((6, 4), np.float32)
    inputs[:, 0] = 50.0
    neighbours = [
        Samples.of(inputs, np.array([0, 1, 0, 1, 0, last], dtype=np.int64)) for last in (0, 1)
    ]
    multiplier, draws = 1.5, 3000
    treatment = Recordwise(1.0, multiplier)
    engine = Engine(seeded(lambda: nn.Linear(4, 2)))
    batches = [np.arange(6)] * passes
    found = []
    start = torch.zeros(engine.layout.size)
    for which, samples in enumerate(neighbours):
        updates = engine.under(treatment).train_clients(
            start,
            samples,
            [batches] * draws,
            rule=LocalRule(1e-3),
            seeds=[Seed(which).child(number) for number in range(draws)],
        )
        found.append(torch.stack([update.delta for update in updates]).double().numpy())
    way = found[0].mean(0) - found[1].mean(0)
    way /= np.linalg.norm(way)
    scores = [deltas @ way for deltas in found]
    deviation = math.sqrt((scores[0].var() + scores[1].var()) / 2)
    mu = (scores[0].mean() - scores[1].mean()) / deviation
    promised = mu_over(multiplier, passes, "replace-one")
    assert mu == pytest.approx(promised, abs=4 * math.sqrt((2 + promised**2 / 4) / draws))


def test_a_model_without_gradients_of_single_records_is_refused() -> None:
    engine = Engine(BatchNormalised(3, 6))
    with pytest.raises(UserError, match=r"no record has a gradient of its own.*GroupNorm"):
        engine.under(Recordwise(1.0, 1.0))


def test_what_is_not_finite_is_left_for_the_server_to_refuse() -> None:
    inputs = np.full((4, 4), np.inf, np.float32)
    samples = Samples.of(inputs, np.zeros(4, np.int64))
    engine = Engine(seeded(lambda: nn.Linear(4, 2)))
    found = engine.under(Recordwise(1.0, 1.0)).gradients(
        engine.initial, samples, [np.arange(4)], SEED
    )
    assert not bool(torch.isfinite(found).all())
