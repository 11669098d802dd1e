"""Gradients of a real network are turned into the records that made them."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from privaudit_attacks.reconstruction.first_layer import single_units
from privaudit_attacks.reconstruction.labels import label_counts
from privaudit_attacks.reconstruction.spear import most_records, spear

EPS = float(torch.finfo(torch.float32).eps)


def gradient_of(batch: int, hidden: int, features: int, seed: int) -> dict[str, np.ndarray]:
    """Gradient and parameters of the first layer of a ReLU network, and its batch."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, 24), nn.ReLU(), nn.Linear(24, 5)
    )
    records, labels = torch.randn(batch, features), torch.randint(5, (batch,))
    nn.functional.cross_entropy(model(records), labels).backward()
    first = model[0]
    assert isinstance(first, nn.Linear)
    assert first.weight.grad is not None
    assert first.bias.grad is not None
    return {
        "dW": first.weight.grad.numpy(),
        "db": first.bias.grad.numpy(),
        "W": first.weight.detach().numpy(),
        "b": first.bias.detach().numpy(),
        "records": records.numpy(),
    }


def rounding(gradient: np.ndarray) -> float:
    """By how much float32 may be off."""
    return float(EPS * np.abs(gradient).max())


def nearest(truth: np.ndarray, rebuilt: np.ndarray) -> np.ndarray:
    """[b] largest error of the nearest answer, in units of the record's largest number."""
    if not len(rebuilt):
        return np.full(len(truth), np.inf)
    apart = np.abs(truth[:, None] - rebuilt[None]).max(axis=2)
    least: np.ndarray = apart.min(axis=1) / np.abs(truth).max(axis=1)
    return least


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_one_record_is_found_and_nothing_else(seed: int) -> None:
    made = gradient_of(1, 64, 12, seed)
    found = single_units(made["dW"], made["db"], rounding=rounding(made["db"]))
    assert nearest(made["records"], found.first(1).records).max() < 0.01


def test_of_four_records_most_are_among_the_four_surest() -> None:
    errors = []
    for seed in range(30):
        made = gradient_of(4, 128, 12, seed)
        found = single_units(made["dW"], made["db"], rounding=rounding(made["db"])).first(4)
        errors.append(nearest(made["records"], found.records))
        assert (np.diff(found.witnesses) <= 0).all()
    assert np.mean(np.concatenate(errors) < 0.01) > 0.6


def test_mean_of_two_records_is_no_witness_twice() -> None:
    # Three units: one sees the first record alone, two see both, weighed differently.
    records = np.array([[1.0, 2.0, 3.0], [4.0, -1.0, 0.5]])
    slopes = np.array([[0.5, 0.0], [0.3, 0.2], [0.1, 0.7], [0.2, 0.0]])
    found = single_units(slopes @ records, slopes.sum(1), rounding=EPS)
    assert found.witnesses.tolist() == [2, 1, 1]
    np.testing.assert_allclose(found.records[0], records[0])


def test_units_without_a_gradient_say_nothing() -> None:
    assert len(single_units(np.zeros((5, 3)), np.zeros(5), rounding=EPS)) == 0


@settings(max_examples=10)
@given(st.integers(0, 10**6), st.integers(2, 7))
def test_spear_rebuilds_a_batch_or_says_why_not(seed: int, batch: int) -> None:
    made = gradient_of(batch, 128, 20, seed)
    found = spear(
        made["dW"], made["db"], made["W"], made["b"], batch,
        precision=EPS, most_draws=40_000, rng=np.random.default_rng(seed),
    )  # fmt: skip
    assert (found.why == "rebuilt") == (len(found.records) == batch)
    if found.why == "rebuilt":
        assert nearest(made["records"], found.records).max() < 0.01


def test_spear_rebuilds_eight_records_from_most_batches() -> None:
    why = []
    for seed in range(6):
        made = gradient_of(8, 256, 30, seed)
        found = spear(
            made["dW"], made["db"], made["W"], made["b"], 8,
            precision=EPS, most_draws=40_000, rng=np.random.default_rng(seed),
        )  # fmt: skip
        why.append(found.why)
        if found.why == "rebuilt":
            assert nearest(made["records"], found.records).max() < 0.01
    assert why.count("rebuilt") >= 5


def test_spear_refuses_a_batch_beyond_the_rank() -> None:
    made = gradient_of(12, 64, 8, 1)
    assert most_records(64, 8) == 9
    found = spear(
        made["dW"], made["db"], made["W"], made["b"], 12,
        precision=EPS, most_draws=10, rng=np.random.default_rng(0),
    )  # fmt: skip
    assert (found.why, found.draws) == ("rank", 0)


@given(st.integers(0, 10**6), st.integers(1, 30))
def test_label_counts_are_exact_where_the_mean_prediction_is_known(seed: int, batch: int) -> None:
    rng = np.random.default_rng(seed)
    labels, predicted = rng.integers(0, 6, batch), rng.dirichlet(np.ones(6), batch)
    counts = np.bincount(labels, minlength=6)
    found = label_counts(predicted.sum(0) - counts, predicted.mean(0), batch)
    assert found.tolist() == counts.tolist()


@given(st.integers(0, 10**6), st.integers(1, 30))
def test_label_counts_add_up_whatever_is_seen(seed: int, batch: int) -> None:
    rng = np.random.default_rng(seed)
    found = label_counts(rng.standard_normal(5) * batch, rng.dirichlet(np.ones(5)), batch)
    assert found.sum() == batch
    assert found.min() >= 0


@given(st.integers(0, 10**6), st.floats(0.5, 0.9999))
def test_one_record_is_named_however_sure_the_model_is(seed: int, sure: float) -> None:
    rng = np.random.default_rng(seed)
    label, predicted = rng.integers(6), (1 - sure) * rng.dirichlet(np.ones(6))
    predicted[rng.integers(6)] += sure
    there = np.eye(6, dtype=int)[label]
    found = label_counts(predicted - there, rng.dirichlet(np.ones(6)), 1)
    assert found.tolist() == there.tolist()
