"""The linear attack as a member, for clients whose steps have one size.

The first step of Adam moves every parameter by about the same: no order of magnitude tells
anything, and what is left to read is the direction of the sum. (Signs times a size of each client's
own, as the defence ``signs`` sends them, are of several sizes.)
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor

from privaudit.attack.adversary import ShadowRound
from privaudit.randomness import Seed

from .linear import LinearOptions, SignedSums, centred
from .simulation import StandIns
from .stacking import MemberScores, cross_fitted_ridge, ridge

ONE_SIZE = 0.995
"""Squared mean over mean square of absolute values above half the RMS, those of all shadows
together: 1 where all are of one size, 0.83 of normal ones. One step of AdamW: 0.998 to 1; signs
times the mean size of each client's delta: 0.975 to 0.99."""


def of_one_size(shown: Tensor) -> bool:
    """Whether the values of vectors [n, P] that are not small are of one size."""
    large, total, squares = 0, 0.0, 0.0
    for row in shown:  # one at a time: a model may be large
        sizes = row.abs()
        above = sizes[sizes > sizes.square().mean().sqrt() / 2].double()
        large += len(above)
        total += float(above.sum())
        squares += float(above.square().sum())
    return squares > 0 and total**2 > ONE_SIZE * squares * large


class Direction:
    """Gathers sums round by round, and makes a member of them.

    Args:
        rows: about so many sums are kept.
        seed: of the hashing.
    """

    def __init__(self, rows: int, seed: Seed) -> None:
        self._sketch, self._limit = SignedSums(LinearOptions().dimensions, seed), rows
        self._learned: list[tuple[Tensor, np.ndarray]] = []
        self._tested: list[tuple[int, Tensor]] = []
        self._seen: list[Tensor] = []

    def add(
        self,
        shadow: ShadowRound,
        stand_ins: tuple[StandIns, StandIns],
        seen: Tensor,
        kept: Collection[int],
        rng: np.random.Generator,
    ) -> None:
        """Take in a round.

        Args:
            shadow: of single clients [n, P].
            stand_ins: those that weigh members, and those that others learn from: around the mean
                of both those that weigh are centred, as they are few.
            seen: [1, P].
            kept: rounds whose stand-ins are held on to.
            rng: which bystanders are added up.
        """
        number = len(self._seen)
        sums, present = shadow.seen_through(self._sketch).aggregates(rng)
        tested, others = (self._sketch(some.rows) for some in stand_ins)
        sums, observed, scale = centred(sums, self._sketch(seen))
        self._learned.append((sums, present))
        if sum(len(one[1]) for one in self._learned) > self._limit:
            self._learned = self._learned[::2]
        middle = torch.cat([tested, others]).mean(0)
        self._tested.append((number, (tested - middle) / scale))
        self._tested = [one for one in self._tested if one[0] in kept]
        self._seen.append(observed)

    def member(self, present: np.ndarray, halves: np.ndarray) -> MemberScores:
        """Scores of stand-ins in the order of rounds, and of what was seen.

        Args:
            present: [m] the truth about the stand-ins that weigh members.
            halves: [m] 0 or 1.
        """
        learned = torch.cat([one[0] for one in self._learned]).numpy()
        truth = np.concatenate([one[1] for one in self._learned])
        tested = torch.cat([one[1] for one in self._tested]).numpy()
        strength, scores = cross_fitted_ridge(_inner(tested, tested), present, halves)
        seen = torch.cat(self._seen).numpy()
        observed = ridge(_inner(learned, learned), _inner(seen, learned), truth, strength)
        return scores.with_observed(observed, signed=True)


def _inner(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    return (rows @ others.T).astype(np.float64) / rows.shape[1]
