"""What every step must keep, and what each does."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from defences import EXAMPLES
from pydantic import ValidationError
from torch import Tensor

from privaudit.defences.adaptive import BOUND, AdaptiveClipping
from privaudit.defences.central import CentralDP
from privaudit.defences.protocol import At, Defence
from privaudit.defences.quantising import Quantisation, Sign
from privaudit.defences.registry import KINDS
from privaudit.defences.secure import SecureAggregation
from privaudit.defences.transforms import Transforms
from privaudit.engine.layout import Layout
from privaudit.engine.recordwise import Recordwise
from privaudit.observation.rules import Rules
from privaudit.randomness import Seed

SIZE = 400
LAYOUT = Layout.of([("first", [20, 10]), ("second", [200])])
every_kind = pytest.mark.parametrize("kind", KINDS)


def delta(seed: int = 0, norm: float = 1.0) -> Tensor:
    drawn = torch.randn(SIZE, generator=Seed(seed).torch_generator("delta"))
    return norm * drawn / drawn.norm()


def at(seed: int = 0, **settings: object) -> At:
    return At(LAYOUT, Seed(seed).child("here"), **settings)


def test_there_is_an_example_of_every_kind() -> None:
    assert {name: type(step) for name, step in EXAMPLES.items()} == KINDS


@every_kind
def test_it_is_a_value_that_leaves_what_it_is_given(kind: str) -> None:
    step, given = EXAMPLES[kind], delta()
    kept = given.clone()
    first, again, other = (
        Transforms(defences=(step,)).apply(given, LAYOUT, Seed(s)) for s in (1, 1, 2)
    )
    assert torch.equal(given, kept)
    assert torch.equal(first, again)
    assert first.dtype == torch.float32
    assert first.shape == given.shape
    idle = torch.equal(
        Transforms(defences=(step,)).aggregate(first, LAYOUT, Seed(1), clients=3), given
    )
    assert idle == (step.in_training is not None), "of a delta, or of how it is trained"
    drawn = kind in ("noise", "quantise", "nvflare-svt", "flower-local-dp")
    assert torch.equal(first, other) == (not drawn)
    assert hash(step) == hash(step.model_copy())


@every_kind
def test_a_trace_states_it_and_it_comes_back(kind: str) -> None:
    rules = Rules(participants=3, batch_size=4, lr=0.1, defences=[EXAMPLES[kind].model_dump()])
    text = rules.model_dump_json()
    assert Rules.model_validate(json.loads(text)).transforms == Transforms(
        defences=(EXAMPLES[kind],)
    )
    assert "defences" not in json.loads(
        Rules(participants=3, batch_size=4, lr=0.1).model_dump_json()
    )


@every_kind
def test_what_is_not_finite_is_still_seen_by_the_server(kind: str) -> None:
    broken = delta()
    broken[3] = torch.nan
    sent = Transforms(defences=(EXAMPLES[kind],)).apply(broken, LAYOUT, Seed(0))
    assert not bool(torch.isfinite(sent).all())


@every_kind
def test_the_longest_it_says_is_the_longest_there_is(kind: str) -> None:
    step = EXAMPLES[kind]
    longest = step.longest(1.0)
    if longest is None:
        return
    for seed in range(20):
        sent = step.client(delta(seed), at(seed))
        assert float(sent.norm()) <= longest * (1 + 1e-6)


@pytest.mark.parametrize("step", [EXAMPLES["dp-fedavg"], EXAMPLES["dp-adaptive"]])
@pytest.mark.parametrize("contributors", [1, 4])
def test_stand_ins_add_up_to_what_the_server_adds(step: Defence, contributors: int) -> None:
    """The sum of so many shadows has as much noise as the sum the adversary sees."""
    zero, transforms = torch.zeros(20_000), Transforms(defences=(step,))
    layout = Layout.of([("all", [20_000])])
    server = 5 * transforms.aggregate(zero, layout, Seed(0), clients=5)
    parts = [
        transforms.stand_in(zero, layout, Seed(1).child(i), contributors=contributors)
        for i in range(contributors)
    ]
    assert float(torch.stack(parts).sum(0).std()) == pytest.approx(float(server.std()), rel=0.03)


def test_noise_on_the_sum_is_of_the_stated_deviation() -> None:
    step = CentralDP(bound=0.5, multiplier=2.0)
    noisy = step.server(torch.zeros(50_000), at(clients=10))
    assert float(noisy.std()) == pytest.approx(2.0 * 0.5 / 10, rel=0.02)


def test_error_feedback_sends_everything_in_the_end() -> None:
    step, memory, total = Sign(), {}, torch.zeros(SIZE)
    for number in range(30):
        total += step.client(delta(number), at(number, memory=memory))
    owed = sum((delta(number) for number in range(30)), torch.zeros(SIZE))
    assert torch.allclose(total + memory["residual"], owed, atol=1e-4)
    alone = Sign(feedback=False).client(delta(), at(memory=(untouched := {})))
    assert alone.abs().unique().tolist() == [pytest.approx(float(delta().abs().mean()))]
    assert untouched == {}


def test_quantised_values_are_on_a_grid_and_right_on_average() -> None:
    given, bits = delta(), 4
    grid = float(given.abs().max()) / (2 ** (bits - 1) - 1)
    sent = torch.stack([Quantisation(bits=bits).client(given, at(s)) for s in range(400)])
    assert torch.allclose(sent / grid, (sent / grid).round(), atol=1e-3)
    assert float((sent.mean(0) - given).abs().max()) < 5 * grid / 2 / 400**0.5
    nearest = Quantisation(bits=bits, rounding="nearest").client(given, at())
    assert float((nearest - given).abs().max()) <= grid / 2 * 1.001


def test_secure_aggregation_changes_values_by_less_than_a_step() -> None:
    step = SecureAggregation(clipping_range=8.0, quantisation_range=2**16)
    assert float((step.client(delta(), at()) - delta()).abs().max()) <= 16 / 2**16
    assert float(step.client(100 * delta(), at()).abs().max()) <= 8.0


@pytest.mark.parametrize(("update", "settles"), [("paper", True), ("flower", False)])
def test_the_bound_follows_the_norms_and_flowers_does_not(update: str, settles: bool) -> None:
    """Norms are 1 to 2; the median is 1.5. Flower's bound runs away from it."""
    step = AdaptiveClipping(
        bound=0.3, multiplier=0.1, count_deviation=0.1, update=update, quantile=0.5
    )
    memory: dict[str, float] = {}
    for number in range(200):
        notes: dict[str, list[float]] = {}
        here = at(number, told=step.tells(memory), memory=memory, notes=notes, clients=21)
        for client in range(21):
            step.client(delta(client, norm=1 + client / 20), here)
        step.server(torch.zeros(SIZE), here)
    assert (abs(memory[BOUND] - 1.5) < 0.15) == settles


def test_bytes_that_a_client_sends() -> None:
    sent = torch.ones(100)
    assert {
        kind: Transforms(defences=(step,)).payload(sent) for kind, step in EXAMPLES.items()
    } == {
        **dict.fromkeys(EXAMPLES, 400),
        "share": 800,
        "quantise": 54,
        "sign": 17,
    }


def test_one_step_alone_says_how_clients_train() -> None:
    train, clip = EXAMPLES["dp-sgd"], EXAMPLES["clip"]
    both = Transforms(defences=(train, clip))
    assert both.in_training == Recordwise(train.bound, train.multiplier)
    assert both.of_training == Transforms(defences=(train,))
    assert Transforms(defences=(clip,)).of_training == Transforms()
    twice = [train.model_dump()] * 2
    with pytest.raises(ValidationError, match="2 steps that train"):
        Rules(participants=3, batch_size=4, lr=0.1, defences=twice)


def test_two_steps_of_a_kind_draw_their_own_noise() -> None:
    noise, zero = EXAMPLES["noise"], torch.zeros(20_000)
    layout = Layout.of([("all", [20_000])])
    twice = Transforms(defences=(noise, noise)).apply(zero, layout, Seed(0))
    assert float(twice.std()) == pytest.approx(0.1 * np.sqrt(2), rel=0.03)
