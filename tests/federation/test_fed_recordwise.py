"""Clients that train by DP-SGD beside others that do not: each way of training once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_models import Dense, rows

from privaudit.defences.recordwise import RecordLevelDP
from privaudit.defences.sharing import Sharing
from privaudit.defences.transforms import Transforms
from privaudit.engine.engine import Engine
from privaudit.engine.local_rule import LocalRule
from privaudit.federation.rounds import ClientWork, LocalTraining, Sending, run_sendings
from privaudit.randomness import Seed

PRIVATE = RecordLevelDP(bound=0.5, multiplier=1.0)


def test_what_is_trained_in_one_way_is_sent_in_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four sendings, two ways of training: two calls, and each outcome is as it is by itself."""
    engine, samples = Engine(Dense()), rows(40)
    work = [ClientWork(client, [np.arange(8) + 8 * client]) for client in range(3)]
    half = Sharing("largest", 0.5)
    ways = [
        Transforms(),
        Transforms(defences=(PRIVATE,)),
        Transforms(sharing=half),
        Transforms(sharing=half, defences=(PRIVATE,)),
    ]
    sendings = [Sending(work, LocalTraining(0.1, transforms=way)) for way in ways]
    calls, original = [], Engine.train_clients
    monkeypatch.setattr(
        Engine, "train_clients", lambda *a, **k: calls.append(len(a[3])) or original(*a, **k)
    )

    def outcomes(chosen: list[Sending]) -> list[torch.Tensor]:
        found = run_sendings(engine, samples, engine.initial, chosen, round_number=0, seed=Seed(1))
        return [outcome.delta for outcome in found]

    together = outcomes(sendings)
    assert calls == [3, 3]
    for sending, delta in zip(sendings, together, strict=True):
        assert torch.equal(outcomes([sending])[0], delta)
    plain, private = together[:2]
    seeds = [Seed(1).child("client", client, "round", 0) for client in range(3)]
    treated = engine.under(PRIVATE.in_training)
    each = treated.train_clients(
        engine.initial, samples, [w.batches for w in work], LocalRule(0.1), seeds
    )
    assert torch.allclose(private, torch.stack([update.delta for update in each]).mean(0))
    assert not torch.allclose(private, plain, atol=1e-3)
