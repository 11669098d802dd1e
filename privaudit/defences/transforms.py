"""What a client does to its delta before sending it, in a fixed order: clip, noise, share."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from privaudit.defences.sharing import Sharing
from privaudit.engine.layout import Layout
from privaudit.randomness import Seed


@dataclass(frozen=True)
class Transforms:
    """Clip to ``clip_norm`` (L2; None = off), add Gaussian noise of deviation ``noise``, share.

    The noise is a defence to measure, not a differential-privacy guarantee: no accounting is done.
    """

    clip_norm: float | None = None
    noise: float = 0.0
    sharing: Sharing = field(default_factory=Sharing)

    def apply(self, delta: Tensor, layout: Layout, seed: Seed) -> Tensor:
        """The [P] vector that leaves the client."""
        if self.clip_norm is not None:
            norm = float(torch.linalg.vector_norm(delta))
            if norm > self.clip_norm:
                delta = delta * (self.clip_norm / norm)
        if self.noise > 0:
            generator = seed.torch_generator("noise")
            delta = delta + self.noise * torch.randn(len(delta), generator=generator)
        return self.sharing.apply(delta, layout, seed)
