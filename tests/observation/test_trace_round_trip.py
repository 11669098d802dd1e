"""What was seen comes back bit for bit, and what it adds up to is what the honest clients sent."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import torch
from audited_world import audit
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.torch import load_file
from torch import Tensor

from privaudit.defences.sharing import Sharing
from privaudit.defences.transforms import Transforms
from privaudit.engine.layout import Layout
from privaudit.errors import UserError
from privaudit.federation.aggregation import Aggregator, Submission
from privaudit.federation.partition import ADVERSARY, TARGET
from privaudit.federation.rounds import RoundMetrics, RoundOutcome
from privaudit.observation.tap import Tap
from privaudit.observation.trace import Trace, TraceWriter
from privaudit.observation.vectors import pack, unpack
from privaudit.observation.views import Observation, ParticipantView, ServerView, view_named

EPSILON = torch.finfo(torch.float32).eps


def same_bits(a: Tensor, b: Tensor) -> bool:
    return a.numpy().tobytes() == b.numpy().tobytes()


@pytest.mark.parametrize(
    "transforms",
    [None, Transforms(sharing=Sharing("largest", 0.05)), Transforms(noise=0.1)],
    ids=["all", "sparse", "noisy"],
)
@pytest.mark.parametrize("server", [False, True])
def test_reading_gives_back_the_servers_parameters(
    tmp_path: Path, transforms: Transforms | None, server: bool
) -> None:
    world = audit(tmp_path / "t", rounds=6, transforms=transforms, server=server)
    observations = list(world.trace)
    assert len(observations) == len(world.trace) == len(world.outcomes) == 6
    for number, (seen, was) in enumerate(zip(observations, world.outcomes, strict=True)):
        assert seen.round == number
        assert same_bits(seen.before, was.before)
        assert same_bits(seen.global_delta, was.delta)
        assert same_bits(seen.after, was.after)
        assert seen.participants == was.metrics.clients
        assert seen.own_weight == was.weights[ADVERSARY]
        assert seen.client_weights == (was.weights if server else {})


def test_a_trace_can_be_read_twice_and_out_of_step(tmp_path: Path) -> None:
    trace = audit(tmp_path / "t", rounds=4).trace
    first, second = iter(trace), iter(trace)
    next(first)
    a, b = next(first), next(second)
    assert (a.round, b.round) == (1, 0)
    assert same_bits(b.after, a.before)


def test_a_participant_sees_no_single_deltas_and_no_target(tmp_path: Path) -> None:
    world = audit(tmp_path / "t", rounds=4)
    assert isinstance(world.trace.view(), ParticipantView)
    assert not isinstance(world.trace.view(), ServerView)
    for seen in world.trace:
        assert seen.client_deltas == {}
        assert seen.target is None
    names = {name.split("/")[0] for name in load_file(tmp_path / "t" / "round-000000.safetensors")}
    assert names == {"global_delta", "own_delta"}, "the file holds no more than the view offers"


def test_the_server_sees_every_delta_and_the_targets_is_the_signal(tmp_path: Path) -> None:
    world = audit(tmp_path / "t", rounds=4, server=True, participants=4)
    assert isinstance(world.trace.view(), ServerView)
    for seen in world.trace:
        assert list(seen.client_deltas) == [0, 1, 2, 3]
        assert same_bits(seen.signal, seen.client_deltas[TARGET])
        assert seen.contributors == 1
        mean = torch.stack(list(seen.client_deltas.values())).mean(0)
        torch.testing.assert_close(mean, seen.global_delta, rtol=0, atol=8 * EPSILON)


floats = st.floats(-100, 100, width=32)


@given(
    deltas=st.integers(2, 6).flatmap(lambda k: hnp.arrays("f4", (k, 7), elements=floats)),
    adversary_takes_part=st.booleans(),
)
def test_the_signal_is_the_sum_of_the_honest_deltas(
    deltas: object, adversary_takes_part: bool
) -> None:
    clients = torch.from_numpy(deltas)
    aggregator = Aggregator(7)
    for client, delta in enumerate(clients):
        if client != ADVERSARY or adversary_takes_part:
            aggregator.add(Submission(client, delta, samples=5))
    cohort = len(aggregator.verdicts)
    seen = Observation(
        round=0,
        before=torch.zeros(7),
        global_delta=aggregator.delta(),
        own_delta=clients[ADVERSARY] if adversary_takes_part else torch.zeros(7),
        own_weight=aggregator.weights().get(ADVERSARY, 0.0),
        participants=cohort,
    )
    honest = clients[1:].double().sum(0)
    # At most 6 * 5 products below 500, divided and multiplied back, minus one value below 100.
    bound = 60 * 500 * EPSILON
    torch.testing.assert_close(seen.signal.double(), honest, rtol=0, atol=bound)
    assert seen.contributors == len(clients) - 1


def test_a_rejected_delta_is_not_part_of_the_signal() -> None:
    """The own weight, not the head count, undoes the average: it knows who was left out."""
    aggregator = Aggregator(2)
    sent = [torch.tensor(v) for v in ([1.0, 0.0], [float("nan"), 0.0], [2.0, 4.0])]
    for client, delta in enumerate(sent):
        aggregator.add(Submission(client, delta, samples=5))
    weight = aggregator.weights()[ADVERSARY]
    seen = Observation(0, torch.zeros(2), aggregator.delta(), sent[ADVERSARY], weight, 3)
    torch.testing.assert_close(seen.signal, sent[2])


def outcome(delta: Tensor) -> RoundOutcome:
    metrics = RoundMetrics(0, 2, 2, 0.0, 0.0, 0.0, 0, 0)
    return RoundOutcome(0, torch.zeros_like(delta), delta, {0: 0.5, 1: 0.5}, (), metrics)


def test_the_tap_forgets_the_own_delta_of_the_round_before(tmp_path: Path) -> None:
    layout = Layout.of([("w", (3,))])
    verdicts = Aggregator(3)
    own = Submission(ADVERSARY, torch.ones(3), 1)
    with TraceWriter(tmp_path / "t", torch.zeros(3), layout) as writer:
        tap = Tap(writer, adversary=ADVERSARY)
        for takes_part in (True, False):
            tap.begin(0, torch.zeros(3), [0, 1])
            if takes_part:
                tap.submitted(own, verdicts.add(own))
            tap.end(outcome(torch.full((3,), 0.5)))
    first, second = Trace.open(tmp_path / "t")
    assert torch.equal(first.own_delta, torch.ones(3))
    assert torch.equal(second.own_delta, torch.zeros(3))


@given(st.lists(st.sampled_from([0.0, 0.0, 0.0, 1.5, -2.0, float("nan")]), min_size=1, max_size=40))
def test_sparse_and_dense_vectors_come_back_alike(
    tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    path = tmp_path_factory.mktemp("trace") / "t"
    vector = torch.tensor(values)
    with TraceWriter(path, vector, Layout.of([("w", (len(values),))])) as writer:
        writer.append(vector, -vector, own_weight=0.25, participants=4)
    (seen,) = Trace.open(path)
    assert same_bits(seen.before, vector)
    assert same_bits(seen.global_delta, vector)
    torch.testing.assert_close(seen.own_delta, -vector, equal_nan=True, rtol=0, atol=0)


def test_a_sparse_delta_takes_room_for_what_was_shared(tmp_path: Path) -> None:
    layout = Layout.of([("w", (100_000,))])
    sparse, dense = torch.zeros(100_000), torch.ones(100_000)
    sparse[::100] = 1.0
    with TraceWriter(tmp_path / "t", torch.zeros(100_000), layout) as writer:
        writer.append(sparse, sparse, own_weight=0.5, participants=2)
        writer.append(dense, dense, own_weight=0.5, participants=2)
    small, large = ((tmp_path / "t" / f"round-00000{n}.safetensors").stat().st_size for n in (0, 1))
    assert small < 2 * 1000 * 8 + 2000
    assert large < 2 * 400_000 + 2000


def test_weights_survive_to_the_last_bit(tmp_path: Path) -> None:
    with TraceWriter(tmp_path / "t", torch.ones(1), Layout.of([("w", (1,))])) as writer:
        writer.append(torch.ones(1), torch.ones(1), own_weight=1 / 3, participants=3)
    (seen,) = Trace.open(tmp_path / "t")
    assert seen.own_weight == 1 / 3


def live_floats() -> int:
    """Values held by all tensors alive, views not counted twice."""
    gc.collect()
    storages = {
        t.untyped_storage().data_ptr(): t.untyped_storage().nbytes()
        for t in gc.get_objects()
        if type(t) is Tensor
        and t.layout == torch.strided  # not what other tests left: parameters, lazy ones among them
    }
    return sum(storages.values()) // 4


def test_memory_does_not_grow_with_the_rounds(tmp_path: Path) -> None:
    """Neither for the writer nor for the reader: the tensors alive are counted."""
    size, rounds = 50_000, 20
    at_start = live_floats()
    writer = TraceWriter(tmp_path / "t", torch.zeros(size), Layout.of([("w", (size,))]))
    tap = Tap(writer, adversary=ADVERSARY, server=True)
    for number in range(rounds):
        tap.begin(number, torch.zeros(size), [0, 1])
        for client in (0, 1):
            submission = Submission(client, torch.full((size,), number + client + 1.0), 1)
            tap.submitted(submission, Aggregator(size).add(submission))
        tap.end(outcome(torch.full((size,), number + 1.0)))
    del submission
    assert live_floats() - at_start <= 2 * size, "more than the two deltas of the last round"
    writer.close()
    for seen in Trace.open(tmp_path / "t"):
        if seen.round == rounds - 1:
            # Of this round: before, global delta, own delta, two clients; and of the one before.
            assert live_floats() - at_start <= 10 * size


def test_views_by_name() -> None:
    assert view_named("participant") is ParticipantView
    assert view_named("server") is ServerView
    assert issubclass(ServerView, ParticipantView)
    with pytest.raises(UserError, match="unknown threat model 'sever'; did you mean 'server'"):
        view_named("sever")


@pytest.mark.parametrize("own_is_refused", [False, True])
def test_who_was_refused_does_not_count(tmp_path: Path, own_is_refused: bool) -> None:
    """Else an attack would look for the sum of more clients than there are in the average."""
    layout = Layout.of([("w", (2,))])
    long = [100.0, 0.0]
    sent = [torch.tensor(v) for v in ([1.0, 0.0], [0.0, 2.0], long, [2.0, 4.0])]
    if own_is_refused:
        sent[ADVERSARY] = torch.tensor(long)
    honest = sent[1] + sent[3]
    aggregator = Aggregator(2, norm_bound=10.0)
    with TraceWriter(tmp_path / "t", torch.zeros(2), layout) as writer:
        tap = Tap(writer, adversary=ADVERSARY)
        tap.begin(0, torch.zeros(2), range(4))
        for client, delta in enumerate(sent):
            submission = Submission(client, delta, 5)
            tap.submitted(submission, aggregator.add(submission))
        accepted = sum(verdict.accepted for verdict in aggregator.verdicts)
        metrics = RoundMetrics(0, len(sent), accepted, 0.0, 0.0, 0.0, 0, 0)
        delta, weights = aggregator.delta(), aggregator.weights()
        tap.end(RoundOutcome(0, torch.zeros(2), delta, weights, (), metrics))
    [seen] = Trace.open(tmp_path / "t")
    assert seen.contributors == 2
    torch.testing.assert_close(seen.signal, honest)


def test_a_round_in_which_everybody_was_refused_can_be_read(tmp_path: Path) -> None:
    with TraceWriter(tmp_path / "t", torch.zeros(2), Layout.of([("w", (2,))])) as writer:
        tap = Tap(writer, adversary=ADVERSARY)
        tap.begin(0, torch.zeros(2), range(3))
        metrics = RoundMetrics(0, 3, 0, 0.0, 0.0, 0.0, 0, 0)
        tap.end(RoundOutcome(0, torch.zeros(2), torch.zeros(2), {}, (), metrics))
    [seen] = Trace.open(tmp_path / "t")
    assert (seen.participants, float(seen.signal.norm())) == (1, 0.0)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("moves", [False, True], ids=["by what is sent", "by a step of its own"])
def test_half_a_trace_keeps_the_parameters_exact(tmp_path: Path, sparse: bool, moves: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    layout = Layout.of([("w", (4000,))])
    initial = torch.randn(4000, generator=generator)
    sent = [torch.randn(2, 4000, generator=generator) * 10.0**-k for k in range(0, 30, 6)]
    if sparse:
        sent = [pair * (torch.rand(4000, generator=generator) < 0.2) for pair in sent]
    steps = [torch.randn(4000, generator=generator) if moves else None for _ in sent]
    for precision in ("single", "half"):
        with TraceWriter(tmp_path / precision, initial, layout, precision=precision) as writer:
            for (delta, own), step in zip(sent, steps, strict=True):
                writer.append(delta, own, own_weight=0.5, participants=2, step=step)
    exact, half = (list(Trace.open(tmp_path / name)) for name in ("single", "half"))
    rounding = torch.finfo(torch.bfloat16).eps
    for seen, was in zip(half, exact, strict=True):
        assert same_bits(seen.before, was.before)
        assert same_bits(seen.after, was.after)
        for found, wanted in (
            (seen.global_delta, was.global_delta),
            (seen.own_delta, was.own_delta),
        ):
            assert bool(((found - wanted).abs() <= rounding / 2 * wanted.abs()).all())
            assert bool(((found == 0) == (wanted == 0)).all())
            assert not torch.equal(found, wanted)
        assert (seen.precision, was.precision) == (rounding, EPSILON)


def test_what_the_model_moved_by_may_differ_from_what_was_sent(tmp_path: Path) -> None:
    layout, initial = Layout.of([("w", (3,))]), torch.zeros(3)
    sent, step = torch.tensor([1.0, 0.0, 2.0]), torch.tensor([0.0, 0.5, 0.0])
    with TraceWriter(tmp_path / "t", initial, layout) as writer:
        writer.append(sent, torch.zeros(3), own_weight=0.0, participants=3, step=step)
        writer.append(sent, torch.zeros(3), own_weight=0.0, participants=3)
    first, second = Trace.open(tmp_path / "t")
    assert torch.equal(first.global_delta, sent)
    assert torch.equal(second.before, step)
    assert torch.equal(second.after, step + sent)


@pytest.mark.parametrize("share", [0.1, 0.9])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_a_vector_of_any_trainer_is_packed(dtype: torch.dtype, share: float) -> None:
    """Still part of a graph, and in whatever precision it was trained."""
    vector = torch.randn(200) * (torch.rand(200) < share)
    packed = pack("delta", vector.to(dtype).requires_grad_())
    assert ("delta/indices" in packed) is (share < 0.5)
    assert torch.equal(unpack("delta", packed, 200), vector.to(dtype).float())
