from __future__ import annotations

from math import nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privaudit.statistics.multiplicity import adjusted_p_values


def naive(p):
    """min over k >= rank(i) of m p_(k) / k, straight from the definition."""
    ordered = sorted(p)
    m = len(p)
    scaled = [m * value / (k + 1) for k, value in enumerate(ordered)]
    return [min(1.0, *scaled[ordered.index(value) :]) for value in p]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_is_the_definition(p):
    assert adjusted_p_values(p) == pytest.approx(naive(p))


def test_cells_without_a_test_are_outside_the_family():
    assert adjusted_p_values([0.01, None, 0.04, nan]) == [0.02, None, 0.04, None]
    assert adjusted_p_values([None, nan]) == [None, None]
    assert adjusted_p_values([]) == []


def test_controls_false_discoveries():
    rng, n_tables = np.random.default_rng(0), 400
    false_share = []
    for _ in range(n_tables):
        p = np.concatenate([rng.random(30), rng.random(10) * 1e-4])
        flagged = np.array(adjusted_p_values(p.tolist())) <= 0.1
        false_share.append(flagged[:30].sum() / max(flagged.sum(), 1))
        assert flagged[30:].all()
    # With 30 of 40 null the rate is 0.1 * 30 / 40; unadjusted it would be about 3 in 13.
    error = np.std(false_share) / np.sqrt(n_tables)
    assert np.mean(false_share) == pytest.approx(0.075, abs=3 * error)


@pytest.mark.parametrize("p", [-0.1, 1.5])
def test_refuses_what_is_no_probability(p):
    with pytest.raises(ValueError, match=r"p-values must be in \[0, 1\]"):
        adjusted_p_values([0.5, p])
