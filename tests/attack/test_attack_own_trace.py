"""A trace that a training loop of somebody's own wrote, scored without ground truth."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ledger_runs import run_command
from torch import Tensor, nn

import privaudit
from privaudit.engine.engine import Engine, Samples
from privaudit.engine.layout import Layout
from privaudit.models.build import InputShape, build_model
from privaudit.observation.trace import TraceWriter
from privaudit.randomness import Seed

MODEL = "small_models:Dense"
ROUNDS, BATCH, LR = 40, 16, 0.1
PRESENT = np.random.default_rng(5).permutation(np.arange(ROUNDS) < ROUNDS // 2)


def people(rng: np.random.Generator, secret: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Records whose second input says whether they are secret, beside labels that do not."""
    rows = rng.normal(size=(len(secret), 5)).astype(np.float32)
    rows[:, 1] += 3.0 * secret
    return rows, (rows[:, 0] > 0).astype(np.int64) + (rows[:, 2] > 0)


def delta_of(model: nn.Module, weights: Tensor, rows: np.ndarray, labels: np.ndarray) -> Tensor:
    nn.utils.vector_to_parameters(weights, model.parameters())
    loss = nn.functional.cross_entropy(model(torch.from_numpy(rows)), torch.from_numpy(labels))
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    return -LR * torch.cat([g.flatten() for g in gradients])


def train(path: Path, about: dict[str, Any], schedule: np.ndarray = PRESENT) -> None:
    """The loop of docs/trace.md: client 0 listens, client 1 holds the secret in some rounds."""
    from small_models import Dense

    rng = np.random.default_rng(7)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = Dense()
    layout = Layout.of([(name, p.shape) for name, p in model.named_parameters()])
    weights = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    with TraceWriter(path, weights, layout, about=about) as trace:
        for present in schedule:
            secrets = [
                rng.integers(0, 2, BATCH),  # the adversary's own, mixed
                np.full(BATCH, int(present)),
                np.zeros(BATCH, dtype=int),
            ]
            deltas = [delta_of(model, weights, *people(rng, secret)) for secret in secrets]
            mean = torch.stack(deltas).mean(0)
            trace.append(mean, deltas[0], own_weight=1 / 3, participants=3)
            weights = weights + mean


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own-trace")
    train(folder / "trace", {"lr": LR, "batch_size": BATCH, "persistent": False, "site": "ward 3"})
    rng = np.random.default_rng(11)
    secret = np.arange(240) % 2
    rows, labels = people(rng, secret)
    np.savez(
        folder / "mine.npz",
        inputs=rows,
        labels=labels,
        groups=np.arange(240) // 4,
        secret=secret.astype(bool),
        nothing=rng.integers(0, 2, 240),
    )
    return folder


def scored(place: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    arguments = ["--auxiliary", str(place / "mine.npz"), "--model", MODEL, *more]
    code = run_command("attack", str(place / "trace"), *arguments)
    printed = capsys.readouterr()
    assert (code, printed.err) == (0, "")
    return printed.out


def test_a_planted_leak_is_found(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--set", "others=without", "--json"]
    document = json.loads(scored(place, capsys, "--attack", "magnitude-stack", *options))
    aucs = {}
    for row in document["scores"]:
        scores = np.array(row["scores"])
        assert scores.shape == (ROUNDS,)
        aucs[row["property"]] = privaudit.evaluate(scores[PRESENT], scores[~PRESENT]).auc
    assert aucs["secret"].value > 0.8
    assert aucs["secret"].low > 0.5
    assert aucs["nothing"].low < 0.5 < aucs["nothing"].high
    assert document["rounds"] == ROUNDS
    assert document["whole"] is True
    rules, stated = document["rules"], document["stated_by"]
    assert (rules["lr"], stated["lr"]) == (LR, "trace")
    assert (rules["participants"], stated["participants"]) == (3, "trace")
    assert (rules["others"], stated["others"]) == ("without", "option")
    assert (rules["momentum"], stated["momentum"]) == (0.0, "default")


def test_the_forms_of_the_scores_agree(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--property", "secret", "--attack", "linear", "--attack", "melis-rf"]
    document = json.loads(scored(place, capsys, *more, "--json"))
    rows = list(csv.DictReader(scored(place, capsys, *more, "--csv").splitlines()))
    assert len(rows) == 2 * ROUNDS
    for number, part in enumerate(document["scores"]):
        mine = rows[number * ROUNDS : (number + 1) * ROUNDS]
        assert [(r["property"], r["attack"]) for r in mine] == ROUNDS * [("secret", part["attack"])]
        assert [float(r["score"]) for r in mine] == pytest.approx(part["scores"])
    text = scored(place, capsys, *more)
    assert text.splitlines()[0].count("secret (") == 2
    assert f"{document['scores'][0]['scores'][0]:+.3f}" in text.splitlines()[2]
    assert "lr 0.1 (trace)" in text
    assert "ward 3" not in text


def refused(place: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    code = run_command("attack", *more)
    printed = capsys.readouterr()
    assert (code, printed.out) == (2, ""), printed
    assert len(printed.err.splitlines()) == 1
    return printed.err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--model", "small_models:Nothing"], "cannot load model"),
        (["--model", "cnn"], "takes image data"),
        (["--model", MODEL, "--option", "hidden=9"], "parameter 0 of the model is first.weight [9"),
        (["--model", MODEL, "--option", "hiden=9"], "hiden"),
        (["--model", MODEL, "--option", "hidden"], "--option: 'hidden' is not key=value"),
        (["--model", MODEL, "--property", "secrt"], "unknown property 'secrt'; did you mean"),
        (["--model", MODEL, "--attack", "linaer"], "unknown attack 'linaer'; did you mean"),
        (["--model", MODEL, "--attack", "loss-trajectory"], "the game 'membership'"),
        (["--model", MODEL, "--set", "lr=-1"], "lr"),
        (["--model", MODEL, "--set", "lr=fast"], "lr"),
        (["--model", MODEL, "--set", "rate=1"], "unknown option 'rate'"),
        (["--model", MODEL, "--set", "sharing_rule=largst"], "did you mean 'largest'"),
        (["--model", MODEL, "--set", "shared_fraction=0.5"], "shares everything"),
        (["--model", MODEL, "--shadows", "1"], "--shadows: must be 2 to"),
        (["--model", MODEL, "--seed", "-1"], "--seed"),
        (["--model", MODEL, "--held", "0"], "--held: must be at least 1 record"),
    ],
)
def test_what_does_not_fit(
    place: Path, more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(place / "trace"), "--auxiliary", str(place / "mine.npz"), *more]
    assert message in refused(place, capsys, *given)


def test_what_the_trace_does_not_state_must_be_said(
    tmp_path: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path / "bare", {})
    given = [str(tmp_path / "bare"), "--auxiliary", str(place / "mine.npz"), "--model", MODEL]
    assert "does not state 'batch_size'" in refused(place, capsys, *given)
    given += ["--set", f"batch_size={BATCH}"]
    assert "say it with --set lr=..." in refused(place, capsys, *given)
    given += ["--set", "lr=0.1", "--property", "secret", "--attack", "linear"]
    assert "stays or comes and goes" in refused(place, capsys, *given)
    assert run_command("attack", *given, "--set", "persistent=false") == 0


@pytest.mark.parametrize(("there", "answer"), [(True, "yes"), (False, "no")])
def test_a_property_that_stays_gets_an_answer_with_p_values(
    tmp_path: Path, place: Path, there: bool, answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    about = {"lr": LR, "batch_size": BATCH, "others": "without", "persistent": True}
    train(tmp_path / "stays", about, np.full(12, there))
    given = [str(tmp_path / "stays"), "--auxiliary", str(place / "mine.npz"), "--model", MODEL]
    options = ["--attack", "linear", "--property", "secret"]
    assert run_command("attack", *given, *options, "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)["answers"]
    assert found["answer"] == answer
    assert min(found["p_without"], found["p_present"]) == 0.05  # 1 of 20: the trace itself
    assert len(found["without"]) == len(found["present"]) == 19
    assert 9 < found["recognised"] <= 19
    assert run_command("attack", *given, *options, "--references", "0") == 0
    text = capsys.readouterr().out
    assert "there is no answer" in text
    assert "above 0 the attack says" not in text


def test_a_property_that_appears_on_the_way_is_dated(
    tmp_path: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    about = {"lr": LR, "batch_size": BATCH, "others": "without", "persistent": True}
    train(tmp_path / "comes", about, np.arange(32) >= 14)
    given = [str(tmp_path / "comes"), "--auxiliary", str(place / "mine.npz"), "--model", MODEL]
    given += ["--attack", "linear", "--property", "secret", "--references", "0"]
    assert run_command("attack", *given, "--json") == 0
    (said,) = json.loads(capsys.readouterr().out)["appeared"]
    assert said["found"]
    assert abs(said["start"] - 14) <= 2 <= said["alarm"] - 11
    assert said["end"] > 20  # the line beside it makes the end less sure than the beginning
    assert run_command("attack", *given) == 0
    rounds = f"Rounds {said['start']} to {said['end'] - 1} stand out"
    line = f"Did 'secret' appear on the way (linear)? {rounds}"
    assert line in capsys.readouterr().out


def test_a_trace_in_which_nobody_else_is_heard(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = Layout.of([("weight", (3,))])
    with TraceWriter(tmp_path / "alone", torch.zeros(3), layout) as trace:
        trace.append(torch.ones(3), torch.ones(3), own_weight=1.0, participants=2)
    mine = ("--auxiliary", str(place / "mine.npz"), "--model", MODEL)
    line = refused(tmp_path, capsys, str(tmp_path / "alone"), *mine)
    assert "own_weight is 1 in every round: the trace holds nothing of other clients" in line


def test_options_of_an_attack_are_printed_and_can_be_set(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--property", "secret", "--attack", "magnitude-stack", "--set", "others=without"]
    set_ = ["--attack-option", "magnitude-stack.share=0.9"]
    text, other = scored(place, capsys, *more), scored(place, capsys, *more, *set_)
    assert "share 0.5 (default)" in text
    assert "share 0.9 (option)" in other
    rows = [text.splitlines()[2:42], other.splitlines()[2:42]]
    assert rows[0] != rows[1]
    given = [str(place / "trace"), "--auxiliary", str(place / "mine.npz"), "--model", MODEL]
    for wrong, message in {
        "linear.x=1": "unknown attack 'linear'",
        "magnitude-stack.shar=0.2": "did you mean 'share'",
        "share=0.2": "is not attack.option",
    }.items():
        assert message in refused(place, capsys, *given, "--attack-option", wrong)
    assert "at least 19" in refused(place, capsys, *given, "--references", "5")


def test_colour_images_are_attacked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The bundled CNN on pictures of 8 x 6 pixels in three colours."""
    rng = np.random.default_rng(3)

    def shots(secret: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        images = rng.integers(0, 100, (len(secret), 8, 6, 3)).astype(np.uint8)
        images[:, :, :, 0] += (150 * secret[:, None, None]).astype(np.uint8)
        return images, rng.integers(0, 2, len(secret))

    shape = InputShape("image", num_classes=2, height=8, width=6, in_channels=3)
    engine = Engine(build_model("cnn", {"channels": [3], "hidden": 5}, shape, Seed(1)))
    weights = engine.initial
    facts = {"lr": LR, "batch_size": BATCH, "others": "without", "persistent": False}
    with TraceWriter(tmp_path / "trace", weights, engine.layout, about=facts) as trace:
        for present in PRESENT:
            secrets = [rng.integers(0, 2, BATCH), np.full(BATCH, int(present))]
            held = [Samples.of(*shots(secret)) for secret in secrets]
            grads = [engine.gradients(weights, one, [np.arange(BATCH)], Seed(0))[0] for one in held]
            deltas = [-LR * gradient for gradient in grads]
            mean = (deltas[0] + deltas[1]) / 2
            trace.append(mean, deltas[0], own_weight=0.5, participants=2)
            weights = weights + mean
    secret = np.arange(240) % 2
    images, labels = shots(secret)
    np.savez(tmp_path / "mine.npz", inputs=images, labels=labels, secret=secret)
    given = ["--auxiliary", str(tmp_path / "mine.npz"), "--model", "cnn"]
    given += ["--option", "channels=[3]", "--option", "hidden=5", "--json"]
    assert run_command("attack", str(tmp_path / "trace"), *given) == 0
    [row] = json.loads(capsys.readouterr().out)["scores"]
    scores = np.array(row["scores"])
    assert privaudit.evaluate(scores[PRESENT], scores[~PRESENT]).auc.value > 0.9


ROWS = np.zeros((6, 5), dtype=np.float32)
LABELS = np.array([0, 1, 2, 0, 1, 2])
SECRET = np.array([0, 1, 0, 1, 0, 1])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": LABELS, "p": SECRET}, "no array 'inputs'"),
        ({"inputs": ROWS, "p": SECRET}, "no array 'labels'"),
        ({"inputs": ROWS, "labels": LABELS}, "no property"),
        ({"inputs": ROWS, "labels": LABELS, "p": SECRET[:3]}, "'p' has shape [3]"),
        ({"inputs": ROWS, "labels": LABELS, "p": SECRET * 3}, "not binary"),
        ({"inputs": ROWS, "labels": LABELS, "p": SECRET * 0}, "one value only"),
        ({"inputs": ROWS, "labels": LABELS - 1, "p": SECRET}, "class indices from -1"),
        ({"inputs": ROWS, "labels": LABELS + 0.5, "p": SECRET}, "not class indices"),
        ({"inputs": ROWS, "labels": LABELS + 7, "p": SECRET}, "cannot be trained"),
        ({"inputs": ROWS[:, 0], "labels": LABELS, "p": SECRET}, "expected [N, ...]"),
        ({"inputs": ROWS + np.nan, "labels": LABELS, "p": SECRET}, "non-finite"),
        ({"inputs": ROWS.astype(object), "labels": LABELS, "p": SECRET}, "Python objects"),
        ({"inputs": ROWS.astype(str), "labels": LABELS, "p": SECRET}, "holds <U"),
        ({"inputs": ROWS.astype(int) - 1, "labels": LABELS, "p": SECRET}, "token ids from -1"),
        ({"inputs": ROWS[:, :4], "labels": LABELS, "p": SECRET}, "cannot be trained"),
        ({"inputs": ROWS, "labels": LABELS, "p": SECRET, "groups": ROWS}, "'groups' has shape"),
    ],
)
def test_auxiliary_records_that_cannot_be_used(
    place: Path,
    tmp_path: Path,
    arrays: dict[str, np.ndarray],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)  # type: ignore[arg-type]
    options = ["--option", "classes=3", "--option", "features=5"]
    given = [str(place / "trace"), "--auxiliary", str(tmp_path / "bad.npz"), "--model", MODEL]
    assert message in refused(place, capsys, *given, *options)
