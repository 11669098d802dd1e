"""Shadows are trained as clients are, whatever the rule: a leak is found where there is one."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from audited_world import SHIFT, AuditedWorld, audit
from sklearn.metrics import roc_auc_score

from privaudit.attack.protocol import Attack, make_attack
from privaudit.attack.registry import load_attack
from privaudit.engine.local_rule import LocalOptions
from privaudit.randomness import Seed

ADAM = LocalOptions(optimiser="adam", weight_decay=0.01, decay=0.98, proximal=0.1)
ROUNDS, WORLDS = 40, 3


def auc(world: AuditedWorld) -> float:
    attack = make_attack(load_attack("linear"), {}, Seed(7))
    assert isinstance(attack, Attack)
    attack.fit(world.trace.view(), world.adversary)
    return float(roc_auc_score(world.present, attack.score()))


@pytest.mark.parametrize("shift", [SHIFT, 0.0])
def test_adam_with_a_schedule_decay_and_a_proximal_term(shift: float, tmp_path: Path) -> None:
    found = np.mean([
        auc(audit(tmp_path / f"{n}", seed=n, shift=shift, rounds=ROUNDS, lr=0.005, local=ADAM))
        for n in range(WORLDS)
    ])  # fmt: skip
    # Mann-Whitney: standard error of a mean of AUCs without difference.
    error = math.sqrt((ROUNDS + 1) / (3 * ROUNDS**2) / WORLDS)
    if shift:
        assert found > 0.5 + 4.5 * error
    else:
        assert abs(found - 0.5) < 4.5 * error
