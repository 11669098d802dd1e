"""A convolutional network for small images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from privaudit.engine.stepper import LEAN
from privaudit.models.image_cnn_step import ImageCNNStep


class ImageCNN(nn.Module):
    """3x3 convolutions, each followed by a 2x2 max-pool and a ReLU, then two dense layers.

    Pooling stands before the ReLU: both orders give the same numbers (ReLU is monotone), this one
    touches a quarter of them.

    Args:
        num_classes: width of the output.
        channels: output channels of each convolution; every one halves the sides (28, 14, 7 ...).
        hidden: width of the dense layer before the output.
        height: of an image, in pixels.
        width: of an image, in pixels.
        in_channels: of an image; 1 for grey, 3 for colour.

    Raises:
        ValueError: more convolutions than the image has halves.
    """

    def __init__(
        self,
        num_classes: int,
        channels: Sequence[int] = (32, 64),
        hidden: int = 128,
        height: int = 28,
        width: int = 28,
        in_channels: int = 1,
    ) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList()
        previous = in_channels
        for maps in channels:
            self.convolutions.append(nn.Conv2d(previous, maps, 3, padding=1))
            previous, height, width = maps, height // 2, width // 2
        if min(height, width) < 1:
            raise ValueError(f"{len(channels)} poolings leave nothing of the image")
        self.hidden = nn.Linear(previous * height * width, hidden)
        self.output = nn.Linear(hidden, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [b, num_classes] of images [b, in_channels, height, width]."""
        maps = images
        for convolution in self.convolutions:
            # Max-pooling is several times faster on a CPU with the channels innermost.
            maps = convolution(maps).contiguous(memory_format=torch.channels_last)
            maps = functional.relu(functional.max_pool2d(maps, 2))
        logits: Tensor = self.output(functional.relu(self.hidden(maps.flatten(1))))
        return logits


LEAN[ImageCNN] = ImageCNNStep
