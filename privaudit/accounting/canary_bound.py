"""What guesses about canaries prove of ε: a lower bound from one run.

T. Steinke, M. Nasr & M. Jagielski, Privacy Auditing with One (1) Training Run, NeurIPS 2023,
its theorem for (ε, δ) with abstentions, computed as in the code of its appendix.
Each of m canaries is in or out by a fair coin of its own; r of them, a number fixed beforehand, are
guessed, in whatever way does not look at the coins. If the mechanism is (ε, δ)-differentially
private for one canary more or less, the number V of right guesses has

    P[V ≥ v] ≤ β + 2mδ · max over i ≥ 1 of (P[B ≥ v - i] - β) / i,   β = P[B ≥ v],

B ~ Bin(r, e^ε/(1 + e^ε)). Whatever makes the left side smaller than 5 % is refuted.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import bdtrc, expit, ndtr

WRONG = 0.05
"""How often a bound may lie above the truth."""

MOST_CANARIES = 1_000_000
FAULT = 4.0
"""Times the μ of a claim: a quarter of the noise, which a number of guesses is chosen to find."""
SHARES = np.linspace(0.05, 1.0, 20)


def chance_of(right: int, guesses: int, canaries: int, epsilon: float, delta: float) -> float:
    """At most how likely so many right guesses are under (``epsilon``, ``delta``).

    Args:
        right: v, 0 to ``guesses``.
        guesses: r, 1 to ``canaries``.
        canaries: m.
        epsilon: at least 0.
        delta: in [0, 1).
    """
    p = float(expit(epsilon))
    steps = np.arange(1, right + 1)
    at_least = _at_least(right, guesses, p)
    more = (_at_least(right - steps, guesses, p) - at_least) / steps
    most = float(more.max()) if right else 0.0
    return min(1.0, float(at_least) + 2 * canaries * delta * most)


def _at_least(right: int | np.ndarray, guesses: int, p: float) -> np.ndarray:
    """P[Bin(guesses, p) ≥ right]."""
    return np.where(np.asarray(right) <= 0, 1.0, bdtrc(np.maximum(right, 1) - 1, guesses, p))


def lower_bound(right: int, guesses: int, canaries: int, delta: float) -> float:
    """ε is at least this, or something happened that does in at most 5 of 100 audits.

    Arguments of :func:`chance_of`; 0 where nothing is shown.
    """
    if chance_of(right, guesses, canaries, 0.0, delta) > WRONG:
        return 0.0
    top = 1.0
    while chance_of(right, guesses, canaries, top, delta) <= WRONG:
        top *= 2.0
    found = brentq(
        lambda epsilon: chance_of(right, guesses, canaries, epsilon, delta) - WRONG, 0.0, top
    )
    return max(0.0, float(found))


def ceiling(guesses: int, canaries: int, delta: float) -> float:
    """The bound if all guesses were right: no audit of this size shows more."""
    return lower_bound(guesses, guesses, canaries, delta)


def guess(scores: np.ndarray, guesses: int) -> np.ndarray:
    """[m] +1 for "in", -1 for "out", 0 for no guess: the highest half of them, and the lowest."""
    order = np.argsort(scores, kind="stable")
    said = np.zeros(len(scores), dtype=int)
    said[order[: guesses // 2]] = -1
    said[order[len(scores) - (guesses - guesses // 2) :]] = 1
    return said


def count_right(scores: np.ndarray, inserted: np.ndarray, guesses: int) -> int:
    """How many guesses are right."""
    return int(np.sum(guess(scores, guesses) == np.where(inserted, 1, -1)))


def chosen_guesses(canaries: int, mu: float, delta: float) -> int:
    """How many guesses to make, from the claim alone: those of the highest bound to be expected.

    Expected of a mechanism with a quarter of the noise that the claim says (:data:`FAULT`).

    Args:
        canaries: m.
        mu: of the claim; infinite where nothing is claimed.
        delta: in (0, 1).
    """
    tried = sorted({max(1, round(share * canaries)) for share in SHARES})
    assumed = FAULT * mu

    def expected(guesses: int) -> float:
        rate = _right_rate(guesses / canaries, assumed)
        right = rate * guesses - math.sqrt(rate * (1 - rate) * guesses)
        return lower_bound(max(0, math.floor(right)), guesses, canaries, delta)

    return max(tried, key=expected)


def power(guesses: int, canaries: int, epsilon: float, delta: float, mu: float) -> float:
    """How often the claim is refuted where canaries in and out are ``mu`` deviations apart."""
    rate = _right_rate(guesses / canaries, mu)
    low, high = 0, guesses + 1  # the fewest right guesses that refute it
    while high - low > 1:
        middle = (low + high) // 2
        refuted = chance_of(middle, guesses, canaries, epsilon, delta) < WRONG
        low, high = (low, middle) if refuted else (middle, high)
    return float(_at_least(high, guesses, rate)) if high <= guesses else 0.0


def _right_rate(share: float, mu: float) -> float:
    """How many guesses are right where a share is guessed of scores N(0, 1) and N(μ, 1)."""
    if math.isinf(mu):
        return 1.0
    # Symmetric: the highest half of the guesses, those above t.
    t = brentq(lambda t: (ndtr(-t) + ndtr(mu - t)) / 2 - share / 2, -40.0, mu + 40.0)
    return min(1.0, float(ndtr(mu - t) / share))


def canaries_for(epsilon: float, delta: float) -> int | None:
    """The fewest canaries, all guessed, whose ceiling is above ``epsilon``; None: over a million.

    Above the first it can be lower again, as δ is paid for by every canary.
    """

    def refuted(count: int) -> bool:
        return chance_of(count, count, count, epsilon, delta) < WRONG

    # Without δ, so many guesses are all right by chance: p^m = 5 %, p = 1/(1 + e^-ε).
    high = math.ceil(math.log(WRONG) / -math.log1p(math.exp(-epsilon)))
    low = high - 1
    while high <= MOST_CANARIES and not refuted(high):
        low, high = high, high + max(1, high // 8)
    if high > MOST_CANARIES:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if refuted(middle) else (middle, high)
    return high
