"""The hand-written gradients of the CNN against autograd's, at every shape it takes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from privaudit.engine.engine import Engine, LocalRule, Samples
from privaudit.engine.layout import Layout
from privaudit.engine.stepper import Stepper, stepper_for
from privaudit.models import image_cnn_step
from privaudit.models.build import InputShape
from privaudit.models.image_cnn import ImageCNN
from privaudit.models.image_cnn_step import ImageCNNStep
from privaudit.randomness import Seed

CPU = torch.device("cpu")
FLOAT64 = {"rtol": 1e-9, "atol": 1e-12}
"""Thousands of float64 products of numbers near one: 1e4 rounding errors of 1e-16 to spare."""


def built(dtype: torch.dtype = torch.float64, **arguments: object) -> ImageCNN:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return ImageCNN(**arguments).to(dtype)


def lean(model: nn.Module) -> ImageCNNStep:
    layout = Layout.of([(name, p.shape) for name, p in model.named_parameters()])
    found = stepper_for(model, layout, CPU)
    assert isinstance(found, ImageCNNStep)
    return found


def autograd(model: nn.Module, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean loss and [P] gradient."""
    loss = nn.functional.cross_entropy(model(inputs), labels)
    parts = torch.autograd.grad(loss, list(model.parameters()))
    return loss.detach(), torch.cat([part.flatten() for part in parts])


def records(
    rng: np.random.Generator, count: int, shape: tuple[int, int, int], classes: int
) -> tuple[Tensor, Tensor]:
    inputs = torch.from_numpy(rng.standard_normal((count, *shape)))
    return inputs, torch.from_numpy(rng.integers(classes, size=count))


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    channels=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    shape=st.tuples(st.sampled_from([1, 3]), st.integers(8, 13), st.integers(8, 13)),
    hidden=st.integers(1, 6),
    classes=st.integers(2, 5),
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=5)
    | st.integers(1, 5).map(lambda records: [1] * records),
)
def test_gradients_of_every_shape_are_autograds(
    seed: int,
    channels: list[int],
    shape: tuple[int, int, int],
    hidden: int,
    classes: int,
    sizes: list[int],
) -> None:
    sides = dict(zip(("in_channels", "height", "width"), shape, strict=True))
    model = built(num_classes=classes, channels=channels, hidden=hidden, **sides)
    inputs, labels = records(np.random.default_rng(seed), sum(sizes), shape, classes)
    stepper = lean(model)
    out = torch.full((len(sizes), stepper.layout.size), torch.nan, dtype=torch.float64)
    loss, correct = stepper.backward(inputs, labels, sizes, out)
    batches = zip(inputs.split(sizes), labels.split(sizes), strict=True)
    for row, batch in zip(out, batches, strict=True):
        torch.testing.assert_close(row, autograd(model, *batch)[1], **FLOAT64)
    torch.testing.assert_close(loss, autograd(model, inputs, labels)[0], **FLOAT64)
    assert int(correct) == int((model(inputs).argmax(1) == labels).sum())


@pytest.fixture(scope="module", params=[(28, 28), (28, 20, 3)], ids=["grey", "colour"])
def bundled(request: pytest.FixtureRequest) -> tuple[Engine, Engine, Samples]:
    """The engine as it comes, one on plain autograd, and glyph-like records with blank margins."""
    rng = np.random.default_rng(1)
    pictures = rng.integers(256, size=(200, *request.param), dtype=np.uint8)
    pictures[:, :6] = pictures[:, -6:] = 0
    samples = Samples.of(pictures, rng.integers(47, size=200))
    shape = InputShape.of("image", pictures.shape, num_classes=47).facts()
    shape = {name: value for name, value in shape.items() if name not in ("side", "features")}
    fast, slow = (Engine(built(torch.float32, **shape)) for _ in range(2))
    slow._stepper = Stepper(slow.model, slow.layout, CPU)
    return fast, slow, samples


ROUNDING = 3000 * torch.finfo(torch.float32).eps
"""Longest sum: 3,136 products (the dense layer), of numbers well below one."""


def test_the_bundled_sizes_in_float32(bundled: tuple[Engine, Engine, Samples]) -> None:
    fast, slow, samples = bundled
    batches = [np.arange(32), np.arange(40, 44), np.arange(90, 190), np.array([3])]
    found = fast.gradients(fast.initial, samples, batches, Seed(0))
    expected = slow.gradients(slow.initial, samples, batches, Seed(0))
    assert float(expected.abs().max()) > 100 * ROUNDING
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=ROUNDING)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_training(bundled: tuple[Engine, Engine, Samples], momentum: float) -> None:
    fast, slow, samples = bundled
    batches = [np.arange(i, min(i + 32, 120)) for i in range(0, 120, 32)]
    how = {"rule": LocalRule(0.2, momentum), "seed": Seed(0)}
    found = fast.train(fast.initial, samples, batches, **how)
    expected = slow.train(slow.initial, samples, batches, **how)
    assert float(expected.delta.abs().max()) > 30 * ROUNDING
    torch.testing.assert_close(found.delta, expected.delta, rtol=1e-3, atol=ROUNDING)
    assert found.loss == pytest.approx(expected.loss, rel=1e-4)
    assert (found.accuracy, found.samples) == (expected.accuracy, expected.samples)


def test_batches_that_share_a_pass_give_what_each_gives_alone(
    bundled: tuple[Engine, Engine, Samples],
) -> None:
    fast, _, samples = bundled
    batches = [np.arange(i, i + 4) for i in range(0, 120, 4)] + [np.arange(70)]
    together = fast.gradients(fast.initial, samples, batches, Seed(0))
    for row, batch in zip(together, batches, strict=True):
        alone = fast.gradients(fast.initial, samples, [batch], Seed(0))[0]
        torch.testing.assert_close(row, alone, rtol=1e-4, atol=ROUNDING)


@given(st.lists(st.integers(0, 100), max_size=20), st.integers(0, 150))
def test_passes_take_every_batch_once_and_few_records_at_a_time(
    sizes: list[int], most: int
) -> None:
    passes = list(image_cnn_step._shared_passes(sizes, most))
    assert [number for first, last in passes for number in range(first, last)] == [
        *range(len(sizes))
    ]
    for first, last in passes:
        assert last == first + 1 or sum(sizes[first:last]) <= most


class Descendant(ImageCNN):
    """May compute something else."""


def hooked() -> nn.Module:
    model = built(num_classes=3, channels=[2], height=8, width=8)
    model.hidden.register_forward_hook(lambda module, inputs, output: output * 2)
    return model


def frozen() -> nn.Module:
    model = built(num_classes=3, channels=[2], height=8, width=8)
    model.hidden.bias.requires_grad_(False)
    return model


def swapped() -> nn.Module:
    class Other(nn.Linear):
        pass

    model = built(num_classes=3, channels=[2], height=8, width=8)
    model.output = Other(128, 3)
    return model


def patched() -> nn.Module:
    model = built(num_classes=3, channels=[2], height=8, width=8)
    model.forward = lambda images: images.flatten(1)[:, :3]
    return model


@pytest.mark.parametrize(
    "build",
    [lambda: Descendant(3, channels=[2], height=8, width=8), hooked, frozen, swapped, patched],
    ids=["subclass", "hooked", "frozen", "swapped", "patched"],
)
def test_a_model_that_was_changed_gets_plain_autograd(build: object) -> None:
    assert type(Engine(build())._stepper) is Stepper
