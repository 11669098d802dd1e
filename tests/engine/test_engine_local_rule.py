"""Local training by any rule, beside a loop of torch that is written here on its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from small_models import Dense, dense_engine
from torch import Tensor, nn
from torch.nn import functional

from privaudit.engine.engine import Engine, Samples
from privaudit.engine.local_rule import LocalOptions, LocalRule
from privaudit.errors import UserError
from privaudit.options import parse_options
from privaudit.randomness import Seed

SEED = Seed(1)
ROUND = 3
BATCHES = [np.arange(i, i + 8) for i in (0, 8, 16, 4, 12, 20)]
RNG = np.random.default_rng(0)
SAMPLES = Samples.of(RNG.normal(size=(30, 5)).astype(np.float32), RNG.integers(0, 3, 30))
NUMBERS = Samples.of(SAMPLES.inputs.numpy(), RNG.normal(size=(30, 3)).astype(np.float32))
YES_NO = Samples.of(SAMPLES.inputs.numpy(), RNG.integers(0, 2, 30))
MANY = Samples.of(SAMPLES.inputs.numpy(), RNG.integers(0, 2, (30, 3)))


def by_hand(
    model: nn.Module,
    make: Callable[[list[nn.Parameter]], torch.optim.Optimizer],
    *,
    samples: Samples = SAMPLES,
    loss: Callable[[Tensor, Tensor], Tensor] = functional.cross_entropy,
    proximal: float = 0.0,
    clip: float | None = None,
    rates: Sequence[float] | None = None,
) -> Tensor:
    """[P] the delta of one round."""
    parameters = list(model.parameters())
    begun = [p.detach().clone() for p in parameters]
    optimiser = make(parameters)
    for step, batch in enumerate(BATCHES):
        for group in optimiser.param_groups:
            group["lr"] = rates[step] if rates else group["lr"]
        optimiser.zero_grad()
        total = loss(model(samples.inputs[batch]), samples.labels[batch])
        away = [((p - b) ** 2).sum() for p, b in zip(parameters, begun, strict=True)]
        (total + proximal / 2 * torch.stack(away).sum()).backward()
        if clip is not None:
            norm = torch.sqrt(torch.stack([(p.grad**2).sum() for p in parameters]).sum())
            for p in parameters:
                p.grad = p.grad * min(1.0, clip / (float(norm) + 1e-6))
        optimiser.step()
    moved = [(p.detach() - b).flatten() for p, b in zip(parameters, begun, strict=True)]
    return torch.cat(moved)


def trained(
    rule: LocalRule, samples: Samples = SAMPLES, model: nn.Module | None = None
) -> tuple[Tensor, nn.Module]:
    """The delta by the engine, and an untouched model."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        one, other = (Dense() if model is None else model for _ in range(2))
    other.load_state_dict(one.state_dict())
    engine = Engine(one, loss=rule.options.loss)
    update = engine.train(engine.initial, samples, BATCHES, rule=rule, seed=SEED, number=ROUND)
    return update.delta, other


OPTIMISERS: dict[str, tuple[LocalRule, Callable[[Any], torch.optim.Optimizer]]] = {
    "momentum and decay": (
        LocalRule(0.1, 0.9, LocalOptions(weight_decay=0.1)),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
    ),
    "nesterov": (
        LocalRule(0.1, 0.9, LocalOptions(settings={"nesterov": True})),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    ),
    "adam": (
        LocalRule(0.01, options=LocalOptions(optimiser="adam", settings={"betas": [0.8, 0.9]})),
        lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.8, 0.9)),
    ),
    "adamw": (
        LocalRule(0.01, options=LocalOptions(optimiser="adamw")),
        lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.01),
    ),
    "rmsprop": (
        LocalRule(0.01, 0.5, LocalOptions(optimiser="rmsprop", settings={"centered": True})),
        lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
    ),
    "adagrad": (
        LocalRule(0.05, options=LocalOptions(optimiser="adagrad")),
        lambda p: torch.optim.Adagrad(p, lr=0.05),
    ),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_an_optimiser_is_that_of_torch(name: str) -> None:
    rule, make = OPTIMISERS[name]
    assert not rule.is_plain
    delta, model = trained(rule)
    torch.testing.assert_close(delta, by_hand(model, make), rtol=1e-4, atol=1e-6)
    assert float(delta.abs().max()) > 1e-3


def sgd(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.1)


@pytest.mark.parametrize("way", ["sgd", "adam"])
def test_proximal_term_and_clipping_are_as_written_out(way: str) -> None:
    options = LocalOptions(optimiser=way, proximal=2.0, clip_gradient=0.3)
    delta, model = trained(LocalRule(0.1, options=options))
    make = sgd if way == "sgd" else lambda p: torch.optim.Adam(p, lr=0.1)
    expected = by_hand(model, make, proximal=2.0, clip=0.3)
    torch.testing.assert_close(delta, expected, rtol=1e-4, atol=1e-6)
    without = trained(LocalRule(0.1, options=LocalOptions(optimiser=way)))[0]
    assert not torch.allclose(delta, without, rtol=1e-2)


FACTORS = [0.5, 2.0, 1.5, 0.25, 0.75, 1.25, 0.1]
SCHEDULES: dict[str, tuple[dict[str, Any], list[float]]] = {
    "rounds": ({"rates": FACTORS, "first_round": 2}, [FACTORS[ROUND + 2]] * 6),
    "decay by round": ({"decay": 0.9}, [0.9**ROUND] * 6),
    "steps": ({"rates": FACTORS, "schedule_by": "step"}, FACTORS[:6]),
    "decay by step": ({"decay": 0.5, "schedule_by": "step"}, [0.5**i for i in range(6)]),
    "epochs": ({"rates": FACTORS, "schedule_by": "epoch"}, [0.5, 0.5, 2.0, 2.0, 1.5, 1.5]),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_counts_rounds_steps_or_epochs(name: str) -> None:
    options, factors = SCHEDULES[name]
    rule = LocalRule(0.1, 0.0, LocalOptions(**options), epochs=3)
    assert rule.is_plain == ("step" not in name and "epoch" not in name), "rounds stay fast"
    delta, model = trained(rule)
    expected = by_hand(model, sgd, rates=[0.1 * factor for factor in factors])
    torch.testing.assert_close(delta, expected, rtol=1e-4, atol=1e-6)


def own_loss(outputs: Tensor, labels: Tensor) -> Tensor:
    return functional.multi_margin_loss(outputs, labels)


def bce_one(outputs: Tensor, labels: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(outputs.squeeze(1), labels.float())


def bce_many(outputs: Tensor, labels: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(outputs, labels.float())


@pytest.mark.parametrize("way", ["sgd", "adam"])
@pytest.mark.parametrize(
    ("name", "outputs", "samples", "loss"),
    [
        ("bce", 1, YES_NO, bce_one),
        ("bce", 3, MANY, bce_many),
        ("mse", 3, NUMBERS, functional.mse_loss),
        (f"{__name__}:own_loss", 3, SAMPLES, own_loss),
    ],
)
def test_a_loss_is_that_of_torch(
    name: str, outputs: int, samples: Samples, loss: Any, way: str
) -> None:
    torch.manual_seed(5)
    model = Dense(classes=outputs)
    other = Dense(classes=outputs)
    other.load_state_dict(model.state_dict())
    rule = LocalRule(0.1, options=LocalOptions(loss=name, optimiser=way))
    engine = Engine(model, loss=name)
    delta = engine.train(engine.initial, samples, BATCHES, rule=rule, seed=SEED).delta
    make = sgd if way == "sgd" else lambda p: torch.optim.Adam(p, lr=0.1)
    expected = by_hand(other, make, samples=samples, loss=loss)
    torch.testing.assert_close(delta, expected, rtol=1e-4, atol=1e-6)
    mean, share = engine.evaluate(engine.initial, samples, batch_size=7)
    nn.utils.vector_to_parameters(engine.initial, other.parameters())
    whole = loss(other(samples.inputs), samples.labels)
    assert mean == pytest.approx(float(whole.detach()), rel=1e-5)
    assert 0 <= share <= 1


def test_single_steps_are_training_on_one_batch() -> None:
    for rule in (LocalRule(0.1), OPTIMISERS["adam"][0]):
        engine = dense_engine()
        steps = engine.single_steps(engine.initial, SAMPLES, BATCHES, rule, SEED, ROUND)
        each = [
            engine.train(engine.initial, SAMPLES, [b], rule=rule, seed=SEED, number=ROUND).delta
            for b in BATCHES
        ]
        torch.testing.assert_close(steps, torch.stack(each), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_plain_sgd_is_left_to_the_fast_steppers_bit_by_bit(momentum: float) -> None:
    engine = dense_engine()
    for rule, lr in (
        (LocalRule(0.3, momentum), 0.3),
        (LocalRule(0.3, momentum, LocalOptions(rates=[1, 1, 1, 0.5])), 0.15),
    ):
        found = engine.train(engine.initial, SAMPLES, BATCHES, rule=rule, seed=SEED, number=ROUND)
        expected = engine._stepper.train(engine.initial, SAMPLES, BATCHES, lr, momentum)
        assert torch.equal(found.delta, expected.delta)
        assert (found.loss, found.accuracy) == (expected.loss, expected.accuracy)


def halve(model: nn.Module, batches: list[Any], number: int, rng: np.random.Generator) -> None:
    """Every parameter becomes a half of itself, less the number of the round and of batches."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.5).sub_(number + len(batches) + rng.random())


def returns(*_: Any) -> int:
    return 1


def fails(*_: Any) -> None:
    raise LookupError("no such drawer")


def diverges(model: nn.Module, *_: Any) -> None:
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))


def replaces(model: nn.Module, *_: Any) -> None:
    model.first = nn.Linear(5, 7)


def test_an_update_of_ones_own_trains_in_place() -> None:
    rule = LocalRule(1.0, options=LocalOptions(client_update=f"{__name__}:halve", first_round=4))
    engine = dense_engine()
    first, again = (
        engine.train(engine.initial, SAMPLES, BATCHES, rule=rule, seed=SEED, number=ROUND).delta
        for _ in range(2)
    )
    assert torch.equal(first, again)
    part = -(first + 0.5 * engine.initial) - (ROUND + 4 + len(BATCHES))
    assert 0 < float(part.min()) <= float(part.max()) < 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("returns", "returned int in round 3, not None"),
        ("fails", "failed in round 3: LookupError: no such drawer"),
        ("diverges", "not finite: it diverged"),
        ("replaces", "put other parameters in the place"),
        ("nobody", "cannot load"),
    ],
)
def test_an_update_that_cannot_be_used_is_named(name: str, said: str) -> None:
    engine = dense_engine()
    rule = LocalRule(0.1, options=LocalOptions(client_update=f"{__name__}:{name}"))
    with pytest.raises(UserError, match=said) as found:
        engine.train(engine.initial, SAMPLES, BATCHES, rule=rule, seed=SEED, number=ROUND)
    assert str(found.value).startswith("local.client_update: ")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"optimiser": "adm"}, "unknown optimiser 'adm'; did you mean 'adam'"),
        ({"optimiser": "lbfgs"}, "unknown optimiser 'lbfgs'"),
        ({"optimiser": "adam", "settings": {"beta": 1}}, "unknown setting of adam 'beta'"),
        ({"optimiser": "adam", "settings": {"betas": [2, 0.9]}}, "Invalid beta parameter"),
        ({"optimiser": "adam", "settings": {"betas": "high"}}, "'adam' cannot be made"),
        ({"settings": {"lr": 0.1}}, "'lr' is a setting by itself"),
        ({"optimiser": "rprop", "weight_decay": 0.1}, "'rprop' has no weight_decay"),
        ({"loss": "hinge"}, "unknown loss 'hinge'"),
        ({"rates": [1.0, -1.0]}, "factors must be in"),
        ({"decay": 0.0}, "greater than 0"),
        ({"schedule_by": "day"}, "'round', 'step' or 'epoch'"),
    ],
)
def test_options_that_cannot_be_are_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as found:
        parse_options(LocalOptions, options, where="local")
    assert said in str(found.value)
    assert "\n" not in str(found.value)


def test_a_rule_is_checked_before_a_federation_begins() -> None:
    LocalRule(0.1, 0.9).check(rounds=5)
    with pytest.raises(UserError, match="'adam' has no momentum"):
        LocalRule(0.1, 0.9, LocalOptions(optimiser="adam")).check(rounds=5)
    with pytest.raises(UserError, match="Nesterov momentum requires"):
        LocalRule(0.1, 0.0, LocalOptions(settings={"nesterov": True})).check(rounds=5)
    short = LocalOptions(rates=[1.0, 0.5], first_round=1)
    LocalRule(0.1, options=short).check(rounds=1)
    with pytest.raises(UserError, match="rates has 2 factors for 3 rounds"):
        LocalRule(0.1, options=short).check(rounds=2)
    with pytest.raises(UserError, match="there is a round 2"):
        LocalRule(0.1, options=short).rate(1)
    steps = LocalOptions(rates=[1.0], schedule_by="step")
    with pytest.raises(UserError, match="rates has 1 factors for 4 steps"):
        LocalRule(0.1, options=steps).check(rounds=1, steps=4)


@pytest.mark.parametrize(
    ("loss", "samples", "classes"), [("bce", YES_NO, 3), ("mse", NUMBERS, 2), ("bce", SAMPLES, 3)]
)
def test_labels_that_a_loss_does_not_take_are_named(
    loss: str, samples: Samples, classes: int
) -> None:
    engine = Engine(Dense(classes=classes), loss=loss)
    with pytest.raises(UserError, match=f"loss '{loss}' does not fit outputs"):
        engine.gradients(engine.initial, samples, BATCHES, SEED)


def own_nothing(outputs: Tensor, labels: Tensor) -> float:
    return 0.0


def test_a_loss_of_ones_own_that_is_no_number_is_named() -> None:
    engine = Engine(Dense(), loss=f"{__name__}:own_nothing")
    with pytest.raises(UserError, match="returned float, not a scalar tensor"):
        engine.gradients(engine.initial, SAMPLES, BATCHES, SEED)
