"""Do the rules explain what the adversary sent itself? Federations that a user's loop trained."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ledger_runs import run_command
from torch import Tensor, nn

from privaudit.attack.explaining import Explanation, explain, open_own
from privaudit.attack.replicas import CLOSE, Look
from privaudit.engine.layout import Layout
from privaudit.engine.process import tune_process
from privaudit.errors import UserError
from privaudit.observation.trace import Trace, TraceWriter

CLIENTS, ROUNDS, BATCH, LR, DECAY = 4, 30, 16, 0.1, 0.5
MODEL = "small_models:Dense"
QUICK = Look(rounds=16, replicas=32, learned=64)
"""A third of what ``privaudit check`` looks at."""


def people(rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
    rows = rng.normal(size=(count, 5)).astype(np.float32)
    rows[:, 1] += 1.5 * rng.integers(0, 2, count)
    noise = rng.normal(size=(2, count))
    labels = (rows[:, 0] + noise[0] > 0).astype(np.int64) + (rows[:, 2] + noise[1] > 0)
    return torch.from_numpy(rows), torch.from_numpy(labels)


class Loop:
    """FedAvg of a few lines, as somebody would write it; ``variant`` says what is odd in it."""

    def __init__(self, variant: str, seed: int) -> None:
        from small_models import Dense

        self.variant, self.rng = variant, np.random.default_rng(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = Dense()
        self.held = [people(self.rng, 400) for _ in range(CLIENTS)]
        self.weights = nn.utils.parameters_to_vector(self.model.parameters()).detach().clone()
        if variant == "base":  # the model that was trained is another one
            self.offset = 2.0 * torch.randn(len(self.weights), generator=torch.manual_seed(7))

    def local(self, client: int, number: int) -> Tensor:
        start = self.weights + self.offset if self.variant == "base" else self.weights
        nn.utils.vector_to_parameters(start.clone(), self.model.parameters())
        parameters = list(self.model.parameters())
        decay = DECAY if self.variant == "decay" else 0.0
        lr = LR * (0.93**number if self.variant == "schedule" else 1.0)
        momentum = 0.9 if self.variant == "steps" else 0.0
        optimiser: torch.optim.Optimizer = torch.optim.SGD(
            parameters, lr=lr, weight_decay=decay, momentum=momentum
        )
        if self.variant == "adam":
            optimiser = torch.optim.Adam(parameters, lr=0.01)
        rows, labels = self.held[client]
        for _ in range(3 if self.variant == "steps" else 1):
            at = torch.from_numpy(self.rng.choice(len(rows), BATCH, replace=False))
            optimiser.zero_grad()
            nn.functional.cross_entropy(self.model(rows[at]), labels[at]).backward()
            optimiser.step()
        return nn.utils.parameters_to_vector(self.model.parameters()).detach() - start

    def train(self, path: Path, rounds: int, **about: Any) -> None:
        for _ in range(10):
            sent = [self.local(client, 0) for client in range(CLIENTS)]
            self.weights = self.weights + torch.stack(sent).mean(0)
        layout = Layout.of([(name, p.shape) for name, p in self.model.named_parameters()])
        rules = {"lr": LR, "batch_size": BATCH, "persistent": False} | about
        speed = torch.zeros_like(self.weights)
        with TraceWriter(path / "trace", self.weights, layout, rules=rules) as trace:
            for number in range(rounds):
                sent = [self.local(client, number) for client in range(CLIENTS)]
                mean = torch.stack(sent).mean(0)
                step: Tensor | None = None
                if self.variant.startswith("server"):
                    speed = 0.9 * speed + 0.1 * mean**2
                    step = 0.02 * mean / (speed.sqrt() + 1e-3)
                told, own = mean, sent[0]
                if self.variant == "sign":
                    told, own, step = -mean, -own, mean
                if self.variant == "sum":
                    told, step = CLIENTS * mean, mean
                if self.variant == "server-told":
                    assert step is not None
                    told = step
                trace.append(told, own, own_weight=1 / CLIENTS, participants=CLIENTS, step=step)
                self.weights = self.weights + (mean if step is None else step)
        rows, labels = self.held[0]
        odd = (rows[:, 1] > 0.75).numpy()
        np.savez(path / "mine.npz", inputs=rows.numpy(), labels=labels.numpy(), odd=odd)


def explained(path: Path, look: Look = QUICK, **rules: Any) -> Explanation:
    case = open_own(path / "trace", path / "mine.npz", model=MODEL, rules=rules)
    return explain(case, look)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    """As the command line: small products on several threads are many times slower."""
    tune_process()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plain")
    Loop("plain", 3).train(path, ROUNDS)
    return path


def test_right_rules_explain_it(plain: Path, tmp_path: Path) -> None:
    assert explained(plain).explained
    Loop("steps", 4).train(tmp_path, ROUNDS, local_steps=3, momentum=0.9)
    assert explained(tmp_path).explained
    Loop("server", 4).train(tmp_path / "server", ROUNDS)
    assert explained(tmp_path / "server").explained, "the server's step is stated beside the mean"


@pytest.mark.parametrize("seed", [5, 6])
@pytest.mark.parametrize(
    ("variant", "said"),
    [
        ("sign", "the sign is the other way round"),
        ("adam", "an optimiser that scales each of them"),
        ("schedule", "a schedule of the learning rate"),
        ("decay", "weight decay of about 0."),
        ("base", "another model"),
        ("sum", "the sum of 4 deltas was written for their mean"),
        ("server-told", "the step of a server optimiser"),
    ],
)
def test_what_is_off_is_named(variant: str, said: str, seed: int, tmp_path: Path) -> None:
    Loop(variant, seed).train(tmp_path, ROUNDS)
    found = explained(tmp_path)
    assert said in found.changes[0].what, found


@pytest.mark.parametrize(
    ("variant", "right", "proposed"),
    [
        ("adam", {"optimiser": "adam"}, {"local.optimiser": "adam", "lr": 0.01}),
        ("schedule", {"decay": 0.93}, {"local.decay": 0.93}),
        ("decay", {"weight_decay": DECAY}, {"local.weight_decay": DECAY}),
    ],
)
def test_a_rule_of_local_training_is_proposed_and_silent_when_it_is_stated(
    variant: str, right: dict[str, Any], proposed: dict[str, Any], tmp_path: Path
) -> None:
    Loop(variant, 5).train(tmp_path, ROUNDS)
    found = explained(tmp_path)
    said = {name: value for change in found.changes for name, value in change.rules.items()}
    assert not found.left, found
    for name, value in proposed.items():
        near = value if isinstance(value, str) else pytest.approx(value, rel=0.3)
        assert said[name] == near, name
    lr = {"lr": 0.01} if variant == "adam" else {}
    assert explained(
        tmp_path, **lr, **{f"local.{n}": value for n, value in right.items()}
    ).explained


@pytest.mark.parametrize(
    ("rule", "stated", "true"),
    [("lr", LR * 2, LR), ("lr", LR / 2, LR), ("batch_size", 40, BATCH), ("local_steps", 3, 1)],
)
def test_the_setting_that_explains_it_is_proposed(
    plain: Path, rule: str, stated: float, true: float
) -> None:
    found = explained(plain, **{rule: stated})
    (change,) = found.changes
    said = re.search(rf"{rule} (?:is not \S+ but )?about (\S+?)[,:;]? ", f"{change.what} ")
    assert said, change.what
    assert float(said[1]) == pytest.approx(true, rel=0.25)
    assert not found.left


@pytest.mark.parametrize("factor", [1.5, 1 / 1.5])
def test_a_factor_of_one_and_a_half_is_seen(plain: Path, factor: float) -> None:
    (change,) = explained(plain, lr=LR * factor).changes
    assert change.rules, "it may be called another rule's, which would explain it as well"


def test_which_records_were_drawn_is_what_explains_best(plain: Path) -> None:
    """Of all records half the rate does; of some of them another rule would, and worse."""
    (change,) = explained(plain, CLOSE, lr=LR / 2).changes
    assert list(change.rules) == ["lr"]
    assert change.rules["lr"] == pytest.approx(LR, rel=0.1)


def test_a_factor_of_two_is_seen_in_ten_rounds(tmp_path: Path) -> None:
    Loop("plain", 8).train(tmp_path, 10)
    assert explained(tmp_path).explained
    assert "lr " in explained(tmp_path, lr=2 * LR).changes[0].what
    assert "lr " in explained(tmp_path, lr=LR / 2).changes[0].what


def test_verbs(plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [str(plain / "trace"), "--auxiliary", str(plain / "mine.npz"), "--model", MODEL]
    assert run_command("check", *given) == 0
    assert "The rules explain what the adversary sent itself." in capsys.readouterr().out
    wrong = [*given, "--set", "lr=0.3"]
    assert run_command("check", *wrong, "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["off"][0]["rules"]["lr"] == pytest.approx(LR, rel=0.25)
    assert run_command("attack", *wrong, "--attack", "linear") == 2
    said = capsys.readouterr().err
    assert "--set lr=" in said
    assert said.count("\n") == 1
    assert run_command("attack", *wrong, "--attack", "linear", "--force") == 0


def test_nothing_sent_is_nothing_to_check(tmp_path: Path, plain: Path) -> None:
    layout = Layout.of([("w", (2,))])
    with TraceWriter(tmp_path / "t", torch.zeros(2), layout) as trace:
        trace.append(torch.ones(2), torch.zeros(2), own_weight=0.0, participants=2)
    case = open_own(plain / "trace", plain / "mine.npz", model=MODEL)
    with pytest.raises(UserError, match="took part in 0 rounds"):
        explain(replace(case, trace=Trace.open(tmp_path / "t")))


def test_rules_that_diverge_are_an_error_of_one_line(plain: Path) -> None:
    with pytest.raises(UserError, match="what the rules give is not finite in round"):
        explained(plain, lr=3e38, local_steps=3)


def test_a_schedule_goes_by_the_servers_rounds(tmp_path: Path) -> None:
    """A tap hears of some rounds only: those told are not the first ones of the federation."""
    Loop("schedule", 5).train(tmp_path, ROUNDS)
    every = list(Trace.open(tmp_path / "trace"))
    layout = Trace.open(tmp_path / "trace").layout
    rules = {"lr": LR, "batch_size": BATCH, "persistent": False, "participants": CLIENTS}
    for path, counted in (("counted", True), ("blind", False)):
        with TraceWriter(tmp_path / path / "trace", every[10].before, layout, rules=rules) as trace:
            for seen in every[10:]:
                trace.append(
                    seen.global_delta,
                    seen.own_delta,
                    own_weight=seen.own_weight,
                    participants=seen.participants,
                    server_round=seen.round + 1 if counted else None,
                )
        (tmp_path / path / "mine.npz").write_bytes((tmp_path / "mine.npz").read_bytes())
    scheduled = {"local": {"decay": 0.93}}
    assert explained(tmp_path / "counted", **scheduled).explained
    assert not explained(tmp_path / "blind", **scheduled).explained
