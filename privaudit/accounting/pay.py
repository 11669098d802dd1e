"""What noise on the numbers that a ledger pays by promises to those who sent deltas.

Published are shares of a budget, which are made of noisy numbers and of nothing else that is
secret, as long as nobody is refused. Values lie in 0..1, and one delta may change those of all K
clients of its round by 1 each, as each is held against the average: an L1 distance of K, an L2
distance of √K. Neighbours are deltas exchanged in one round (given the models before it), or in all
of them. Rounds with noise of their own are composed plainly for Laplace's (C. Dwork and A. Roth,
2014, theorem 3.16), in squares for Gaussian noise (:mod:`.gaussian`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from privaudit.accounting.gaussian import epsilon_at

DELTA = 1e-5
"""At which ε of Gaussian noise is stated."""
Noise = Literal["laplace", "gaussian"]


@dataclass(frozen=True)
class PayPromise:
    """ε of what a ledger says of any one round, and of all of them."""

    one_round: float
    all_rounds: float


def of_values(noise: Noise, scale: float, clients: int, rounds: int, pooled: int = 1) -> PayPromise:
    """Noise on values of deltas.

    Args:
        noise: its kind.
        scale: of Laplace's, or the deviation; of a value of 1.
        clients: K, of a round.
        rounds: T, in all of which somebody's delta may be exchanged.
        pooled: rounds whose values are added up before there is noise.
    """
    if noise == "laplace":
        return PayPromise(clients / scale, rounds * clients / scale)
    one = math.sqrt(clients) / scale
    blocks = math.ceil(rounds / pooled)
    whole = one * min(pooled, rounds) * math.sqrt(blocks)
    return PayPromise(epsilon_at(one, DELTA), epsilon_at(whole, DELTA))


def of_size(noise: Noise, scale: float) -> float:
    """ε between a number of records and its double, of noise on its binary logarithm, drawn once.

    Of numbers further apart it is more by as many doublings (K. Chatzikokolakis et al.,
    "Broadening the Scope of Differential Privacy Using Metrics", PETS 2013), of Laplace's noise
    exactly.
    """
    return 1 / scale if noise == "laplace" else epsilon_at(1 / scale, DELTA)
