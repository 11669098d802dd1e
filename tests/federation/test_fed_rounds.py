"""One round: cohorts, metrics, observers, and results that depend on the seed alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import dense_engine, rows
from torch import Tensor

from privaudit.defences.sharing import Sharing
from privaudit.defences.transforms import Transforms
from privaudit.engine.engine import LocalRule
from privaudit.federation.aggregation import Submission, Verdict
from privaudit.federation.partition import Partition
from privaudit.federation.phases import TrainingPhase, train
from privaudit.federation.rounds import (
    ClientWork,
    LocalTraining,
    RoundOutcome,
    cohort_of,
    epochs,
    run_round,
    run_rounds,
)
from privaudit.randomness import Seed

ENGINE, SAMPLES = dense_engine(), rows(50)
WORK = [ClientWork(c, [np.arange(10 * c, 10 * c + 10)]) for c in range(5)]
NOISY = LocalTraining(0.1, transforms=Transforms(noise=0.01, sharing=Sharing("random", 0.5)))


def one_round(work: Sequence[ClientWork], training: LocalTraining, seed: int = 1) -> RoundOutcome:
    return run_round(
        ENGINE, SAMPLES, ENGINE.initial, work, training, round_number=0, seed=Seed(seed)
    )


def test_the_order_of_the_work_does_not_matter() -> None:
    assert torch.equal(one_round(WORK, NOISY).delta, one_round(WORK[::-1], NOISY).delta)


def test_noise_and_random_sharing_come_from_the_seed_and_differ_by_client_and_round() -> None:
    assert torch.equal(one_round(WORK, NOISY).delta, one_round(WORK, NOISY).delta)
    assert not torch.equal(one_round(WORK, NOISY, 2).delta, one_round(WORK, NOISY).delta)
    sent: list[Tensor] = []

    class Listener:
        def begin(self, round_number: int, before: Tensor, cohort: Sequence[int]) -> None: ...
        def submitted(self, submission: Submission, verdict: Verdict) -> None:
            sent.append(submission.delta)

        def end(self, outcome: RoundOutcome) -> None: ...

    same = [ClientWork(c, [np.arange(10)]) for c in range(2)]
    still = LocalTraining(1e-12, transforms=NOISY.transforms)
    list(
        run_rounds(
            ENGINE,
            SAMPLES,
            ENGINE.initial,
            lambda _: same,
            still,
            rounds=2,
            seed=Seed(1),
            observers=[Listener()],
        )
    )
    assert len({bytes(delta.numpy()) for delta in sent}) == 4


def test_metrics_are_means_over_the_cohort() -> None:
    outcome = one_round(WORK, LocalTraining(0.1))
    each = [
        ENGINE.train(ENGINE.initial, SAMPLES, w.batches, rule=LocalRule(0.1, 0), seed=Seed(0))
        for w in WORK
    ]
    metrics = outcome.metrics
    assert metrics.train_loss == pytest.approx(np.mean([u.loss for u in each]))
    assert metrics.train_accuracy == pytest.approx(np.mean([u.accuracy for u in each]))
    assert (metrics.round, metrics.clients, metrics.accepted) == (0, 5, 5)
    assert metrics.bytes_down == metrics.bytes_up == 5 * 4 * ENGINE.layout.size
    assert metrics.seconds > 0


def test_a_shared_value_travels_with_its_index() -> None:
    delta = torch.tensor([0.0, 1.0, 2.0, 0.0, 0.0])
    assert Transforms().payload(delta) == 20
    assert Transforms(sharing=Sharing("largest", 0.4)).payload(delta) == 16
    half = LocalTraining(0.1, transforms=Transforms(sharing=Sharing("largest", 0.5)))
    shared = -(-ENGINE.layout.size // 2)
    assert one_round(WORK, half).metrics.bytes_up == 5 * 8 * shared


def test_observers_hear_opening_submissions_and_end_in_order() -> None:
    heard: list[object] = []

    class Listener:
        def begin(self, round_number: int, before: Tensor, cohort: Sequence[int]) -> None:
            heard.append(("begin", round_number, tuple(cohort)))

        def submitted(self, submission: Submission, verdict: Verdict) -> None:
            heard.append((submission.client, verdict.accepted))

        def end(self, outcome: RoundOutcome) -> None:
            heard.append(("end", outcome.round))

    list(
        run_rounds(
            ENGINE,
            SAMPLES,
            ENGINE.initial,
            lambda number: WORK[number : number + 2][::-1],
            LocalTraining(0.1),
            rounds=2,
            seed=Seed(1),
            observers=[Listener()],
        )
    )
    assert heard == [
        ("begin", 0, (0, 1)),
        (0, True),
        (1, True),
        ("end", 0),
        ("begin", 1, (1, 2)),
        (1, True),
        (2, True),
        ("end", 1),
    ]


def test_rounds_start_where_the_last_one_ended() -> None:
    outcomes = list(
        run_rounds(ENGINE, SAMPLES, ENGINE.initial, lambda _: WORK, NOISY, rounds=3, seed=Seed(1))
    )
    assert torch.equal(outcomes[0].before, ENGINE.initial)
    for earlier, later in pairwise(outcomes):
        assert torch.equal(later.before, earlier.before + earlier.delta)


@given(participants=st.integers(1, 40), cohort=st.integers(1, 40), root=st.integers(0, 100))
def test_a_cohort_is_drawn_without_replacement(participants: int, cohort: int, root: int) -> None:
    chosen = cohort_of(participants, cohort, np.random.default_rng(root))
    assert len(chosen) == min(cohort, participants)
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= set(range(participants))


def test_cohorts_change_by_round_and_everybody_takes_part_equally_often() -> None:
    partition = Partition(np.arange(0), tuple(np.arange(10 * c, 10 * c + 10) for c in range(5)))
    plan = TrainingPhase("fedavg", 200, 2, 1, 10, LocalTraining(1e-6))
    rounds = train(ENGINE, SAMPLES, partition, plan, start=ENGINE.initial, seed=Seed(4))
    cohorts = [tuple(outcome.weights) for outcome in rounds]
    counts = np.bincount(np.concatenate(cohorts), minlength=5)
    # Binomial(200, 2/5) for each of 5 clients, 4.5 standard deviations.
    assert np.abs(counts - 80).max() < 4.5 * np.sqrt(200 * 0.4 * 0.6)
    assert len(set(cohorts)) == 10, "all pairs occur"


@given(records=st.integers(1, 60), size=st.integers(1, 20), passes=st.integers(1, 3))
def test_epochs_are_shuffled_passes(records: int, size: int, passes: int) -> None:
    own = np.arange(100, 100 + records)
    batches = epochs(own, local_epochs=passes, batch_size=size, rng=np.random.default_rng(0))
    per_pass = -(-records // size)
    assert len(batches) == passes * per_pass
    for start in range(0, len(batches), per_pass):
        seen = np.concatenate(batches[start : start + per_pass])
        assert np.array_equal(np.sort(seen), own)
    assert all(len(batch) <= size for batch in batches)


def test_every_epoch_is_shuffled_anew() -> None:
    batches = epochs(np.arange(50), local_epochs=2, batch_size=50, rng=np.random.default_rng(0))
    assert not np.array_equal(batches[0], batches[1])
