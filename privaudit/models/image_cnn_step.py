"""Gradients of :class:`~privaudit.models.image_cnn.ImageCNN` by hand: autograd's, up to rounding.

What it does otherwise than autograd (docs/performance.md has the gain):

- the first convolution has one input channel: a product of shifted images with nine weights;
- weight gradients are matrix products over gathered windows, a few records at a time;
- several small batches go through the layers together, and only their weight gradients are taken
  apart, straight into the rows where they belong;
- biases are added after pooling, to a quarter of the numbers: max(x + b) = max(x) + b.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from privaudit.engine.samples import Samples
from privaudit.engine.stepper import Gradient, Stepper

if TYPE_CHECKING:
    from privaudit.models.image_cnn import ImageCNN

TOGETHER = 64
"""Records that go through the layers together: more gains nothing."""

GATHERED = 8
"""Records whose windows are gathered at once: what is gathered stays in the processor's cache."""

KERNEL = 9
"""Weights of one 3x3 window."""

_aten = torch.ops.aten
_ONE, _TWO, _NONE = [1, 1], [2, 2], [0, 0]


@dataclass(frozen=True)
class _Convolved:
    """What the backward pass needs of a convolution and its pooling (channels innermost)."""

    inputs: Tensor
    maps: Tensor
    winners: Tensor
    pooled: Tensor


class ImageCNNStep(Stepper):
    """The stepper of an unchanged ``ImageCNN`` on a CPU."""

    def gradients(self, samples: Samples, batches: Sequence[np.ndarray], out: Tensor) -> None:
        """As :meth:`Stepper.gradients`; small batches share a pass through the layers."""
        sizes = [len(batch) for batch in batches]
        for first, last in _shared_passes(sizes):
            inputs, labels = samples.batch(np.concatenate(batches[first:last]), self.device)
            self.backward(inputs, labels, sizes[first:last], out[first:last])

    def _step(self, inputs: Tensor, labels: Tensor) -> Gradient:
        row = torch.empty(1, self.layout.size, dtype=inputs.dtype)
        loss, correct = self.backward(inputs, labels, [len(labels)], row)
        return loss, correct, self.pieces(row[0])

    @torch.no_grad()
    def backward(
        self, inputs: Tensor, labels: Tensor, sizes: Sequence[int], out: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean gradients of consecutive batches, into the rows of ``out`` [len(sizes), P].

        Args:
            inputs: [b, 1, side, side].
            labels: [b].
            sizes: records of each batch; they sum to b.

        Returns:
            The mean loss over all b records, and how many were classified correctly.
        """
        model = cast("ImageCNN", self.model)
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

        rows = [self.pieces(row) for row in out]
        spans = [slice(*bounds) for bounds in pairwise(accumulate(sizes, initial=0))]
        for row, span in zip(rows, spans, strict=True):
            _dense_gradient(slope[span], hidden[span], row[-2:])
            _dense_gradient(hidden_slope[span], features[span], row[-4:-2])
        self._convolutions_back(layers, maps_slope, rows, spans)
        return loss, correct

    def _convolve(self, images: Tensor) -> list[_Convolved]:
        layers, inputs = [], images
        for number, (weight, bias) in enumerate(self._convolutions()):
            if number == 0:
                inputs = _shifted(images)
                maps = _first_convolution(inputs, weight, images)
            else:
                maps = torch.conv2d(inputs, weight, padding=1)
                maps = maps.contiguous(memory_format=torch.channels_last)
            pooled, winners = functional.max_pool2d(maps, 2, return_indices=True)
            pooled = pooled.add_(bias.view(-1, 1, 1)).relu_()
            layers.append(_Convolved(inputs, maps, winners, pooled))
            inputs = pooled
        return layers

    def _convolutions_back(
        self,
        layers: Sequence[_Convolved],
        slope: Tensor,
        rows: Sequence[Sequence[Tensor]],
        spans: Sequence[slice],
    ) -> None:
        """``slope`` is that of the last pooled maps; down to the first convolution."""
        for number in range(len(layers) - 1, -1, -1):
            layer = layers[number]
            slope = slope.contiguous(memory_format=torch.channels_last)
            pooled_slope = _through_relu(slope, layer.pooled)
            slope = _aten.max_pool2d_with_indices_backward(
                pooled_slope, layer.maps, _TWO, _TWO, _NONE, _ONE, False, layer.winners
            )
            flat = slope.permute(0, 2, 3, 1)  # [b, H, W, O]
            windows = None if number == 0 else _windows(layer.inputs)
            for row, span in zip(rows, spans, strict=True):
                weight_row, bias_row = row[2 * number : 2 * number + 2]
                torch.sum(pooled_slope[span], (0, 2, 3), out=bias_row)
                if windows is None:
                    area = slope.shape[2] * slope.shape[3]
                    shifted = layer.inputs[:, span.start * area : span.stop * area]
                    part = (shifted @ flat[span].flatten(0, 2)).T  # [O, 9]
                    weight_row.copy_(part.view_as(weight_row))
                else:
                    part = _summed_products(flat[span], windows[span])  # [O, 3, 3, C]
                    weight_row.copy_(part.permute(0, 3, 1, 2))
            if number:
                weight, bias = self._convolutions()[number]
                slope, _, _ = _aten.convolution_backward(
                    slope, layer.inputs, weight, [len(bias)],
                    _ONE, _ONE, _ONE, False, _NONE, 1, [True, False, False],
                )  # fmt: skip

    def _convolutions(self) -> list[tuple[Tensor, Tensor]]:
        """Weight and bias of each, in order; they stand first among the parameters."""
        kernels = self.parameters[:-4]
        return list(zip(kernels[::2], kernels[1::2], strict=True))


def _shared_passes(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """[first, last) batches of each pass: at most ``TOGETHER`` records, and at least one batch."""
    first = records = 0
    for number, size in enumerate(sizes):
        if number > first and records + size > TOGETHER:
            yield first, number
            first, records = number, 0
        records += size
    if sizes:
        yield first, len(sizes)


def _shifted(images: Tensor) -> Tensor:
    """[9, b * H * W]: images [b, 1, H, W] as each weight of a padded 3x3 kernel meets them."""
    b, _, height, width = images.shape
    padded = functional.pad(images.squeeze(1), (1, 1, 1, 1))
    shifted = images.new_empty(KERNEL, b, height, width)
    for weight in range(KERNEL):
        down, right = divmod(weight, 3)
        shifted[weight] = padded[:, down : down + height, right : right + width]
    return shifted.view(KERNEL, -1)


def _first_convolution(shifted: Tensor, weight: Tensor, images: Tensor) -> Tensor:
    """[b, O, H, W], channels innermost, without the bias."""
    b, _, height, width = images.shape
    maps = shifted.T @ weight.reshape(len(weight), KERNEL).T
    return maps.view(b, height, width, -1).permute(0, 3, 1, 2)


def _windows(maps: Tensor) -> Tensor:
    """[b, H, W, 3, 3, C]: the padded 3x3 window around each place of maps [b, C, H, W], a view."""
    b, channels, height, width = maps.shape
    padded = maps.new_zeros(b, height + 2, width + 2, channels)
    padded[:, 1:-1, 1:-1] = maps.permute(0, 2, 3, 1)
    image, line, place, _ = padded.stride()
    return padded.as_strided(
        (b, height, width, 3, 3, channels), (image, line, place, line, place, 1)
    )


def _summed_products(slope: Tensor, windows: Tensor) -> Tensor:
    """[O, 3, 3, C]: slopes [b, H, W, O] times windows [b, H, W, 3, 3, C], summed over places."""
    total = slope.new_zeros(slope.shape[3], windows[0, 0, 0].numel())
    for some, seen in zip(slope.split(GATHERED), windows.split(GATHERED), strict=True):
        total.addmm_(some.flatten(0, 2).T, seen.flatten(0, 2).flatten(1))
    return total.view(-1, *windows.shape[3:])


def _through_relu(slope: Tensor, active: Tensor) -> Tensor:
    """The slope before a ReLU, from the one behind it and what came out of it."""
    before: Tensor = _aten.threshold_backward(slope, active, 0)
    return before


def _dense_gradient(slope: Tensor, inputs: Tensor, row: Sequence[Tensor]) -> None:
    """Weight and bias gradient of a dense layer, into ``row``."""
    torch.mm(slope.T, inputs, out=row[0])
    torch.sum(slope, 0, out=row[1])
