"""Records as tensors, and what local training makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Samples:
    """Records as tensors: ``inputs`` [N, ...] as stored (images stay bytes), ``labels`` [N]."""

    inputs: Tensor
    labels: Tensor

    @classmethod
    def of(cls, inputs: np.ndarray, labels: np.ndarray) -> Samples:
        """Tensors over copies of the arrays."""
        return cls(torch.from_numpy(np.array(inputs)), torch.from_numpy(np.array(labels)))

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, index: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
        """Inputs as the models take them, and labels, of the records with these indices."""
        chosen = torch.from_numpy(index)
        # Not [chosen], which takes seven times as long.
        inputs, labels = self.inputs.index_select(0, chosen), self.labels.index_select(0, chosen)
        if device.type != "cpu":  # bytes travel, not floats
            inputs, labels = inputs.to(device), labels.to(device)
        return prepare(inputs), labels


@dataclass(frozen=True)
class LocalUpdate:
    """What local training returns: ``delta`` [P] = w_local - w_global, and training diagnostics."""

    delta: Tensor
    loss: float
    accuracy: float
    samples: int


def prepare(inputs: Tensor) -> Tensor:
    """A batch as the models take it: byte images become [b, C, H, W] in 0..1.

    They are stored as [b, H, W] (then C is 1) or [b, H, W, C].
    """
    if inputs.dtype == torch.uint8:
        first = inputs.unsqueeze(1) if inputs.dim() == 3 else inputs.permute(0, 3, 1, 2)
        return first.contiguous().float().div_(255.0)
    return inputs.long() if inputs.dtype == torch.int32 else inputs
