"""What a client does to its delta before sending it, in a fixed order: clip, noise, share."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from privaudit.defences.clipping import Clipping
from privaudit.defences.noise import GaussianNoise
from privaudit.defences.protocol import Defence
from privaudit.defences.sharing import Sharing
from privaudit.engine.layout import Layout
from privaudit.randomness import Seed


@dataclass(frozen=True)
class Transforms:
    """Clip to ``clip_norm`` (L2; None = off), add Gaussian noise of deviation ``noise``, share."""

    clip_norm: float | None = None
    noise: float = 0.0
    sharing: Sharing = field(default_factory=Sharing)

    @property
    def steps(self) -> tuple[Defence, ...]:
        """The defences that are on, in the order they are applied."""
        clipping = () if self.clip_norm is None else (Clipping(self.clip_norm),)
        noise = (GaussianNoise(self.noise),) if self.noise > 0 else ()
        return (*clipping, *noise, self.sharing)

    def apply(self, delta: Tensor, layout: Layout, seed: Seed) -> Tensor:
        """The [P] vector that leaves the client."""
        for step in self.steps:
            delta = step.apply(delta, layout, seed)
        return delta
