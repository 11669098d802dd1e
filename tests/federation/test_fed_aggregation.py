"""The server verifies every delta; a rejected one changes nothing and weighs nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import dense_engine, rows

from privaudit.federation.aggregation import Aggregator, Submission, verify
from privaudit.federation.rounds import ClientWork, LocalTraining, run_round
from privaudit.randomness import Seed

NAN, INF = math.nan, math.inf
BAD = {
    "a NaN": torch.tensor([1.0, NAN, 0.0]),
    "an infinity": torch.tensor([1.0, -INF, 0.0]),
    "both infinities": torch.tensor([INF, -INF, 0.0]),
    "too short": torch.ones(2),
    "too long": torch.ones(4),
    "a matrix": torch.ones(1, 3),
    "too large": torch.tensor([3.0, 4.0, 0.1]),
    "an overflowing norm": torch.full((3,), 3e38),
}
GOOD = torch.tensor([3.0, 4.0, 0.0])


@pytest.mark.parametrize("name", BAD)
def test_bad_deltas_are_rejected_with_a_reason(name: str) -> None:
    verdict = verify(Submission(7, BAD[name], 10), 3, norm_bound=5.0)
    assert not verdict.accepted
    assert verdict.reason
    assert (verdict.client, verdict.samples) == (7, 10)


def test_the_bound_itself_is_accepted() -> None:
    verdict = verify(Submission(0, GOOD, 1), 3, norm_bound=5.0)
    assert (verdict.accepted, verdict.reason, verdict.norm) == (True, "", 5.0)
    assert verify(Submission(0, 1e6 * GOOD, 1), 3, norm_bound=None).accepted


@pytest.mark.parametrize("name", BAD)
def test_a_rejected_delta_does_not_enter_the_average(name: str) -> None:
    aggregator = Aggregator(3, norm_bound=5.0)
    aggregator.add(Submission(0, GOOD, 10))
    aggregator.add(Submission(1, BAD[name], 1000))
    aggregator.add(Submission(2, torch.zeros(3), 30))
    torch.testing.assert_close(aggregator.delta(), 0.25 * GOOD)
    assert aggregator.weights() == {0: 0.25, 2: 0.75}


def test_all_rejected_leaves_the_model_as_it_is() -> None:
    aggregator = Aggregator(3, norm_bound=5.0)
    for client, delta in enumerate(BAD.values()):
        aggregator.add(Submission(client, delta, 5))
    assert torch.equal(aggregator.delta(), torch.zeros(3))
    assert aggregator.weights() == {}


def test_a_round_of_diverged_clients_keeps_the_global_model() -> None:
    engine, samples = dense_engine(), rows(8)
    work = [ClientWork(c, [np.arange(8)] * 3) for c in range(2)]
    outcome = run_round(
        engine,
        samples,
        engine.initial,
        work,
        LocalTraining(lr=1e38),
        round_number=0,
        seed=Seed(1),
    )
    assert outcome.metrics.accepted == 0
    assert torch.equal(outcome.after, engine.initial)


vectors = st.lists(
    st.lists(st.floats(-10, 10, width=32), min_size=3, max_size=3), min_size=1, max_size=6
)


@given(vectors, st.data())
def test_the_average_is_a_convex_combination(rows: list[list[float]], data: st.DataObject) -> None:
    counts = data.draw(st.lists(st.integers(1, 50), min_size=len(rows), max_size=len(rows)))
    aggregator = Aggregator(3)
    for client, (row, count) in enumerate(zip(rows, counts, strict=True)):
        aggregator.add(Submission(client, torch.tensor(row), count))
    expected = np.average(np.array(rows), axis=0, weights=counts)
    # Sums of at most 6 products below 500 in float32.
    np.testing.assert_allclose(aggregator.delta(), expected, rtol=0, atol=6 * 500 * 1.2e-7)
    assert sum(aggregator.weights().values()) == pytest.approx(1.0)


def test_submissions_are_not_changed() -> None:
    aggregator = Aggregator(3)
    delta = GOOD.clone()
    aggregator.add(Submission(0, delta, 10))
    aggregator.delta().add_(1.0)
    assert torch.equal(delta, GOOD)
    assert torch.equal(aggregator.delta(), GOOD), "what was handed out is not the running sum"
