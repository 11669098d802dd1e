"""A convolutional network for small images."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from privaudit.engine.stepper import LEAN
from privaudit.models.image_cnn_step import ImageCNNStep
from privaudit.options import Options, Sizes, parse_options


class ImageOptions(Options):
    """Options of ``cnn``."""

    channels: Sizes = Field(
        [32, 64],
        description="a list of the output channels of each convolution, each at least 1; every one "
        "halves the sides of the image (28, 14, 7 ...)",
    )
    hidden: int = Field(
        128, ge=1, description="width of the dense layer before the output, at least 1"
    )


class ImageCNN(nn.Module):
    """3x3 convolutions, each followed by a 2x2 max-pool and a ReLU, then two dense layers.

    Pooling stands before the ReLU: both orders give the same numbers (ReLU is monotone), this one
    touches a quarter of them.

    Args:
        num_classes: width of the output.
        height: of an image, in pixels.
        width: of an image, in pixels.
        in_channels: of an image; 1 for grey, 3 for colour.
        options: fields of :class:`ImageOptions`.

    Raises:
        UserError: (a ValueError) an option it does not have, or a value outside its range.
        ValueError: more convolutions than the image has halves.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        height: int = 28,
        width: int = 28,
        in_channels: int = 1,
        **options: Any,
    ) -> None:
        super().__init__()
        chosen = parse_options(ImageOptions, options, where="model 'cnn'")
        self.convolutions = nn.ModuleList()
        previous = in_channels
        for maps in chosen.channels:
            self.convolutions.append(nn.Conv2d(previous, maps, 3, padding=1))
            previous, height, width = maps, height // 2, width // 2
        if min(height, width) < 1:
            raise ValueError(f"{len(chosen.channels)} poolings leave nothing of the image")
        self.hidden = nn.Linear(previous * height * width, chosen.hidden)
        self.output = nn.Linear(chosen.hidden, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [b, num_classes] of images [b, in_channels, height, width]."""
        maps = images
        for convolution in self.convolutions:
            maps = convolution(maps)
            if maps.device.type == "cpu":  # where max-pooling is several times faster so
                maps = maps.contiguous(memory_format=torch.channels_last)
            maps = functional.relu(functional.max_pool2d(maps, 2))
        logits: Tensor = self.output(functional.relu(self.hidden(maps.flatten(1))))
        return logits


LEAN[ImageCNN] = ImageCNNStep
