"""A multi-layer perceptron for tables."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class MLP(nn.Module):
    """Dense layers with ReLU between them.

    Args:
        num_classes: width of the output.
        features: width of the input.
        hidden: widths of the hidden layers.
    """

    def __init__(self, num_classes: int, features: int, hidden: Sequence[int] = (64, 32)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        previous = features
        for width in hidden:
            layers += [nn.Linear(previous, width), nn.ReLU()]
            previous = width
        self.layers = nn.Sequential(*layers, nn.Linear(previous, num_classes))

    def forward(self, rows: Tensor) -> Tensor:
        """Logits [b, num_classes] of rows [b, features]."""
        logits: Tensor = self.layers(rows)
        return logits
