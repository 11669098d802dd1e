"""Which share of a delta leaves the client.

R. Shokri and V. Shmatikov, Privacy-Preserving Deep Learning, CCS 2015, section 4.2, let a client
upload either its largest gradients or a random subset. ``largest-per-layer`` is ours: a global
``largest`` is dominated by whichever layer has the largest values, and on sparse embeddings 50 % of
all coordinates can be every non-zero one.

A coordinate that is not shared is zero in the vector that is sent. The server averages the vectors
with fixed weights, so a coordinate nobody shared keeps its global value, and one that some shared
moves by their weighted sum: the server's rule of Shokri & Shmatikov (add what was uploaded) with
the weights c_n / c of FedAvg.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from privaudit.defences.protocol import At, Defence
from privaudit.engine.layout import Layout
from privaudit.errors import UserError, unknown_name
from privaudit.randomness import Seed

Mask = Callable[[Tensor, float, Layout, Seed], Tensor]


def _share_all(delta: Tensor, fraction: float, layout: Layout, seed: Seed) -> Tensor:
    return torch.ones_like(delta, dtype=torch.bool)


def _share_largest(delta: Tensor, fraction: float, layout: Layout, seed: Seed) -> Tensor:
    return _top(delta.abs(), fraction)


def _share_largest_per_layer(delta: Tensor, fraction: float, layout: Layout, seed: Seed) -> Tensor:
    return torch.cat([_top(delta[s.start : s.stop].abs(), fraction) for s in layout.slices])


def _share_random(delta: Tensor, fraction: float, layout: Layout, seed: Seed) -> Tensor:
    order = torch.rand(len(delta), generator=seed.torch_generator("sharing"))
    return _top(order, fraction)


SHARING_RULES: dict[str, Mask] = {
    "all": _share_all,
    "largest": _share_largest,
    "largest-per-layer": _share_largest_per_layer,
    "random": _share_random,
}
"""Name -> function giving the [P] mask of the coordinates that are shared."""


@dataclass(frozen=True)
class Sharing:
    """A sharing rule with its fraction, in (0, 1].

    Raises:
        UserError: unknown rule, fraction outside (0, 1], or rule ``all`` with a fraction below 1.
    """

    rule: str = "all"
    fraction: float = 1.0

    def __post_init__(self) -> None:
        if self.rule not in SHARING_RULES:
            raise unknown_name("sharing rule", self.rule, SHARING_RULES)
        if not 0.0 < self.fraction <= 1.0:
            raise UserError(f"shared fraction must be in (0, 1], got {self.fraction}")
        if self.rule == "all" and self.fraction != 1.0:
            raise UserError(
                f"sharing rule 'all' shares everything, got fraction {self.fraction}",
                remedy="use largest, largest-per-layer or random",
            )

    def apply(self, delta: Tensor, layout: Layout, seed: Seed) -> Tensor:
        """The vector [P] that is sent: ``delta`` where shared, zero elsewhere."""
        if self.fraction == 1.0:
            return delta
        mask = SHARING_RULES[self.rule](delta, self.fraction, layout, seed)
        # All bits or none of them: on an irregular mask this is three times as fast as a choice.
        bits = _bits(delta)
        return torch.from_numpy(bits & -mask.numpy().astype(bits.dtype)).view(delta.dtype)


class Share(Defence):
    """A sharing rule as a step among others, to set it beside them.

    Gradient pruning (Y. Zhu et al., Deep Leakage from Gradients, NeurIPS 2019, section 5.2) is rule
    ``largest``.
    """

    kind: Literal["share"] = "share"
    rule: str = Field(
        "largest", description="largest, largest-per-layer or random: which values are sent"
    )
    fraction: float = Field(gt=0, le=1, description="how many of them, in (0, 1]")

    @model_validator(mode="after")
    def _known(self) -> Self:
        _ = self.sharing
        return self

    @property
    def sharing(self) -> Sharing:
        """The rule with its fraction."""
        return Sharing(self.rule, self.fraction)

    @property
    def words(self) -> str:
        """As :class:`.protocol.Defence`."""
        return f"{100 * self.fraction:g} % of the values sent ({self.rule})"

    def client(self, delta: Tensor, at: At) -> Tensor:
        """As :class:`.protocol.Defence`."""
        return self.sharing.apply(delta, at.layout, at.seed)

    def payload(self, sent: Tensor) -> int | None:
        """As :class:`.protocol.Defence`: a value and its place."""
        return None if self.fraction == 1 else 8 * int(np.count_nonzero(sent.numpy() != 0))

    def longest(self, before: float | None) -> float | None:
        """As :class:`.protocol.Defence`: no value grows."""
        return before


def shared_count(fraction: float, size: int) -> int:
    """``ceil(fraction * size)`` of the fraction as it is written: 0.07 of 100 is 7.

    In floating point 0.07 * 100 is a little above 7, and one coordinate more would be shared.
    """
    return math.ceil(Fraction(repr(float(fraction))) * size)


def _top(values: Tensor, fraction: float) -> Tensor:
    """Mask of the ``ceil(fraction * n)`` largest values >= 0; of equals, the first.

    Numbers >= 0 have the order of their bits read as integers, which partition faster; what is not
    a number then comes first, and it must: the server has to see it to refuse the delta.
    """
    count = shared_count(fraction, len(values))
    bits = _bits(values)
    used = bits > 0
    known = int(np.count_nonzero(used))
    if known <= count:  # many zeros are what makes a partition slow
        cut, mask = 0, used
    else:
        cut = np.partition(bits[used], known - count)[known - count]
        mask = bits > cut
    mask[np.flatnonzero(bits == cut)[: count - int(np.count_nonzero(mask))]] = True
    return torch.from_numpy(mask)


def _bits(values: Tensor) -> np.ndarray:
    """The same memory, read as integers."""
    return values.numpy().view(f"i{values.element_size()}")
