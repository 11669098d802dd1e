"""Statistics of rebuilt records: shares of batches over runs, and whether they are about them.

Runs are the replicates: the rounds of one are of the same clients and the same initial weights. The
test is exact within runs: the target's batches are drawn independently, so that answers which say
nothing about them could be about the batch of any other round of their run as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import factorial

import numpy as np
from scipy.stats import beta
from scipy.stats import t as student_t

from privaudit.statistics.intervals import Interval

PERMUTATIONS = 9_999

METHOD = "Student's t over runs (of one run: over its rounds)"
SHARES = f"{METHOD}, no narrower than Clopper-Pearson over rounds"


def mean_over_runs(
    runs: Sequence[Sequence[float]],
    *,
    top: float = 1.0,
    counted: bool = True,
    level: float = 0.95,
) -> Interval:
    """The mean of a number from 0 to ``top`` with its interval.

    Shares of a few records that are all 0 or all 1 do not vary from run to run; what so many rounds
    can say at all is then the limit: an interval is never narrower than for as many independent yes
    and no.

    Args:
        runs: of each run the number of each round.
        top: the largest number there can be.
        counted: whether numbers are such shares.
        level: nominal coverage.
    """
    means = [float(np.mean(run)) for run in runs]
    value, rounds = float(np.mean(means)), sum(len(run) for run in runs)
    low, high = _student(means if len(means) > 1 else runs[0], level)
    if counted:
        least, most = _clopper_pearson(value, rounds, level)
        low, high = min(low, least), max(high, most)
    method = SHARES if counted else METHOD
    return Interval(value, max(0.0, low), min(top, high), len(means), rounds, method, level)


def gain_over_runs(
    found: Sequence[Sequence[float]],
    guess: Sequence[Sequence[float]],
    *,
    top: float = 1.0,
    counted: bool = True,
    level: float = 0.95,
) -> Interval:
    """By how much more of the batch an answer holds than a guess, paired by round.

    No narrower than what :func:`mean_over_runs` says of the answer beside the mean guess.
    """
    gains = [np.subtract(f, g) for f, g in zip(found, guess, strict=True)]
    means = [float(np.mean(gain)) for gain in gains]
    value = float(np.mean(means))
    low, high = _student(means if len(means) > 1 else gains[0], level)
    alone = mean_over_runs(found, top=top, counted=counted, level=level)
    if counted:
        low = min(low, value - (alone.value - alone.low))
        high = max(high, value + (alone.high - alone.value))
    limits = max(-top, low), min(top, high)
    return Interval(value, *limits, len(means), alone.n_rounds, alone.method, level)


def of_other_rounds_p(matrices: Sequence[np.ndarray], rng: np.random.Generator) -> float:
    """P-value of "answers say nothing about which batch it was", one-sided.

    Answers are dealt to the rounds of their run at random (:data:`PERMUTATIONS` times); how often
    do batches stand in such answers at least as much as in their own?

    Args:
        matrices: of each run [T, T], how much of batch t stands in the answer to round s.
        rng: what deals are drawn with.
    """
    own, dealt = 0.0, np.zeros(PERMUTATIONS)
    for matrix in matrices:
        rounds = len(matrix)
        own += float(np.trace(matrix)) / rounds
        orders = rng.permuted(np.tile(np.arange(rounds), (PERMUTATIONS, 1)), axis=1)
        dealt += matrix[np.arange(rounds), orders].mean(axis=1)
    # Sums in another order may differ in the last place.
    as_good = int((dealt >= own - 1e-9).sum())
    return (1 + as_good) / (1 + PERMUTATIONS)


def least_p(runs: int, rounds: int) -> float:
    """The smallest p-value that :func:`of_other_rounds_p` can give: of so many deals one is theirs.

    Args:
        runs: federation runs.
        rounds: of each.
    """
    return max(1 / (1 + PERMUTATIONS), 1 / factorial(min(rounds, 12)) ** runs)


def _student(means: Sequence[float] | np.ndarray, level: float) -> tuple[float, float]:
    count = len(means)
    reach = float(
        student_t.ppf((1 + level) / 2, count - 1) * np.std(means, ddof=1) / np.sqrt(count)
    )
    value = float(np.mean(means))
    return value - reach, value + reach


def _clopper_pearson(value: float, rounds: int, level: float) -> tuple[float, float]:
    """Of a share of so many, which need not be a whole number of them."""
    hits, tail = value * rounds, (1 - level) / 2
    low = float(beta.ppf(tail, hits, rounds - hits + 1)) if hits > 0 else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, rounds - hits)) if hits < rounds else 1.0
    return low, high
