"""Whatever computes the gradients, they are the same up to rounding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from small_models import BatchNormalised, Dense, rows
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from privaudit.engine.batched import BatchedStepper
from privaudit.engine.engine import Engine, LocalRule, Samples
from privaudit.errors import UserError
from privaudit.models.image_cnn import ImageCNN
from privaudit.models.text_cnn import TextCNN
from privaudit.randomness import Seed

SEED = Seed(5)
CLOSE = {"rtol": 1e-4, "atol": 1e-6}
"""Sums of some hundred float32 products of numbers near one, added in another order."""


class Flattened(nn.Module):
    """As many models of users: ``view`` instead of ``flatten``, which needs the usual order."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 6, 3, padding=1)
        self.dense = nn.Linear(6 * 9, 3)

    def forward(self, images: Tensor) -> Tensor:
        maps = nn.functional.max_pool2d(torch.tanh(self.second(torch.tanh(self.first(images)))), 2)
        return self.dense(self.flat(maps))

    def flat(self, maps: Tensor) -> Tensor:
        return maps.view(len(maps), -1)


class Reshaped(Flattened):
    """The same without the demand."""

    def flat(self, maps: Tensor) -> Tensor:
        return maps.flatten(1)


def seeded(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build()


def images(count: int) -> Samples:
    rng = np.random.default_rng(0)
    return Samples.of(
        rng.integers(256, size=(count, 6, 6), dtype=np.uint8), rng.integers(3, size=count)
    )


CASES = [(Dense, rows(60)), (Reshaped, images(60)), (Flattened, images(60))]
BATCHES = [np.arange(8), np.arange(8, 16), np.array([3, 3, 59]), np.array([17])]


def plain(model: nn.Module, samples: Samples, batch: np.ndarray) -> Tensor:
    inputs, labels = samples.batch(batch, torch.device("cpu"))
    loss = nn.functional.cross_entropy(model(inputs), labels)
    parts = torch.autograd.grad(loss, list(model.parameters()))
    return torch.cat([part.flatten() for part in parts])


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize(("build", "samples"), CASES)
def test_gradients_are_those_of_autograd(
    build: type[nn.Module], samples: Samples, batched: bool
) -> None:
    reference, engine = seeded(build), Engine(seeded(build), batched=batched)
    found = engine.gradients(engine.initial, samples, BATCHES, SEED)
    for row, batch in zip(found, BATCHES, strict=True):
        torch.testing.assert_close(row, plain(reference, samples, batch), **CLOSE)
    assert engine.remarks == ()


class Dropping(nn.Module):
    """Dropout: what a record's gradient is depends on its place in the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(5, 32), nn.Dropout(0.5), nn.Linear(32, 3))

    def forward(self, batch: Tensor) -> Tensor:
        return self.layers(batch)


class Standardised(nn.Module):
    """Normalises over the batch without a layer for it: one record has no spread."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 3)

    def forward(self, batch: Tensor) -> Tensor:
        return self.layer((batch - batch.mean(0)) / batch.std(0))


class Squeezed(Dense):
    """Outputs of a single record lose the dimension of the batch, as in many models of users."""

    def forward(self, batch: Tensor) -> Tensor:
        return super().forward(batch).unsqueeze(0).squeeze()


@pytest.mark.parametrize(
    ("build", "samples", "adds_up"),
    [
        *((build, samples, True) for build, samples in CASES),
        (lambda: ImageCNN(3, height=6, width=6, channels=[2, 3], hidden=4), images(60), True),
        (Dropping, rows(60), False),
        (Standardised, rows(60), False),
        (Squeezed, rows(60), False),
        (lambda: BatchNormalised(3, 6), images(60), False),
    ],
)
def test_many_batches_are_means_of_their_records_where_a_batch_is_one(
    build: Callable[[], nn.Module],
    samples: Samples,
    adds_up: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine, rng = Engine(seeded(build)), np.random.default_rng(1)
    batches = [rng.choice(20, 6) for _ in range(80)]  # some records twice
    expected = engine.gradients(engine.initial, samples, batches, SEED)
    computed = []
    known = engine.gradients

    def counted(*args: Any) -> Tensor:
        computed.append(len(args[2]))
        return known(*args)

    monkeypatch.setattr(engine, "gradients", counted)
    found = engine.many_gradients(engine.initial, samples, batches, SEED)
    torch.testing.assert_close(found, expected, **CLOSE)
    assert (sum(computed) < len(batches)) == adds_up


class Attentive(nn.Module):
    """Attention, whose fused kernels cannot be differentiated twice."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.embedding, self.out = nn.Embedding(9, 8), nn.Linear(8, 2)

    def forward(self, words: Tensor) -> Tensor:
        return self.out(self.block(self.embedding(words)).mean(1))


def words(count: int) -> Samples:
    rng = np.random.default_rng(0)
    return Samples.of(
        rng.integers(9, size=(count, 8)).astype(np.int32), rng.integers(2, size=count)
    )


def small_text_cnn() -> nn.Module:
    return TextCNN(2, 9, embedding=4, filters=3)


@pytest.mark.parametrize(
    ("build", "samples"), [*CASES, (small_text_cnn, words(60)), (Attentive, words(60))]
)
def test_slopes_are_the_gradients_of_single_records_along_a_direction(
    build: Callable[[], nn.Module], samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("privaudit.engine.engine.CHUNK", 7)
    engine, records = Engine(seeded(build)), np.array([3, *range(5, 20), 59, 3])
    direction = torch.randn(engine.layout.size, generator=torch.Generator().manual_seed(1))
    found = engine.slopes(engine.initial, samples, records, direction, SEED)
    single = engine.gradients(engine.initial, samples, list(records[:, None]), SEED)
    torch.testing.assert_close(found, single @ direction, rtol=1e-3, atol=1e-5)
    assert float(found.std()) > 0.01


def test_records_whose_gradients_depend_on_their_batch_have_no_slopes() -> None:
    engine = Engine(BatchNormalised(3, 6))
    with pytest.raises(ValueError, match="share"):
        engine.slopes(engine.initial, images(20), np.arange(9), engine.initial, SEED)


def test_models_that_need_the_usual_order_of_memory_get_it() -> None:
    """Otherwise the case above would have failed for ``Flattened``; and the others keep ours."""
    for build, kept in ((Reshaped, True), (Flattened, False)):
        engine = Engine(seeded(build))
        engine.gradients(engine.initial, images(20), [np.arange(8)], SEED)
        weight = engine.model.second.weight
        assert weight.is_contiguous(memory_format=torch.channels_last) is kept


class Watching(Reshaped):
    """Notes in which order of memory its first maps come."""

    innermost = False

    def forward(self, images: Tensor) -> Tensor:
        self.innermost = self.first(images).is_contiguous(memory_format=torch.channels_last)
        return super().forward(images)


def test_pictures_of_one_channel_too_are_convolved_with_the_channels_innermost() -> None:
    engine = Engine(seeded(Watching))
    engine.gradients(engine.initial, images(20), [np.arange(8)], SEED)
    assert engine.model.innermost


class Noting(TorchDispatchMode):
    """Notes which order of memory the slopes of poolings come in."""

    def __init__(self) -> None:
        super().__init__()
        self.innermost: list[bool] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function is torch.ops.aten.max_pool2d_with_indices_backward.default:
            self.innermost.append(args[0].is_contiguous(memory_format=torch.channels_last))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(("build", "expected"), [(Reshaped, True), (Flattened, False)])
def test_slopes_reach_a_pooling_in_the_order_of_its_maps(
    build: type[nn.Module], expected: bool
) -> None:
    engine = Engine(seeded(build))
    engine.gradients(engine.initial, images(20), [np.arange(8)], SEED)
    with Noting() as noting:
        engine.gradients(engine.initial, images(20), [np.arange(8)], SEED)
    assert noting.innermost == [expected]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize(("build", "samples"), CASES)
def test_clients_trained_at_once_are_those_trained_alone(
    build: type[nn.Module], samples: Samples, momentum: float
) -> None:
    clients = [
        [np.arange(0, 8), np.arange(8, 13)],
        [np.arange(30, 38)],
        [np.arange(20, 28), np.arange(5)],
        [np.arange(40, 48), np.arange(50, 55)],
    ]
    how = {"rule": LocalRule(0.3, momentum)}
    alone, together = Engine(seeded(build)), Engine(seeded(build), batched=True)
    seeds = [SEED.child(number) for number in range(4)]
    found = list(together.train_clients(together.initial, samples, clients, seeds=seeds, **how))
    one_by_one = list(alone.train_clients(alone.initial, samples, clients, seeds=seeds, **how))
    for batches, got, also, seed in zip(clients, found, one_by_one, seeds, strict=True):
        expected = alone.train(alone.initial, samples, batches, seed=seed, **how)
        assert torch.equal(also.delta, expected.delta)
        assert float(expected.delta.abs().max()) > 1e-3
        torch.testing.assert_close(got.delta, expected.delta, **CLOSE)
        assert (got.samples, got.accuracy) == (expected.samples, expected.accuracy)
        assert got.loss == pytest.approx(expected.loss, rel=1e-4)


def test_what_cannot_be_batched_runs_one_after_the_other_and_says_so() -> None:
    samples = words(20)
    slow, engine = Engine(seeded(small_text_cnn)), Engine(seeded(small_text_cnn), batched=True)
    batches = [np.arange(5), np.arange(7, 20)]
    found = engine.gradients(engine.initial, samples, batches, SEED)
    expected = slow.gradients(slow.initial, samples, batches, SEED)
    torch.testing.assert_close(found, expected, **CLOSE)
    assert "cannot be batched" in engine.remarks[0]


def test_groups_hold_at_most_what_memory_bears(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three gradients at once instead of all: the same rows, in the same places."""
    engine, samples = Engine(seeded(Dense), batched=True), rows(60)
    whole = engine.gradients(engine.initial, samples, BATCHES * 3, SEED)
    monkeypatch.setattr("privaudit.engine.batched.NUMBERS_AT_ONCE", 3 * engine.layout.size)
    assert isinstance(engine._stepper, BatchedStepper)
    assert max(map(len, engine._stepper._groups([8] * 7))) == 3
    parts = engine.gradients(engine.initial, samples, BATCHES * 3, SEED)
    torch.testing.assert_close(parts, whole, **CLOSE)


@pytest.mark.parametrize("name", ["cuda:99", "tpu", "meta", "no device"])
def test_a_device_that_is_not_there_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(UserError, match=f"no device '{name}' here; use cpu") as raised:
        Engine(Dense(), device=name)
    assert "\n" not in str(raised.value)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize(
    ("build", "samples"),
    [*CASES, (lambda: ImageCNN(3, channels=[4], hidden=8, height=6, width=6), images(60))],
)
def test_a_gpu_gives_the_same_results_up_to_rounding(
    build: Callable[[], nn.Module], samples: Samples
) -> None:
    here, there = Engine(seeded(build)), Engine(seeded(build), device="cuda")
    loose = {"rtol": 1e-4, "atol": 1e-5}
    torch.testing.assert_close(
        there.gradients(there.initial, samples, BATCHES, SEED),
        here.gradients(here.initial, samples, BATCHES, SEED),
        **loose,
    )
    how = {"rule": LocalRule(0.3, 0.9), "seed": SEED}
    torch.testing.assert_close(
        there.train(there.initial, samples, BATCHES, **how).delta,
        here.train(here.initial, samples, BATCHES, **how).delta,
        **loose,
    )
    assert there.evaluate(there.initial, samples) == pytest.approx(
        here.evaluate(here.initial, samples), rel=1e-4
    )
    sent = there.__reduce__()[1][0]
    assert {p.device.type for p in sent.parameters()} == {"cpu"}  # opened by whoever has no GPU
    assert {p.device.type for p in there.model.parameters()} == {"cuda"}
