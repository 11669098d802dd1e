"""Presets do what the frameworks do: recomputed here, and against their classes if installed."""

from __future__ import annotations

import math
import types

import numpy as np
import pytest
import torch

from privaudit.defences.adaptive import AdaptiveClipping
from privaudit.defences.central import CentralDP
from privaudit.defences.flower import LocalDP
from privaudit.defences.nvflare import PercentilePrivacy, SparseVector
from privaudit.defences.protocol import At
from privaudit.engine.layout import Layout
from privaudit.randomness import Seed

SIZE = 500
AT = At(Layout.of([("all", [SIZE])]), Seed(3))


def values(seed: int = 0) -> np.ndarray:
    return Seed(seed).generator("values").normal(0, 0.01, SIZE).astype(np.float32)


@pytest.mark.parametrize(("percentile", "gamma", "steps"), [(10, 0.01, 1), (80, 0.02, 4)])
def test_percentile_privacy(percentile: int, gamma: float, steps: int) -> None:
    step = PercentilePrivacy(percentile=percentile, gamma=gamma, steps=steps)
    sent = step.client(torch.from_numpy(values()), AT).numpy()
    ranked = np.sort(np.abs(values() / steps))
    place = percentile / 100 * (SIZE - 1)  # linear interpolation between two ranks
    low = math.floor(place)
    cut = ranked[low] + (place - low) * (ranked[min(low + 1, SIZE - 1)] - ranked[low])
    for before, after in zip(values(), sent, strict=True):
        per_step = before / steps
        expected = 0.0 if abs(per_step) < cut else max(-gamma, min(gamma, per_step)) * steps
        assert after == pytest.approx(expected, abs=1e-8)


def test_percentile_privacy_is_nvflares() -> None:
    filters = pytest.importorskip("nvflare.app_common.filters.percentile_privacy")
    dxo = pytest.importorskip("nvflare.apis.dxo")
    shareable = pytest.importorskip("nvflare.apis.shareable")
    context = pytest.importorskip("nvflare.apis.fl_context")
    data = dxo.DXO(dxo.DataKind.WEIGHT_DIFF, data={"all": values()})
    data.set_meta_prop(dxo.MetaKey.NUM_STEPS_CURRENT_ROUND, 4)
    theirs = filters.PercentilePrivacy(percentile=80, gamma=0.002)
    found = theirs.process_dxo(data, shareable.Shareable(), context.FLContext()).data["all"]
    ours = PercentilePrivacy(percentile=80, gamma=0.002, steps=4)
    assert np.allclose(ours.client(torch.from_numpy(values()), AT).numpy(), found, atol=1e-8)


def test_sparse_vector() -> None:
    """Many draws: which share is sent, that noise has its scale, that large values go first."""
    step = SparseVector(
        fraction=0.1, epsilon=1e7, noise_var=5.0, gamma=0.02, tau=0.015, replace=False
    )
    given = values()
    found = np.stack([step.sent(given, Seed(i).generator("svt")) for i in range(300)])
    assert (np.count_nonzero(found, axis=1) == 50).all()
    chosen = (found != 0).mean(0)
    large, small = np.abs(given) > 0.017, np.abs(given) < 0.01
    assert chosen[large].mean() > 4 * chosen[small].mean()
    noise = (found - np.clip(given, -0.02, 0.02))[found != 0]
    assert np.abs(noise).mean() == pytest.approx(2 * 0.02 / 5.0, rel=0.05)  # of Laplace: its scale


def test_sparse_vector_is_nvflares(monkeypatch: pytest.MonkeyPatch) -> None:
    filters = pytest.importorskip("nvflare.app_common.filters.svt_privacy")
    dxo = pytest.importorskip("nvflare.apis.dxo")
    shareable = pytest.importorskip("nvflare.apis.shareable")
    context = pytest.importorskip("nvflare.apis.fl_context")
    # It draws from the global generator; the same calls go to one of ours.
    drawing = types.SimpleNamespace(**vars(np) | {"random": Seed(1).generator("theirs")})
    monkeypatch.setattr(filters, "np", drawing)
    data = dxo.DXO(dxo.DataKind.WEIGHT_DIFF, data={"all": values()})
    settings = {"fraction": 0.1, "epsilon": 50.0, "noise_var": 5.0, "gamma": 0.02, "tau": 0.01}
    theirs = filters.SVTPrivacy(replace=False, **settings)
    found = theirs.process_dxo(data, shareable.Shareable(), context.FLContext()).data["all"]
    ours = SparseVector(replace=False, **settings).sent(values(), Seed(1).generator("theirs"))
    assert np.allclose(ours, found, atol=1e-7)


def test_fixed_clipping_and_local_dp_by_hand() -> None:
    given = torch.from_numpy(values())
    norm = math.sqrt(sum(float(v) ** 2 for v in given))
    clipped = [float(v) * min(1.0, 0.1 / norm) for v in given]
    assert CentralDP(bound=0.1, multiplier=1.0).client(given, AT).tolist() == pytest.approx(clipped)
    local = LocalDP(clipping_norm=0.1, sensitivity=0.3, epsilon=2.0, delta=1e-3)
    assert local.deviation == pytest.approx(0.3 * math.sqrt(2 * math.log(1.25 / 1e-3)) / 2.0)
    noise = torch.stack(
        [local.client(given, At(AT.layout, Seed(i))) for i in range(100)]
    ) - torch.tensor(clipped)
    assert float(noise.std()) == pytest.approx(local.deviation, rel=0.02)


def test_clipping_and_noise_are_flowers() -> None:
    flower = pytest.importorskip("flwr.supercore.differential_privacy")
    given = values()
    theirs = [given[:200].copy(), given[200:].copy()]
    assert flower.adaptive_clip_inputs_inplace(theirs, 0.1)
    ours = CentralDP(bound=0.1, multiplier=1.5)
    assert np.allclose(
        ours.client(torch.from_numpy(given), AT).numpy(), np.concatenate(theirs), atol=1e-7
    )
    adaptive = AdaptiveClipping(bound=0.1, multiplier=0.8, count_deviation=2.0)
    assert flower.compute_adaptive_noise_params(0.8, 40, 2.0)[1] == pytest.approx(
        adaptive.delta_multiplier
    )
    noise = ours.server(torch.zeros(SIZE), At(AT.layout, Seed(5), clients=7))
    assert float(noise.std()) == pytest.approx(flower.compute_stdv(1.5, 0.1, 7), rel=0.1)


def test_the_bound_moves_as_flowers() -> None:
    strategies = pytest.importorskip("flwr.serverapp.strategy.dp_adaptive_clipping")
    base = strategies.DifferentialPrivacyAdaptiveBase
    whole = type("Whole", (base,), dict.fromkeys(base.__abstractmethods__, None))
    theirs = object.__new__(whole)
    theirs.clipping_norm, theirs.clip_norm_lr, theirs.target_clipped_quantile = 0.3, 0.2, 0.5
    theirs._geometric_update(0.8)  # 8 of 10 were clipped
    ours = AdaptiveClipping(multiplier=1e-6, count_deviation=1e-5, update="flower")
    here = At(AT.layout, Seed(0), clients=10)
    assert ours.moved(0.3, [0.0] * 8 + [1.0] * 2, here) == pytest.approx(
        theirs.clipping_norm, rel=1e-4
    )
