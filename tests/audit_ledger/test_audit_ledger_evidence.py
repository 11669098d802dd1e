"""Evidence of a federated round: what is hashed, and what a delta is worth."""

from __future__ import annotations

import hashlib
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from privaudit.custody.evidence import EvidenceCollector, digest, parse_evidence
from privaudit.custody.valuation import MILLION, Sent, alignment
from privaudit.errors import UserError
from privaudit.federation.aggregation import Aggregator, Submission
from privaudit.federation.rounds import RoundMetrics, RoundOutcome

SIZE = 6
START = torch.zeros(SIZE)


def play(collector: EvidenceCollector, rounds: list[list[torch.Tensor]]) -> torch.Tensor:
    """Feed rounds of deltas through an aggregator, as the federation does."""
    parameters = torch.arange(SIZE, dtype=torch.float32)
    for number, deltas in enumerate(rounds):
        aggregator = Aggregator(SIZE, norm_bound=10.0)
        collector.begin(number, parameters, range(len(deltas)))
        for client, delta in enumerate(deltas):
            submission = Submission(client, delta, 10 + client)
            collector.submitted(submission, aggregator.add(submission))
        metrics = RoundMetrics(number, len(deltas), len(deltas), 0.0, 0.0, 0.0, 0, 0)
        outcome = RoundOutcome(
            number,
            parameters,
            aggregator.delta(),
            aggregator.weights(),
            tuple(aggregator.verdicts),
            metrics,
        )
        collector.end(outcome)
        parameters = outcome.after
    return parameters


def deltas(count: int, seed: int = 0) -> list[torch.Tensor]:
    rng = np.random.default_rng(seed)
    return [torch.from_numpy(rng.normal(size=SIZE).astype(np.float32)) for _ in range(count)]


def test_digest_is_sha256_of_little_endian_floats() -> None:
    vector = torch.tensor([1.0, -2.5, 0.0])
    expected = hashlib.sha256(np.array([1.0, -2.5, 0.0], dtype="<f4").tobytes()).hexdigest()
    assert digest(vector) == expected


def test_digest_does_not_see_the_sign_of_zero_and_sees_everything_else() -> None:
    assert digest(torch.tensor([-0.0, 1.0])) == digest(torch.tensor([0.0, 1.0]))
    assert digest(torch.tensor([1e-45, 1.0])) != digest(torch.tensor([0.0, 1.0]))


def test_models_chain_from_round_to_round() -> None:
    collector = EvidenceCollector()
    last = play(collector, [deltas(3, seed) for seed in range(4)])
    rounds = collector.rounds
    assert [r.after for r in rounds[:-1]] == [r.before for r in rounds[1:]]
    assert rounds[-1].after == digest(last)


def test_a_rejected_delta_is_there_with_its_reason() -> None:
    collector = EvidenceCollector(alignment)
    bad = [torch.full((SIZE,), torch.nan), torch.ones(SIZE + 1), torch.full((SIZE,), 100.0)]
    play(collector, [[*deltas(2), *bad]])
    cohort = collector.rounds[0].cohort
    assert [d.outcome for d in cohort] == [1, 1, 5, 4, 6]
    assert [d.value for d in cohort[2:]] == [0, 0, 0]
    assert cohort[2].norm is None
    json.dumps(collector.rows(), allow_nan=False)


def test_rows_come_back_as_they_were() -> None:
    collector = EvidenceCollector(alignment)
    play(collector, [deltas(4), deltas(4, 1)])
    rows = json.loads(json.dumps(collector.rows()))
    assert parse_evidence(rows, where="x") == collector.rounds


@pytest.mark.parametrize("damage", [{"cohort": None}, {"more": 1}, {"cohort": [{"client": 1}]}])
def test_a_damaged_row_is_named(damage: dict[str, object]) -> None:
    collector = EvidenceCollector()
    play(collector, [deltas(2), deltas(2)])
    rows = json.loads(json.dumps(collector.rows()))
    with pytest.raises(UserError, match="line 2"):
        parse_evidence([rows[0], rows[1] | damage], where="evidence.jsonl")


@given(st.integers(2, 6), st.integers(0, 50))
def test_alignment_is_the_cosine_with_the_average_of_the_others(count: int, seed: int) -> None:
    sent = dict(enumerate(deltas(count, seed)))
    weights = dict.fromkeys(sent, 1 / count)
    aggregate = torch.stack([delta / count for delta in sent.values()]).sum(dim=0)
    for client, value in alignment(Sent(START, sent, weights, aggregate)).items():
        others = sum(d.double() for c, d in sent.items() if c != client)
        cosine = float(torch.nn.functional.cosine_similarity(sent[client].double(), others, dim=0))
        assert value == pytest.approx(MILLION * max(0.0, cosine), abs=20)


def test_a_larger_delta_is_not_worth_more() -> None:
    first, *rest = deltas(5)
    common = torch.full((SIZE,), 2.0)
    rest = [delta + common for delta in rest]

    def value(scale: float) -> int:
        sent = dict(enumerate([scale * (first + common), *rest]))
        aggregate = torch.stack([d / 5 for d in sent.values()]).sum(dim=0)
        return alignment(Sent(START, sent, dict.fromkeys(sent, 0.2), aggregate))[0]

    assert value(1.0) > 0
    assert math.isclose(value(1.0), value(50.0), abs_tol=20)


def test_opposed_and_empty_deltas_are_worth_nothing_and_a_lone_one_everything() -> None:
    one = torch.ones(SIZE)
    sent = {0: one, 1: one, 2: -one, 3: torch.zeros(SIZE)}
    values = alignment(Sent(START, sent, dict.fromkeys(sent, 0.25), one / 4))
    assert values[2] == values[3] == 0
    assert alignment(Sent(START, {7: one}, {7: 1.0}, one)) == {7: MILLION}
