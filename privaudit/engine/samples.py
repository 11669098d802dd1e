"""Records as tensors, and what local training makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from privaudit.engine.calling import each


@dataclass(frozen=True)
class Samples:
    """Records as tensors: ``inputs`` [N, ...] as stored (images stay bytes), ``labels`` [N].

    Of a model with several inputs they are a dict or a tuple of such tensors
    (:mod:`privaudit.engine.calling`); of some losses labels are [N, L] (:mod:`.losses`).
    """

    inputs: Any
    labels: Tensor

    @classmethod
    def of(cls, inputs: Any, labels: np.ndarray) -> Samples:
        """Tensors over copies of the arrays: one, or a dict or a tuple of them for ``inputs``."""
        copies = each(inputs, lambda array: torch.from_numpy(np.array(array)))
        return cls(copies, torch.from_numpy(np.array(labels)))

    def chosen(self, records: np.ndarray) -> Samples:
        """The records with these indices, apart from all others."""
        return Samples(each(self.inputs, lambda one: one[records]), self.labels[records])

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, index: np.ndarray, device: torch.device) -> tuple[Any, Tensor]:
        """Inputs as the models take them, and labels, of the records with these indices."""
        chosen = torch.from_numpy(index)
        # Not [chosen], which takes seven times as long.
        inputs = each(self.inputs, lambda one: one.index_select(0, chosen))
        labels = self.labels.index_select(0, chosen)
        if device.type != "cpu":  # bytes travel, not floats
            inputs, labels = each(inputs, lambda one: one.to(device)), labels.to(device)
        return each(inputs, prepare), labels


@dataclass(frozen=True)
class LocalUpdate:
    """What local training returns: ``delta`` [P] = w_local - w_global, and training diagnostics.

    ``buffers`` [B] is what the model's buffers have become, where clients share them.
    """

    delta: Tensor
    loss: float
    accuracy: float
    samples: int
    buffers: Tensor | None = None


def prepare(inputs: Tensor) -> Tensor:
    """A batch as the models take it: byte images become [b, C, H, W] in 0..1.

    They are stored as [b, H, W] (then C is 1) or [b, H, W, C].
    """
    if inputs.dtype == torch.uint8:
        first = inputs.unsqueeze(1) if inputs.dim() == 3 else inputs.permute(0, 3, 1, 2)
        return first.contiguous().float().div_(255.0)
    return inputs.long() if inputs.dtype == torch.int32 else inputs
