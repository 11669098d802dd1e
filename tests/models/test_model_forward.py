"""The bundled models against naive references: values and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from privaudit.models.image_cnn import ImageCNN
from privaudit.models.mlp import MLP
from privaudit.models.text_cnn import TextCNN

FLOAT64 = {"rtol": 1e-11, "atol": 1e-12}
"""A few hundred float64 operations on values near one: 1e4 rounding errors of 1e-16 to spare."""


def seeded(build: type[nn.Module], seed: int = 0, **arguments: object) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(**arguments)


def both(model: nn.Module, reference: Tensor, found: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Gradients of the same scalar of both outputs, in parameter order."""
    weights = torch.linspace(-1, 1, found.numel(), dtype=found.dtype).view_as(found)
    parameters = list(model.parameters())
    return (
        list(torch.autograd.grad((reference * weights).sum(), parameters)),
        list(torch.autograd.grad((found * weights).sum(), parameters)),
    )


def textbook_cnn(model: ImageCNN, images: Tensor) -> Tensor:
    """Convolution, ReLU, then pooling: the order of the textbooks."""
    maps = images
    for convolution in model.convolutions:
        maps = functional.max_pool2d(functional.relu(convolution(maps)), 2)
    return model.output(functional.relu(model.hidden(maps.flatten(1))))


@pytest.mark.parametrize(
    ("channels", "shape"), [((2,), (1, 28, 28)), ((3, 5), (3, 28, 20)), ((2, 3, 4), (1, 9, 9))]
)
def test_image_cnn_pools_before_relu_and_it_makes_no_difference(
    channels: tuple[int, ...], shape: tuple[int, int, int]
) -> None:
    sides = dict(zip(("in_channels", "height", "width"), shape, strict=True))
    model = seeded(ImageCNN, num_classes=4, channels=channels, hidden=6, **sides).double()
    images = torch.from_numpy(np.random.default_rng(0).random((3, *shape)))
    expected, found = textbook_cnn(model, images), model(images)
    torch.testing.assert_close(found, expected, **FLOAT64)
    for reference, gradient in zip(*both(model, expected, found), strict=True):
        assert reference.abs().max() > 0
        torch.testing.assert_close(gradient, reference, **FLOAT64)


def naive_text_cnn(model: TextCNN, tokens: Tensor) -> Tensor:
    """Embedding, a convolution over the whole text, ReLU, max over time."""
    vectors = model.embedding(tokens).transpose(1, 2)  # [b, e, n]
    pooled = []
    for width, bank in zip(model.widths, model.banks, strict=True):
        weight = bank.weight.view(bank.out_features, width, -1).transpose(1, 2)  # [f, e, w]
        maps = functional.relu(functional.conv1d(vectors, weight, bank.bias))
        pooled.append(maps.amax(2))
    return model.output(model.dropout(torch.cat(pooled, dim=1)))


@settings(max_examples=30)
@given(
    length=st.integers(4, 12),
    batch=st.integers(1, 4),
    padding=st.integers(0, 8),
    seed=st.integers(0, 10_000),
)
def test_text_cnn_is_a_convolution_with_max_over_time(
    length: int, batch: int, padding: int, seed: int
) -> None:
    model = seeded(
        TextCNN, seed, num_classes=3, vocabulary_size=20, embedding=5, widths=(2, 3, 4), filters=6
    ).double()
    tokens = torch.from_numpy(np.random.default_rng(seed).integers(1, 20, (batch, length)))
    tokens[0, length - min(padding, length) :] = 0
    expected, found = naive_text_cnn(model, tokens), model(tokens)
    torch.testing.assert_close(found, expected, **FLOAT64)
    for reference, gradient in zip(*both(model, expected, found), strict=True):
        torch.testing.assert_close(gradient, reference, **FLOAT64)


def test_text_cnn_in_float32_at_the_published_sizes() -> None:
    model = seeded(TextCNN, num_classes=2, vocabulary_size=300)
    tokens = torch.from_numpy(np.random.default_rng(1).integers(1, 300, (3, 60)))
    tokens[1, 20:] = 0
    expected, found = naive_text_cnn(model, tokens), model(tokens)
    # Longest sum: 5 * 320 products of a word (|v| <= .25) and a weight (|w| <= 1/sqrt(960)).
    bound = 1600 * torch.finfo(torch.float32).eps
    torch.testing.assert_close(found, expected, rtol=0, atol=bound)
    for reference, gradient in zip(*both(model, expected, found), strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-4, atol=bound)


def test_padding_never_learns_and_starts_at_zero() -> None:
    model = seeded(TextCNN, num_classes=2, vocabulary_size=9, embedding=4, filters=3)
    assert torch.equal(model.embedding.weight[0], torch.zeros(4))
    tokens = torch.tensor([[3, 1, 4, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0]])
    model(tokens).sum().backward()
    gradient = model.embedding.weight.grad
    assert torch.equal(gradient[0], torch.zeros(4))
    assert gradient[[1, 3, 4]].abs().sum() > 0
    assert torch.equal(gradient[[2, 5, 6, 7, 8]], torch.zeros(5, 4))


def test_text_cnn_dropout_acts_in_training_only() -> None:
    model = seeded(TextCNN, num_classes=2, vocabulary_size=9, embedding=4, filters=30, dropout=0.5)
    tokens = torch.tensor([[3, 1, 4, 2, 5, 6]])
    model.eval()
    torch.testing.assert_close(model(tokens), naive_text_cnn(model, tokens))
    model.train()
    with torch.random.fork_rng(devices=[]):
        assert not torch.equal(model(tokens), model(tokens))


def test_mlp_is_dense_relu_dense() -> None:
    model = seeded(MLP, num_classes=3, features=4, hidden=(5, 6)).double()
    rows = torch.from_numpy(np.random.default_rng(0).standard_normal((7, 4)))
    values = rows.numpy()
    dense = [layer for layer in model.layers if isinstance(layer, nn.Linear)]
    for number, layer in enumerate(dense):
        values = values @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        if number < len(dense) - 1:
            values = np.maximum(values, 0)
    np.testing.assert_allclose(model(rows).detach().numpy(), values, rtol=1e-11, atol=1e-12)
    assert [tuple(layer.weight.shape) for layer in dense] == [(5, 4), (6, 5), (3, 6)]


def test_mlp_without_hidden_layers_is_logistic_regression() -> None:
    model = seeded(MLP, num_classes=3, features=4, hidden=())
    assert sum(p.numel() for p in model.parameters()) == 3 * 4 + 3
