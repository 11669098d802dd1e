"""The views of a delta."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from privaudit.engine.layout import Layout
from privaudit_attacks.magnitudes import coarse_magnitude, magnitude, signed_root, structure

RMS = torch.ones(1, 1)
LAYOUT = Layout.of([("conv", (2, 3, 2, 2)), ("bias", (2,)), ("dense", (3, 4))])


@given(st.floats(1e-12, 1e6), st.floats(1e-12, 1e6))
def test_magnitudes_are_ordered_ignore_the_sign_and_keep_zero_apart(a: float, b: float) -> None:
    small, large = sorted((a, b))
    seen = magnitude(torch.tensor([[0.0, small, -small, large]]), RMS)[0]
    assert seen[0] == 0
    assert seen[1] == seen[2] > 0.2
    assert seen[3] >= seen[1]


def test_coarse_magnitudes_do_not_see_what_is_tiny() -> None:
    seen = coarse_magnitude(torch.tensor([[1.0, 1e-6, 1e-9, 0.0]]), torch.tensor([[0.5]]))[0]
    assert seen[0] > seen[1] + 3
    assert (seen[1:] - seen[3]).abs().max() < 0.01
    assert torch.isfinite(coarse_magnitude(torch.zeros(2, 3), torch.zeros(2, 1))).all()


def test_signed_root() -> None:
    assert signed_root(torch.tensor([[-4.0, 0.0, 9.0]]), RMS).tolist() == [[-2.0, 0.0, 3.0]]


def test_views_leave_their_argument_alone() -> None:
    vectors = torch.randn(3, LAYOUT.size, generator=torch.Generator().manual_seed(1))
    before = vectors.clone()
    for view in (magnitude, coarse_magnitude, signed_root):
        view(vectors, torch.ones(3, 1))
    structure(vectors, LAYOUT)
    assert torch.equal(vectors, before)


def test_structure_names_the_row_and_the_column_that_are_silent() -> None:
    """Against numpy, feature by feature."""
    rng = np.random.default_rng(1)
    vector = rng.standard_normal(LAYOUT.size).astype(np.float32)
    parts = LAYOUT.split(vector)
    parts["dense"][1], parts["conv"][:, 2] = 0, 0
    found = structure(torch.from_numpy(vector[None].copy()), LAYOUT)[0].numpy()
    expected = []
    for name, part in parts.items():
        energy = part**2
        total = energy.mean()
        expected.append([np.log(total)])
        if name == "bias":
            expected.append(np.log(energy / total + 1e-4))
            continue
        energy = energy.reshape(*energy.shape[:2], -1)
        for axes in ((1, 2), (0, 2)):
            expected.append(np.log(energy.mean(axes) / total + 1e-4))
            expected.append((energy > 0).mean(axes))
    assert found == pytest.approx(np.concatenate(expected), rel=1e-4, abs=1e-5)
    assert torch.isfinite(structure(torch.zeros(2, LAYOUT.size), LAYOUT)).all()
