"""The hand-written gradients of the text CNN against autograd's, at every shape it takes."""

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
from privaudit.models.text_cnn import TextCNN
from privaudit.models.text_cnn_step import TextCNNStep
from privaudit.randomness import Seed

CPU = torch.device("cpu")
FLOAT64 = {"rtol": 1e-9, "atol": 1e-12}
"""Hundreds of float64 products of numbers near one: 1e4 rounding errors of 1e-16 to spare."""
ROUNDING = 2000 * torch.finfo(torch.float32).eps
"""Longest sum: 5 * 320 products of a window and a filter, of numbers below one."""


def built(dtype: torch.dtype = torch.float64, **arguments: object) -> TextCNN:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return TextCNN(**arguments).to(dtype)


def autograd(model: nn.Module, tokens: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean loss and [P] gradient."""
    loss = nn.functional.cross_entropy(model(tokens), labels)
    parts = torch.autograd.grad(loss, list(model.parameters()))
    return loss.detach(), torch.cat([part.flatten() for part in parts])


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    widths=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    vocabulary=st.integers(2, 12),
    length=st.integers(4, 9),
    filters=st.integers(1, 6),
    classes=st.integers(2, 4),
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4),
)
def test_gradients_of_every_shape_are_autograds(
    seed: int,
    widths: list[int],
    vocabulary: int,
    length: int,
    filters: int,
    classes: int,
    sizes: list[int],
) -> None:
    model = built(
        num_classes=classes,
        vocabulary_size=vocabulary,
        embedding=3,
        widths=widths,
        filters=filters,
    )
    rng = np.random.default_rng(seed)
    tokens = rng.integers(vocabulary, size=(sum(sizes), length))
    tokens[0, length // 2 :] = 0  # padding, as in most texts
    samples = Samples.of(tokens, rng.integers(classes, size=sum(sizes)))
    batches = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    layout = Layout.of([(name, p.shape) for name, p in model.named_parameters()])
    stepper = stepper_for(model, layout, CPU)
    assert isinstance(stepper, TextCNNStep)
    out = torch.full((len(sizes), layout.size), torch.nan, dtype=torch.float64)
    stepper.gradients(samples, batches, out)
    for row, batch in zip(out, batches, strict=True):
        loss, expected = autograd(model, samples.inputs[batch], samples.labels[batch])
        torch.testing.assert_close(row, expected, **FLOAT64)
        mean, correct, parts = stepper.step(samples.inputs[batch], samples.labels[batch])
        torch.testing.assert_close(mean, loss, **FLOAT64)
        logits = model(samples.inputs[batch])
        assert int(correct) == int((logits.argmax(1) == samples.labels[batch]).sum())
        torch.testing.assert_close(torch.cat([p.flatten() for p in parts]), row, **FLOAT64)


def engines(**arguments: object) -> tuple[Engine, Engine, Samples]:
    """The engine as it comes, one on plain autograd, and texts with rare and common words."""
    sizes = {"num_classes": 2, "vocabulary_size": 400, "filters": 20, **arguments}
    fast, slow = (Engine(built(torch.float32, **sizes)) for _ in range(2))
    slow._stepper = Stepper(slow.model, slow.layout, CPU)
    rng = np.random.default_rng(1)
    tokens = np.minimum(rng.zipf(1.3, (60, 50)), 399).astype(np.int32)
    tokens[::3, 30:] = 0
    return fast, slow, Samples.of(tokens, rng.integers(2, size=60))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_float32_and_the_same_features_dropped(dropout: float) -> None:
    fast, slow, samples = engines(dropout=dropout)
    batches = [np.arange(12), np.array([5]), np.arange(20, 60)]
    found = fast.gradients(fast.initial, samples, batches, Seed(0))
    expected = slow.gradients(slow.initial, samples, batches, Seed(0))
    assert float(expected.abs().max()) > 30 * ROUNDING
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=ROUNDING)
    # One after the other draws the same masks: a row differs from what it would be with another.
    other = fast.gradients(fast.initial, samples, batches, Seed(1))
    assert torch.equal(found, other) is (dropout == 0.0)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_training(momentum: float) -> None:
    fast, slow, samples = engines()
    batches = [np.arange(i, i + 12) for i in range(0, 60, 12)]
    how = {"rule": LocalRule(0.5, momentum), "seed": Seed(0)}
    found = fast.train(fast.initial, samples, batches, **how)
    expected = slow.train(slow.initial, samples, batches, **how)
    assert float(expected.delta.abs().max()) > 30 * ROUNDING
    torch.testing.assert_close(found.delta, expected.delta, rtol=1e-3, atol=ROUNDING)
    assert found.loss == pytest.approx(expected.loss, rel=1e-4)
    assert (found.accuracy, found.samples) == (expected.accuracy, expected.samples)


def test_an_unknown_token_is_an_error_as_in_torch() -> None:
    fast, _, samples = engines()
    samples.inputs[0, 0] = 400
    with pytest.raises(IndexError):
        fast.gradients(fast.initial, samples, [np.arange(3)], Seed(0))


def test_filters_that_are_all_below_zero_move_no_word() -> None:
    fast, _, samples = engines()
    parameters = fast.initial.clone()
    for piece in fast.layout.slices:
        if piece.name.startswith("banks") and piece.name.endswith("bias"):
            parameters[piece.start : piece.stop] = -100.0
    gradient = fast.gradients(parameters, samples, [np.arange(5)], Seed(0))[0].numpy()
    parts = fast.layout.split(gradient)
    assert not parts["embedding.weight"].any()
    assert parts["output.bias"].any()
