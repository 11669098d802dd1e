"""Running statistics of batch normalisation: kept by each client, or averaged by the server."""

from __future__ import annotations

from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ledger_runs import SMALL
from small_models import rows
from torch import Tensor, nn

from privaudit.attack.adversary import Adversary, AuxiliaryData
from privaudit.attack.auxiliary import OwnRecords
from privaudit.attack.explaining import explain
from privaudit.attack.own_trace import OwnTrace
from privaudit.engine.engine import Engine
from privaudit.engine.local_rule import LocalOptions
from privaudit.errors import UserError
from privaudit.federation.rounds import ClientWork, LocalTraining, RoundOutcome, run_rounds
from privaudit.observation.rules import Rules
from privaudit.observation.tap import Tap
from privaudit.observation.trace import Trace, TraceWriter
from privaudit.observation.views import Observation
from privaudit.randomness import Seed
from privaudit.scenario.load import load_scenario

SAMPLES = rows(60)
SHARED = LocalOptions(statistics="shared")
WORK = [ClientWork(0, [np.arange(10)]), ClientWork(1, [np.arange(10, 20), np.arange(20, 40)])]


def model(layer: nn.Module | None = None) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Linear(5, 6), layer or nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)
        )


def federation(statistics: str, rounds: int = 2, **local: object) -> list[RoundOutcome]:
    engine = Engine(model(), statistics=statistics)
    options = LocalOptions(statistics=statistics, **local)  # type: ignore[arg-type]
    training = LocalTraining(0.1, local=options)
    return list(
        run_rounds(
            engine,
            SAMPLES,
            engine.initial,
            lambda _: WORK,
            training,
            rounds=rounds,
            seed=Seed(1),
        )
    )


def by_hand(before: Tensor, handed_out: nn.Module, work: ClientWork) -> Tensor:
    """[B] the buffers of a client that trains with plain torch."""
    own = deepcopy(handed_out)
    nn.utils.vector_to_parameters(before.clone(), own.parameters())
    optimiser = torch.optim.SGD(own.parameters(), lr=0.1)
    own.train()
    for batch in work.batches:
        optimiser.zero_grad()
        inputs, labels = SAMPLES.batch(batch, torch.device("cpu"))
        nn.functional.cross_entropy(own(inputs), labels).backward()
        optimiser.step()
    return torch.cat([buffer.flatten().float() for buffer in own.buffers()])


def test_the_server_averages_them_by_records_and_hands_them_out() -> None:
    handed_out = model()
    for outcome in federation("shared"):
        parts = [by_hand(outcome.before, handed_out, work) for work in WORK]
        mean = parts[0] * (10 / 40) + parts[1] * (30 / 40)
        assert outcome.buffers is not None
        assert torch.allclose(outcome.buffers, mean, atol=1e-5)
        assert outcome.buffers[:6].abs().sum() > 0
        places = dict(handed_out.named_buffers())
        pieces = mean.split([buffer.numel() for buffer in places.values()])
        for (name, buffer), piece in zip(places.items(), pieces, strict=True):
            whole = piece.round() if name.endswith("num_batches_tracked") else piece
            buffer.copy_(whole.view(buffer.shape))


def test_what_is_sent_besides_is_the_same_to_the_byte() -> None:
    """Training normalises by the batch either way."""
    for local in ({}, {"optimiser": "adam"}):
        shared, kept = federation("shared", **local), federation("kept", **local)
        for one, other in zip(shared, kept, strict=True):
            assert torch.equal(one.delta, other.delta)
            assert other.buffers is None
            more = one.metrics.bytes_up - other.metrics.bytes_up
            assert more == one.metrics.bytes_down - other.metrics.bytes_down == 4 * 13 * 2


def test_where_nobody_sent_any_they_stay_and_refused_ones_count_nothing() -> None:
    engine = Engine(model(), statistics="shared")
    refusing = LocalTraining(0.1, norm_bound=1e-9, local=SHARED)
    first, second = run_rounds(
        engine, SAMPLES, engine.initial, lambda _: WORK, refusing, rounds=2, seed=Seed(1)
    )
    assert first.buffers is not None
    assert second.buffers is not None
    assert torch.equal(first.buffers, second.buffers)
    assert engine.initial_buffers is not None
    assert torch.equal(first.buffers, engine.initial_buffers)


def test_models_are_tested_by_the_shared_statistics() -> None:
    engine = Engine(model(), statistics="shared")
    buffers = torch.cat([torch.full((6,), 0.3), torch.full((6,), 4.0), torch.tensor([2.0])])
    plain = model().eval()
    plain[1].running_mean.fill_(0.3)  # type: ignore[union-attr, operator]
    plain[1].running_var.fill_(4.0)  # type: ignore[union-attr, operator]
    inputs = SAMPLES.batch(np.arange(60), torch.device("cpu"))[0]
    with engine.starting_from(buffers):
        found = engine.outputs(engine.initial, SAMPLES)
    assert torch.allclose(found, plain(inputs), atol=1e-6)
    assert not torch.allclose(engine.outputs(engine.initial, SAMPLES), found, atol=1e-3)
    kept = Engine(model())
    with kept.starting_from(buffers):
        assert not torch.allclose(kept.outputs(kept.initial, SAMPLES), found, atol=1e-3)
    assert "averaged and handed out" in engine.remarks[0]
    assert "stay with each client" in kept.remarks[0]


class Centred(nn.Module):
    """Takes off what it was handed out, also in training: its gradients depend on that."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(6))

    def forward(self, inputs: Tensor) -> Tensor:
        shifted = inputs - self.centre
        self.centre = self.centre * 0.5 + inputs.detach().mean(0) * 0.5
        return shifted


def test_shadows_start_from_what_was_handed_out() -> None:
    engine = Engine(model(Centred()), statistics="shared")
    present = (np.arange(60) % 2).astype(np.int8)
    rules = Rules(participants=3, batch_size=6, lr=0.1, local=SHARED)
    zero = torch.zeros(engine.layout.size)
    at_first = Observation(0, engine.initial, zero, zero, 1 / 3, 3)
    later = replace(at_first, buffers_before=torch.full((6,), 2.0))

    def shadows(seen: Observation) -> Tensor:
        adversary = Adversary(engine, AuxiliaryData(SAMPLES, present), rules, 4, Seed(3))
        return adversary.shadow(seen).present

    assert not torch.allclose(shadows(at_first), shadows(later), atol=1e-4)
    by_hand = model(Centred())
    by_hand[1].centre.fill_(2.0)  # type: ignore[union-attr, operator]
    other = Engine(by_hand, statistics="shared")
    expected = Adversary(other, AuxiliaryData(SAMPLES, present), rules, 4, Seed(3))
    assert torch.equal(shadows(later), expected.shadow(at_first).present)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ((), "needs audit.trajectory = 'own'"),
        (('audit.trajectory="own"', "federation.clip_norm=1.0"), "would go past them"),
    ],
)
def test_where_they_have_no_place_they_are_refused(more: tuple[str, ...], says: str) -> None:
    with pytest.raises(UserError, match=says):
        load_scenario("quickstart", [*SMALL, 'local.statistics="shared"', *more])


def test_check_makes_up_deltas_from_what_was_handed_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A federation whose deltas depend on it; whoever starts from elsewhere explains nothing."""
    samples = rows(240)
    samples.inputs.add_(3.0)  # what is handed out is far from what the model was given with
    own = np.arange(80)
    engine = Engine(model(Centred()), statistics="shared")
    work = [[ClientWork(c, [_drawn(c, number)]) for c in range(3)] for number in range(10)]
    rules = Rules(participants=3, batch_size=16, lr=0.1, local=SHARED)
    buffers = engine.named_buffers(engine.initial_buffers)
    with TraceWriter(
        tmp_path / "t", engine.initial, engine.layout, rules=rules, buffers=buffers
    ) as writer:
        training = LocalTraining(0.1, local=SHARED)
        for _ in run_rounds(
            engine,
            samples,
            engine.initial,
            work.__getitem__,
            training,
            rounds=10,
            seed=Seed(1),
            observers=[Tap(writer, adversary=0)],
        ):
            pass
    records = OwnRecords(samples.chosen(own), "table", {}, None)
    case = OwnTrace(Trace.open(tmp_path / "t"), records, engine, rules, {}, Seed(2))
    assert explain(case).explained
    monkeypatch.setattr(Engine, "starting_from", lambda engine, buffers: nullcontext())
    assert not explain(case).explained


def _drawn(client: int, number: int) -> np.ndarray:
    rng = np.random.default_rng([client, number])
    return 80 * client + rng.choice(80, 16, replace=False)
