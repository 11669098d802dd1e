"""A small residual network with batch normalisation, for images in colour or grey.

K. He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2 (the networks
for CIFAR-10), with fewer blocks and maps.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from privaudit.options import Options, Sizes, parse_options


class ResNetOptions(Options):
    """Options of ``resnet``."""

    channels: Sizes = Field(
        [8, 16, 32],
        description="a list of the maps of each stage, each at least 1; every stage after the "
        "first halves the sides of the image",
    )
    blocks: int = Field(1, ge=1, le=50, description="residual blocks of each stage, 1 to 50")


class Block(nn.Module):
    """Two 3x3 convolutions beside the way straight on."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(after)
        self.second = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(after)
        # Every stride-th pixel by pooling, not by a convolution with that stride: with few channels
        # innermost the latter writes where it must not (torch 2.13.0, CPU).
        same = stride == 1 and before == after
        self.straight = (
            nn.Identity()
            if same
            else nn.Sequential(
                nn.AvgPool2d(1, stride),
                nn.Conv2d(before, after, 1, bias=False),
                nn.BatchNorm2d(after),
            )
        )

    def forward(self, maps: Tensor) -> Tensor:
        """[b, after, ...] of maps [b, before, ...]."""
        inner = functional.relu(self.first_norm(self.first(maps)))
        return functional.relu(self.second_norm(self.second(inner)) + self.straight(maps))


class ResNet(nn.Module):
    """A convolution, stages of blocks, the mean over the image, and a dense layer.

    Args:
        num_classes: width of the output.
        in_channels: of an image; 1 for grey, 3 for colour.
        options: fields of :class:`ResNetOptions`.

    Raises:
        UserError: (a ValueError) an option it does not have, or a value outside its range.
    """

    def __init__(self, num_classes: int, in_channels: int = 3, **options: Any) -> None:
        super().__init__()
        chosen = parse_options(ResNetOptions, options, where="model 'resnet'")
        width = chosen.channels[0]
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        )
        blocks, before = list[nn.Module](), width
        for stage, after in enumerate(chosen.channels):
            for number in range(chosen.blocks):
                blocks.append(Block(before, after, 2 if stage and not number else 1))
                before = after
        self.blocks = nn.Sequential(*blocks)
        self.output = nn.Linear(before, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [b, num_classes] of images [b, in_channels, height, width]."""
        maps = self.blocks(functional.relu(self.stem(images)))
        logits: Tensor = self.output(maps.mean((2, 3)))
        return logits
