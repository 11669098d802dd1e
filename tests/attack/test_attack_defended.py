"""Every kind of defence under attack: null, planted, defended; who knows it does no worse."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from audited_world import AuditedWorld, audit
from defences import EXAMPLES
from sklearn.metrics import roc_auc_score

from privaudit.attack.protocol import make_attack
from privaudit.attack.registry import load_attack
from privaudit.defences.adaptive import AdaptiveClipping
from privaudit.defences.central import CentralDP
from privaudit.defences.protocol import Defence
from privaudit.defences.quantising import Quantisation
from privaudit.defences.recordwise import RecordLevelDP
from privaudit.defences.sharing import Share
from privaudit.defences.transforms import Transforms
from privaudit.randomness import Seed

ATTACKS = ("linear", "magnitude-stack")
Build = Callable[..., AuditedWorld]

HARMLESS = ("clip", "quantise", "share", "secure-aggregation", "nvflare-percentile", "sign")
"""Examples that leave the planted leak where it is: no defences, whatever they are called."""

KNOWN: dict[str, Defence] = {
    "clip and noise": CentralDP(bound=0.03, multiplier=0.15),
    "adaptive": AdaptiveClipping(
        bound=0.03, multiplier=0.15, count_deviation=0.3, quantile=0.5, rate=0.1
    ),
    "records": RecordLevelDP(bound=1.0, multiplier=2.0),
    "two bits": Quantisation(bits=2),
    "few values": Share(fraction=0.05),
    "signs": EXAMPLES["sign"],
}
"""Settings under which something is left to find, so that knowing them can matter."""


def auc_of(name: str, world: AuditedWorld, knows: bool = True) -> float:
    adversary = world.adversary
    if not knows:
        ignorant = adversary.rules.model_copy(update={"defences": []})
        adversary = replace(adversary, rules=ignorant)
    attack = make_attack(load_attack(name), {}, Seed(7).child(name))
    for observation in world.trace.view():
        shadow = adversary.shadow(observation)
        attack.partial_fit(observation, shadow, world.trace.layout)
    return float(roc_auc_score(world.present, attack.score()))


def chance_error(present: np.ndarray) -> float:
    ones, zeros = int(present.sum()), int((~present).sum())
    return math.sqrt((ones + zeros + 1) / (12 * ones * zeros))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Build:
    @cache
    def made(kind: str, **settings: object) -> AuditedWorld:
        path: Path = tmp_path_factory.mktemp("world") / "trace"
        return audit(path, transforms=Transforms(defences=(EXAMPLES[kind],)), **settings)

    return made


@pytest.mark.parametrize("kind", EXAMPLES)
def test_null_planted_and_defended(kind: str, world: Build) -> None:
    """Chance in the null world behind every defence; the leak behind those that are none."""
    null = world(kind, seed=11, shift=0.0)
    for name in ATTACKS:
        found = auc_of(name, null)
        assert abs(found - 0.5) < 4.5 * chance_error(null.present), name
    planted = world(kind, seed=1)
    best = max(auc_of(name, planted) for name in ATTACKS)
    if kind in HARMLESS:
        assert best > 0.7
    assert len(planted.trace) == 40


@pytest.mark.parametrize("kind", ["noise", "flower-local-dp", "dp-fedavg", "dp-sgd"])
def test_much_noise_hides_the_planted_leak(kind: str, tmp_path: Path) -> None:
    """A hundred times as much as in the examples: what all of them can do, at that price."""
    step = EXAMPLES[kind]
    strong = {
        "noise": {"deviation": 10.0},
        "flower-local-dp": {"clipping_norm": 0.05, "sensitivity": 5.0},
        "dp-fedavg": {"bound": 0.05, "multiplier": 100.0},
        "dp-sgd": {"bound": 1.0, "multiplier": 3000.0},
    }[kind]
    found = audit(
        tmp_path / "trace",
        seed=1,
        transforms=Transforms(defences=(step.model_copy(update=strong),)),
    )
    for name in ATTACKS:
        assert abs(auc_of(name, found) - 0.5) < 4.5 * chance_error(found.present), name


@pytest.mark.parametrize(
    ("name", "kind", "worlds"),
    [
        *(("linear", kind, 4) for kind in KNOWN),
        ("magnitude-stack", "clip and noise", 2),
        ("magnitude-stack", "two bits", 2),
    ],
)
def test_who_knows_the_defence_does_no_worse(
    name: str, kind: str, worlds: int, tmp_path: Path
) -> None:
    """Shadows that pass through the defence, against bare ones, in the same worlds."""
    transforms = Transforms(defences=(KNOWN[kind],))
    gains = []
    for seed in range(worlds):
        made = audit(tmp_path / str(seed), seed=20 + seed, shift=0.6, transforms=transforms)
        gains.append(auc_of(name, made) - auc_of(name, made, knows=False))
    error = np.std(gains, ddof=1) / math.sqrt(len(gains))
    assert np.mean(gains) > -max(0.02, 2 * error), gains
