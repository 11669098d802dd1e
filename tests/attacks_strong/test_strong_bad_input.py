"""Adversaries that hold next to nothing, and models with next to nothing in them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from privaudit.attack.adversary import Adversary, AuxiliaryData
from privaudit.attack.protocol import Attack, fit_together, make_attack
from privaudit.attack.registry import load_attack, registered
from privaudit.engine.engine import Engine, Samples
from privaudit.errors import UserError
from privaudit.observation.rules import Rules
from privaudit.observation.views import Observation
from privaudit.randomness import Seed

NAMES = [name for name in registered() if load_attack(name).game == "property"]
BATCH, FEATURES = 8, 3


class Two(nn.Module):
    """Two parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.1, -0.1]))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows[:, :1] * self.weight


class Still(nn.Module):
    """No parameter ever has a gradient: what is sent is zero."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(FEATURES, 2)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return 0.0 * self.inner(rows)


def scored(
    model: nn.Module,
    *,
    records: int,
    groups: int | None,
    contributors: int,
    shadows: int = 2,
    persistent: bool = False,
    rounds: int = 6,
    kinds: tuple[int, ...] = (0, 1),
) -> dict[str, np.ndarray]:
    """Every attack's scores of noise."""
    rng = np.random.default_rng(records)
    inputs = torch.from_numpy(rng.standard_normal((records, FEATURES)).astype(np.float32))
    samples = Samples(inputs, torch.from_numpy(rng.integers(2, size=records)))
    present = np.array(kinds, np.int8)[np.arange(records) % len(kinds)]
    own = None if groups is None else np.arange(records) % groups
    engine = Engine(model)
    rules = Rules(
        participants=contributors + 1,
        batch_size=BATCH,
        lr=0.1,
        others="without",
        persistent=persistent,
    )
    adversary = Adversary(engine, AuxiliaryData(samples, present, own), rules, shadows, Seed(1))
    attacks = [make_attack(load_attack(name), {}, Seed(2)) for name in NAMES]
    still = isinstance(model, Still)
    seen = [
        Observation(
            round=number,
            before=engine.initial,
            global_delta=torch.zeros(len(engine.initial))
            if still
            else torch.from_numpy(rng.standard_normal(len(engine.initial)).astype(np.float32)),
            own_delta=torch.zeros(len(engine.initial)),
            own_weight=1 / (contributors + 1),
            participants=contributors + 1,
        )
        for number in range(rounds)
    ]
    fit_together(attacks, seen, adversary)  # type: ignore[arg-type]
    return {a.name: a.score() for a in attacks if isinstance(a, Attack)}


@given(
    records=st.integers(2, 60),
    groups=st.sampled_from([None, 1, 2, 5]),
    contributors=st.sampled_from([1, 2, 9]),
    shadows=st.integers(2, 5),
    persistent=st.booleans(),
)
@settings(max_examples=8, deadline=None)
def test_whoever_holds_little_is_told_a_number_for_each_round(
    records: int, groups: int | None, contributors: int, shadows: int, persistent: bool
) -> None:
    """Fewer records than a batch, one group, two parameters; halves that hold a batch or do not."""
    found = scored(
        Two(),
        records=records,
        groups=groups,
        contributors=contributors,
        shadows=shadows,
        persistent=persistent,
    )
    assert set(found) == set(NAMES)
    for name, scores in found.items():
        assert scores.shape == (6,), name
        assert np.isfinite(scores).all(), name


@pytest.mark.parametrize("records", [3, 60])
@pytest.mark.parametrize("contributors", [1, 4])
def test_layers_that_never_move_tell_no_round_from_another(records: int, contributors: int) -> None:
    found = scored(Still(), records=records, groups=None, contributors=contributors)
    for name, scores in found.items():
        assert np.ptp(scores) < 1e-9, name


@pytest.mark.parametrize("kind", [0, 1])
def test_records_of_one_kind_teach_nothing_and_that_is_said(kind: int) -> None:
    with pytest.raises(UserError, match="none of the adversary's 20 records is with") as caught:
        scored(Two(), records=20, groups=None, contributors=2, kinds=(kind,))
    assert "\n" not in str(caught.value)


def test_the_records_of_one_group_are_split_one_by_one() -> None:
    rng = np.random.default_rng(1)
    samples = Samples(torch.zeros(40, FEATURES), torch.from_numpy(rng.integers(2, size=40)))
    present = (np.arange(40) % 2).astype(np.int8)
    rules = Rules(participants=2, batch_size=5, lr=0.1)
    one = Adversary(Engine(Two()), AuxiliaryData(samples, present, np.zeros(40)), rules, 4, Seed(1))
    pools = one._pools
    assert not set(pools[0]["all"]) & set(pools[1]["all"])
    assert min(len(pool[kind]) for pool in pools for kind in ("present", "absent")) >= 10
    for more in ({"batch_size": 6}, {"local_steps": 2}):  # clients draw all their steps' records
        few = replace(one, rules=rules.model_copy(update=more))
        assert few._halves is None
