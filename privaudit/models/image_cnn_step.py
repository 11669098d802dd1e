"""Gradients of :class:`~privaudit.models.image_cnn.ImageCNN` by hand: autograd's, up to rounding.

What it does otherwise than autograd (docs/performance.md has the gain):

- the first convolution has few input channels: a product of small windows of the images;
- of the outputs in a pooling window only the largest has a slope: weight gradients are weighted
  sums of the windows that won, a quarter of the work of a product;
- several small batches go through the layers together, and only their weight gradients are taken
  apart, straight into the rows where they belong;
- biases are added after pooling, to a quarter of the numbers: max(x + b) = max(x) + b.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate, pairwise
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from privaudit.engine.samples import Samples
from privaudit.engine.stepper import Gradient, Stepper

TOGETHER = 1 << 21
"""Numbers of the first maps that are computed together: each pass costs as much as some records,
but what a pass computes has to stay in the processor's cache."""

_aten = torch.ops.aten
_ONE, _TWO, _QUAD, _NONE = [1, 1], [2, 2], [1, 4], [0, 0]


class _Dense(Protocol):
    """The dense layers of an ``ImageCNN``; the others are reached by their parameters."""

    hidden: nn.Linear
    output: nn.Linear


@dataclass(frozen=True)
class _Convolved:
    """What the backward pass needs of a convolution and its pooling (channels innermost).

    ``inputs`` of the first convolution are the windows of the images.
    """

    inputs: Tensor
    maps: Tensor
    winners: Tensor
    pooled: Tensor


class ImageCNNStep(Stepper):
    """The stepper of an unchanged ``ImageCNN`` on a CPU."""

    def gradients(self, samples: Samples, batches: Sequence[np.ndarray], out: Tensor) -> None:
        """As :meth:`Stepper.gradients`; small batches share a pass through the layers."""
        sizes = [len(batch) for batch in batches]
        height, width = samples.inputs.shape[1:3]
        record = len(self.parameters[0]) * height * width
        for first, last in _shared_passes(sizes, TOGETHER // record):
            inputs, labels = samples.batch(np.concatenate(batches[first:last]), self.device)
            self.backward(inputs, labels, sizes[first:last], out[first:last])

    def step(self, inputs: Tensor, labels: Tensor) -> Gradient:
        """As :meth:`.Stepper.step`."""
        row = torch.empty(1, self.layout.size, dtype=inputs.dtype)
        loss, correct = self.backward(inputs, labels, [len(labels)], row)
        return loss, correct, self.pieces(row[0])

    @torch.no_grad()
    def backward(
        self, inputs: Tensor, labels: Tensor, sizes: Sequence[int], out: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean gradients of consecutive batches, into the rows of ``out`` [len(sizes), P].

        Args:
            inputs: [b, C, H, W].
            labels: [b].
            sizes: records of each batch; they sum to b.

        Returns:
            The mean loss over all b records, and how many were classified correctly.
        """
        model = cast("_Dense", self.model)
        layers = self._convolve(inputs)
        features = layers[-1].pooled.flatten(1)
        hidden = torch.addmm(model.hidden.bias, features, model.hidden.weight.T).relu_()
        logits = torch.addmm(model.output.bias, hidden, model.output.weight.T)
        logs = functional.log_softmax(logits, 1)
        chosen = labels.unsqueeze(1)
        loss, correct = -logs.gather(1, chosen).mean(), (logits.argmax(1) == labels).sum()

        slope = logs.exp_().scatter_add_(1, chosen, -torch.ones_like(chosen, dtype=logs.dtype))
        slope /= torch.tensor(np.repeat(sizes, sizes), dtype=logs.dtype).unsqueeze(1)
        hidden_slope = _through_relu(slope @ model.output.weight, hidden)
        maps_slope = (hidden_slope @ model.hidden.weight).view(layers[-1].pooled.shape)

        rows = self._rows(out)
        if len(sizes) == len(labels):  # single records: nothing is summed, nothing taken apart
            _dense_gradients(slope, hidden, rows[-2:])
            _dense_gradients(hidden_slope, features, rows[-4:-2])
            self._convolutions_back(layers, maps_slope, rows, None)
            return loss, correct
        spans = [slice(*bounds) for bounds in pairwise(accumulate(sizes, initial=0))]
        for number, span in enumerate(spans):
            row = [piece[number] for piece in rows]
            _dense_gradient(slope[span], hidden[span], row[-2:])
            _dense_gradient(hidden_slope[span], features[span], row[-4:-2])
        self._convolutions_back(layers, maps_slope, rows, spans)
        return loss, correct

    def _rows(self, out: Tensor) -> list[Tensor]:
        """Views of [B, P] vectors, one per parameter: [B, *shape]."""
        pieces = zip(out.split(self._sizes, 1), self.layout.slices, strict=True)
        return [part.unflatten(1, piece.shape) for part, piece in pieces]

    def _convolve(self, images: Tensor) -> list[_Convolved]:
        layers, inputs = [], images
        for number, (weight, bias) in enumerate(self._convolutions()):
            if number == 0:
                inputs, maps = _first_convolution(images, weight)
                pooled, winners = functional.max_pool2d(maps, _QUAD, return_indices=True)
            else:
                maps = torch.conv2d(inputs, weight, padding=1)
                maps = maps.contiguous(memory_format=torch.channels_last)
                pooled, winners = functional.max_pool2d(maps, 2, return_indices=True)
            pooled = pooled.add_(bias.view(-1, 1, 1)).relu_()
            layers.append(_Convolved(inputs, maps, winners, pooled))
            inputs = pooled
        layers[-1] = replace(layers[-1], pooled=inputs.contiguous())  # as the dense layer sees them
        return layers

    def _convolutions_back(
        self,
        layers: Sequence[_Convolved],
        slope: Tensor,
        rows: Sequence[Tensor],
        spans: Sequence[slice] | None,
    ) -> None:
        """``slope`` is that of the last pooled maps; down to the first convolution.

        ``spans``: the records of each batch; None: each record is one.
        """
        for number in range(len(layers) - 1, -1, -1):
            layer = layers[number]
            slope = _through_relu(slope, layer.pooled)
            weight_rows, bias_rows = rows[2 * number : 2 * number + 2]
            if spans is None:
                bias_rows.copy_(slope.sum((2, 3)))
            else:
                for row, span in zip(bias_rows, spans, strict=True):
                    torch.sum(slope[span], (0, 2, 3), out=row)
            if number == 0:
                _first_weights(layer, slope, weight_rows, spans)
                return
            _weights(layer, slope, weight_rows, spans)
            slope = _unpooled(slope, layer, _TWO)
            weight, bias = self._convolutions()[number]
            slope, _, _ = _aten.convolution_backward(
                slope, layer.inputs, weight, [len(bias)],
                _ONE, _ONE, _ONE, False, _NONE, 1, [True, False, False],
            )  # fmt: skip

    def _convolutions(self) -> list[tuple[Tensor, Tensor]]:
        """Weight and bias of each, in order; they stand first among the parameters."""
        kernels = self.parameters[:-4]
        return list(zip(kernels[::2], kernels[1::2], strict=True))


def _shared_passes(sizes: Sequence[int], most: int) -> Iterator[tuple[int, int]]:
    """[first, last) batches of each pass: at most ``most`` records, and at least one batch."""
    first = records = 0
    for number, size in enumerate(sizes):
        if number > first and records + size > most:
            yield first, number
            first, records = number, 0
        records += size
    if sizes:
        yield first, len(sizes)


def _first_convolution(images: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Windows of images [b, C, H, W] and the maps without bias [b, O, h, 4 w].

    A window is C x 3 x 4 pixels, what two neighbours of a line see: their outputs are one product
    with 12 C x 2 O weights, a shape that matrix products like better than 9 C x O. Each place of
    the pooled map has two windows; its four outputs lie side by side.
    """
    b, channels, height, width = images.shape
    padded = functional.pad(images, (1, 1, 1, 1)).flatten(1)
    pixels = _pixels(channels, height, width)
    windows = padded.index_select(1, pixels).view(-1, 12 * channels)
    both = weight.new_zeros(channels, 3, 4, 2, len(weight))
    kernel = weight.permute(1, 2, 3, 0)  # [C, 3, 3, O]
    both[:, :, :3, 0] = kernel
    both[:, :, 1:, 1] = kernel
    maps = windows @ both.view(12 * channels, -1)
    return windows, maps.view(b, height // 2, -1, len(weight)).permute(0, 3, 1, 2)


def _first_weights(
    layer: _Convolved, slope: Tensor, rows: Tensor, spans: Sequence[slice] | None
) -> None:
    """Weight gradients of the first convolution, from the slope of its pooled maps."""
    spread = _unpooled(slope, layer, _QUAD)  # [b, O, h, 4 w]
    flat = spread.permute(0, 2, 3, 1).reshape(len(layer.inputs), -1)  # [windows, 2 O]
    each = 2 * slope.shape[2] * slope.shape[3]
    if spans is None:
        seen = layer.inputs.view(len(slope), each, -1).transpose(1, 2)
        both = torch.bmm(seen, flat.view(len(slope), each, -1))
        both = both.view(len(slope), rows.shape[2], 3, 4, 2, -1)
        rows.copy_((both[:, :, :, :3, 0] + both[:, :, :, 1:, 1]).permute(0, 4, 1, 2, 3))
        return
    for row, span in zip(rows, spans, strict=True):
        some = slice(span.start * each, span.stop * each)
        both = (layer.inputs[some].T @ flat[some]).view(row.shape[1], 3, 4, 2, -1)
        row.copy_((both[:, :, :3, 0] + both[:, :, 1:, 1]).permute(3, 0, 1, 2))


@cache
def _pixels(channels: int, height: int, width: int) -> Tensor:
    """Where in a flat padded image the pixels of each window are, place after place."""
    wide = width + 2
    shape = (height // 2, width // 2, 2, channels, 3, 4)
    places = torch.arange(channels * (height + 2) * wide)
    return places.as_strided(shape, (2 * wide, 2, wide, (height + 2) * wide, wide, 1)).flatten()


def _weights(layer: _Convolved, slope: Tensor, rows: Tensor, spans: Sequence[slice] | None) -> None:
    """Weight gradients of a convolution, from the slope [b, O, h, w] of its pooled maps.

    Only one place in four won its maximum: instead of a product over all places, the windows of the
    winners are summed, weighted by their slopes, one line of the kernel at a time.
    """
    maps = layer.inputs
    b, channels, height, width = maps.shape
    padded = maps.new_zeros(b, height + 2, width + 2, channels)
    padded[:, 1:-1, 1:-1] = maps.permute(0, 2, 3, 1)
    image, line, place, _ = padded.stride()
    lines = padded.as_strided((b, height + 2, width, 3 * channels), (image, line, place, 1))
    lines = lines.reshape(-1, 3 * channels)
    first = torch.arange(0, len(lines), (height + 2) * width).view(-1, 1, 1)
    won = layer.winners.clone(memory_format=torch.contiguous_format)
    won = won.flatten(2).add_(first).view(-1)
    bags = torch.arange(0, len(won), slope[0, 0].numel())  # one for each image and output channel
    weights = slope.reshape(-1)
    sums = [
        torch.embedding_bag(lines[down * width :], won, bags, False, 0, False, weights)[0]
        for down in range(3)
    ]
    for down in range(3):
        parts = sums[down].view(b, -1, 3, channels)
        if spans is None:
            rows[:, :, :, down] = parts.transpose(2, 3)
            continue
        for row, span in zip(rows, spans, strict=True):
            # Summed before it is turned: the order of a sum decides its last digits.
            row[:, :, down] = parts[span].sum(0).transpose(1, 2)


def _unpooled(slope: Tensor, layer: _Convolved, window: list[int]) -> Tensor:
    """The slope of the maps, from that of their maxima: all but the winners get nothing."""
    slope = slope.contiguous(memory_format=torch.channels_last)
    before: Tensor = _aten.max_pool2d_with_indices_backward(
        slope, layer.maps, window, window, _NONE, _ONE, False, layer.winners
    )
    return before


def _through_relu(slope: Tensor, active: Tensor) -> Tensor:
    """The slope before a ReLU, from the one behind it and what came out of it."""
    before: Tensor = _aten.threshold_backward(slope, active, 0)
    return before


def _dense_gradients(slope: Tensor, inputs: Tensor, rows: Sequence[Tensor]) -> None:
    """The same of each record alone, into [b, ...] rows."""
    torch.mul(slope.unsqueeze(2), inputs.unsqueeze(1), out=rows[0])
    rows[1].copy_(slope)


def _dense_gradient(slope: Tensor, inputs: Tensor, row: Sequence[Tensor]) -> None:
    """Weight and bias gradient of a dense layer, into ``row``."""
    torch.mm(slope.T, inputs, out=row[0])
    torch.sum(slope, 0, out=row[1])
