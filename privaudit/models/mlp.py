"""A multi-layer perceptron for tables, and for images taken as rows of numbers."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import Tensor, nn

from privaudit.options import Options, Sizes, parse_options


class MLPOptions(Options):
    """Options of ``mlp``."""

    hidden: Sizes = Field(
        [64, 32], description="a list of the widths of the hidden layers, each at least 1"
    )


class MLP(nn.Module):
    """Dense layers with ReLU between them.

    Args:
        num_classes: width of the output.
        features: numbers of one record.
        options: fields of :class:`MLPOptions`.

    Raises:
        UserError: an option it does not have, or a value outside its range.
    """

    def __init__(self, num_classes: int, features: int, **options: Any) -> None:
        super().__init__()
        chosen = parse_options(MLPOptions, options, where="model 'mlp'")
        layers: list[nn.Module] = []
        previous = features
        for width in chosen.hidden:
            layers += [nn.Linear(previous, width), nn.ReLU()]
            previous = width
        self.layers = nn.Sequential(*layers, nn.Linear(previous, num_classes))

    def forward(self, rows: Tensor) -> Tensor:
        """Logits [b, num_classes] of rows [b, features], or of images of as many numbers."""
        logits: Tensor = self.layers(rows.flatten(1))
        return logits
