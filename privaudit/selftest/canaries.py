"""Canaries in mechanisms whose ε is known: Gaussian noise of a known multiplier on a sum."""

from __future__ import annotations

import math

import torch

from privaudit.accounting.gaussian import epsilon_at
from privaudit.canaries import Canaries, Reading
from privaudit.randomness import Seed
from privaudit.selftest.checks import COVERAGE, Check, at_least

SIZE, COUNT, ROUNDS, DELTA = 1000, 200, 2, 1e-5
MULTIPLIER = 3.5
"""Noise over the clipping norm; two rounds of it promise ε = 1.57."""
WEAK = MULTIPLIER / 4


def audited(multiplier: float, seed: Seed) -> Reading:
    """One audit of such noise, which claims to be of the multiplier :data:`MULTIPLIER`."""
    canaries = Canaries(
        SIZE,
        clip_norm=1.0,
        seed=seed,
        count=COUNT,
        claimed_epsilon=true_epsilon(MULTIPLIER),
        delta=DELTA,
    )
    for number in range(ROUNDS):
        noise = torch.randn(SIZE, generator=seed.torch_generator("noise", number))
        canaries.hear(number, canaries.total(number) + multiplier * noise)
    return canaries.result()


def true_epsilon(multiplier: float) -> float:
    """What so much noise promises of one canary more or less."""
    return epsilon_at(math.sqrt(ROUNDS) / multiplier, DELTA)


def canary_checks(count: int, seed: Seed) -> list[Check]:
    """Intervals cover, bounds stay below, and a quarter of the noise claimed is refuted.

    Args:
        count: audits of each.
        seed: of all of them.
    """
    truth = true_epsilon(MULTIPLIER)
    fair = [audited(MULTIPLIER, seed.child("canaries", number)) for number in range(count)]
    weak = [audited(WEAK, seed.child("weak", number)) for number in range(count)]
    promised = min(one.power or 0.0 for one in weak)
    return [
        at_least(
            f"canaries: 95 % intervals cover ε = {truth:.2f}",
            [one.epsilon.low <= truth <= one.epsilon.high for one in fair],
            COVERAGE,
        ),
        at_least(
            "canaries: the bound is no higher", [one.bound <= truth for one in fair], COVERAGE
        ),
        at_least(
            "canaries: a quarter of the noise refutes the claim",
            [one.verdict == "refuted" for one in weak],
            promised,
        ),
    ]
