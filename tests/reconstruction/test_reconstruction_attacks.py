"""The attacks on rounds of real clients: what they find, and what they refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from privaudit.attack.protocol import make_attack
from privaudit.attack.reconstruction import Rebuilding
from privaudit.attack.registry import load_attack, registered
from privaudit.data.registry import load_dataset
from privaudit.engine.engine import Engine, LocalRule, Samples
from privaudit.engine.samples import prepare
from privaudit.errors import UserError
from privaudit.evaluation.rebuilding import f1, likeness, rebuilt, words
from privaudit.models.image_cnn import ImageCNN
from privaudit.models.mlp import MLP
from privaudit.models.text_cnn import TextCNN
from privaudit.observation.rules import Rules
from privaudit.observation.views import Observation
from privaudit.randomness import Seed
from privaudit.scenario.schema import LABELS
from privaudit_attacks.reconstruction.images import GradientMatching
from privaudit_attacks.reconstruction.tables import FirstLayer, Spear
from privaudit_attacks.reconstruction.words import MovedWords

LR, FEATURES, VOCABULARY, LENGTH = 0.1, 20, 300, 12
SEED = Seed(4)
SCALE = 4.0
"""Range of a column of normal numbers, about."""
NAMES = [name for name in registered() if load_attack(name).game == "reconstruction"]


def engine_of(model: type[nn.Module], *arguments: int, **options: object) -> Engine:
    """With initial weights that are always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return Engine(model(*arguments, **options))


def play(
    engine: Engine, samples: Samples, batch: int, clients: int, *, half: bool = False
) -> tuple[Observation, Rebuilding]:
    """One round of so many clients; client 0 listens, and client c has the c-th batch."""
    parts = [np.arange(batch) + c * batch for c in range(clients)]
    deltas: list[Tensor] = [
        engine.train(engine.initial, samples, [p], rule=LocalRule(LR, 0.0), seed=Seed(c)).delta
        for c, p in enumerate(parts)
    ]
    mean, own = torch.stack(deltas).mean(0), deltas[0]
    if half:
        mean, own = mean.half().float(), own.half().float()
    kind = torch.float16 if half else torch.float32
    seen = Observation(
        0, engine.initial, mean, own, 1 / clients, clients, precision=torch.finfo(kind).eps
    )
    rules = Rules(participants=clients, batch_size=batch, lr=LR)
    known = Samples(samples.inputs[:batch], samples.labels[:batch])
    return seen, Rebuilding(engine, known, rules, Seed(9))


def table(batch: int, clients: int, seed: int, *, half: bool = False) -> tuple[np.ndarray, ...]:
    """The batch of client 1, and what single units and SPEAR make of the round."""
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((batch * clients, FEATURES)).astype(np.float32)
    samples = Samples.of(inputs, rng.integers(0, 4, len(inputs)))
    seen, given = play(
        engine_of(MLP, 4, FEATURES, hidden=[128, 32]), samples, batch, clients, half=half
    )
    truth = inputs[batch : 2 * batch]
    answers = FirstLayer(seed=SEED).rebuild(seen, given), Spear(seed=SEED).rebuild(seen, given)
    assert max(map(len, answers)) <= given.records(seen)
    return truth, *answers


def test_batches_of_one_are_rebuilt_and_of_four_mostly() -> None:
    assert np.mean([rebuilt(*table(1, 2, seed)[:2], SCALE) for seed in range(10)]) >= 0.95
    assert np.mean([rebuilt(*table(4, 2, seed)[:2], SCALE) for seed in range(10)]) >= 0.6


def test_spear_rebuilds_what_single_units_do_not() -> None:
    found = [table(6, 2, seed) for seed in range(5)]
    assert np.mean([rebuilt(truth, answer, SCALE) for truth, _, answer in found]) >= 0.95
    assert np.mean([rebuilt(truth, single, SCALE) for truth, single, _ in found]) < 0.6


def test_half_precision_rebuilds_less_and_nothing_that_rounding_left() -> None:
    for seed in range(3):
        truth, single, _ = table(1, 2, seed, half=True)
        assert len(single) <= 1
        assert rebuilt(truth, single, SCALE) == len(single)


def test_words_of_the_others_and_not_ones_own() -> None:
    rng = np.random.default_rng(5)
    inputs = rng.integers(1, VOCABULARY, (8, LENGTH)).astype(np.int32)
    inputs[:, -3:] = 0  # padding
    samples = Samples.of(inputs, rng.integers(0, 2, 8))
    engine = engine_of(TextCNN, 2, VOCABULARY, embedding=8, filters=64)
    seen, given = play(engine, samples, 4, 2)
    recall, precision = words(
        np.unique(inputs[4:][inputs[4:] > 0]), MovedWords(seed=SEED).rebuild(seen, given)
    )
    assert precision == 1.0
    assert recall >= 0.95


def test_of_several_clients_words_those_that_are_frequent_are_answered() -> None:
    gains = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        inputs = (rng.zipf(1.4, (400, LENGTH)) % (VOCABULARY - 1) + 1).astype(np.int32)
        samples = Samples.of(inputs, rng.integers(0, 2, len(inputs)))
        engine = engine_of(TextCNN, 2, VOCABULARY, embedding=8, filters=64)
        seen, given = play(engine, samples, 8, 17)
        own = Samples(samples.inputs[136:], samples.labels[136:])
        answer = MovedWords(seed=SEED).rebuild(seen, replace(given, own=own))
        truth = inputs[8:16]
        gains.append(f1(*words(truth, answer)) - f1(*words(truth, inputs[8:136])))
        assert len(np.unique(answer)) == len(answer)
    assert np.mean(gains) > 0.05


def test_models_of_other_kinds_are_refused() -> None:
    rng = np.random.default_rng(5)
    texts = Samples.of(rng.integers(1, 30, (4, LENGTH)).astype(np.int32), np.arange(4) % 2)
    seen, given = play(engine_of(TextCNN, 2, 30, embedding=8, filters=8), texts, 2, 2)
    with pytest.raises(UserError, match="dense one with biases; here it is Embedding"):
        FirstLayer(seed=SEED).rebuild(seen, given)
    rows = Samples.of(rng.standard_normal((4, FEATURES)).astype(np.float32), np.arange(4) % 2)
    seen, given = play(engine_of(MLP, 2, FEATURES), rows, 2, 2)
    with pytest.raises(UserError, match="no embedding"):
        MovedWords(seed=SEED).rebuild(seen, given)


def test_images_are_matched_at_the_parameters_of_the_round() -> None:
    data = load_dataset("glyphs", {"records": 400}, None, Seed(1))
    samples = Samples.of(data.inputs, data.labels)
    engine = engine_of(ImageCNN, 36, channels=[8, 16], hidden=32)
    seen, given = play(engine, samples, 1, 2)
    truth = prepare(samples.inputs[1:2]).numpy()
    found = GradientMatching(seed=SEED, restarts=1, steps=200).rebuild(seen, given)
    own = prepare(samples.inputs[2:200]).numpy()
    assert likeness(truth, found) > likeness(truth, own)
    few = GradientMatching(seed=SEED, most=1).rebuild(*play(engine, samples, 4, 2))
    assert few.shape == (0, 1, 28, 28), "more records than it is told to try"


def any_world(name: str) -> tuple[Observation, Rebuilding]:
    """A round that the attack can work on."""
    rng = np.random.default_rng(5)
    if name == "moved-words":
        texts = Samples.of(rng.integers(1, 30, (4, LENGTH)).astype(np.int32), np.arange(4) % 2)
        return play(engine_of(TextCNN, 2, 30, embedding=8, filters=8), texts, 2, 2)
    pixels = rng.integers(0, 256, (4, 8, 8)).astype(np.uint8)
    images = Samples.of(pixels, np.arange(4) % 2)
    seen, given = play(engine_of(MLP, 2, 64, hidden=[32]), images, 2, 2)
    return seen, replace(given, classes=2 if load_attack(name).of == LABELS else None)


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_answer_and_inputs_untouched(name: str) -> None:
    seen, given = any_world(name)
    before = {n: v.clone() for n, v in vars(seen).items() if isinstance(v, Tensor)}
    options = {"steps": 20} if name == "gradient-matching" else {}
    answers = []
    for _ in range(2):
        attack = make_attack(load_attack(name), options, SEED)
        attack.check(given)
        attack.listen(seen, given)
        answers.append(given.checked(attack.answer(), 1))
    assert answers[0] == answers[1]
    assert all(getattr(seen, n).equal(v) for n, v in before.items())
    if name != "moved-words":
        assert len(answers[0][0]) <= given.records(seen)


def test_answers_that_are_none_are_refused() -> None:
    _, given = any_world("first-layer")
    record = np.zeros((1, 64))
    assert given.checked([record, record[:0]], 2) == [[[0.0] * 64], []]
    assert given.checked([record + 1e-310, record], 2) == [[[0.0] * 64]] * 2
    for answer, said in [
        ([record], "list of 2 arrays"),
        (record, "list of 2 arrays"),
        ([record, np.full((1, 64), np.nan)], "round 1, 64 not finite"),
        ([record, np.zeros((1, 63))], r"shape \(1, 63\)"),
        ([record, np.zeros((3, 64))], "at most 2 records"),
        ([record, np.full((1, 64), 1e300)], "numbers above 1e"),
        ([record, ["text"]], "not records of 64 numbers"),
    ]:
        with pytest.raises((TypeError, ValueError), match=said):
            given.checked(answer, 2)


def test_a_batch_above_the_rank_is_refused_with_the_bound() -> None:
    _, given = any_world("spear")
    wide = replace(given, rules=given.rules.model_copy(update={"batch_size": 33}))
    with pytest.raises(UserError, match="32 units on 64 numbers has 32 dimensions"):
        Spear(seed=SEED).check(wide)
