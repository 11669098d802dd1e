"""Of a large model no attack asks for all shadows of a round at once, and none scores otherwise."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from privaudit.attack import adversary as of_adversary
from privaudit.attack import rows
from privaudit.attack.adversary import Adversary, AuxiliaryData, ShadowRound
from privaudit.attack.protocol import GameAttack, make_attack
from privaudit.attack.registry import load_attack
from privaudit.defences.transforms import Transforms
from privaudit.engine.engine import Engine, Samples
from privaudit.engine.layout import Layout
from privaudit.models.mlp import MLP
from privaudit.observation.rules import Rules
from privaudit.observation.views import Observation
from privaudit.randomness import Seed
from privaudit_attacks import magnitude_stack, melis_rf

INPUTS, WIDTH, ROUNDS, BATCH = 20, 200, 3, 4
ATTACKS = ("melis-rf", "linear", "magnitude-stack")
OPTIONS: dict[str, dict[str, Any]] = {"linear": {"dimensions": 1000}}
FEW = ("two parties", "some records with the property", "the largest tenth")
WAYS: dict[str, dict[str, Any]] = {
    "two parties": {"participants": 2},
    "several": {"participants": 4},
    "some records with the property": {"participants": 4, "others": "natural"},
    "the largest tenth": {
        "participants": 4,
        "sharing_rule": "largest",
        "shared_fraction": 0.1,
    },
    "two steps": {"participants": 4, "local_steps": 2},
}


def player(shadows: int, **rules: Any) -> Adversary:
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((200, INPUTS)).astype(np.float32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        engine = Engine(MLP(2, INPUTS, hidden=(WIDTH, WIDTH)))
    samples = Samples.of(inputs, rng.integers(2, size=200))
    own = AuxiliaryData(samples, (np.arange(200) % 2).astype(np.int8))
    told = {"batch_size": BATCH, "lr": 0.1, "others": "without"} | rules
    return Adversary(engine, own, Rules(**told), shadows, Seed(1))


def heard(given: Adversary, attack: str) -> GameAttack:
    """The attack after rounds in which others sent noise."""
    listener = make_attack(load_attack(attack), OPTIONS.get(attack, {}), Seed(2))
    drawn = torch.Generator().manual_seed(3)
    size, count = given.layout.size, given.rules.participants
    for number in range(ROUNDS):
        sent = torch.randn(2, size, generator=drawn) * 1e-3
        listener.listen(
            Observation(number, given.engine.initial, sent[0], sent[1], 1 / count, count), given
        )
    return listener


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of a hundred thousand parameters is a large one."""
    monkeypatch.setattr(rows, "IN_MEMORY", 100_000)
    monkeypatch.setattr(of_adversary, "AT_ONCE", 50_000)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("attack", ATTACKS)
def test_scores_are_those_of_shadows_in_memory(
    attack: str, way: str, request: pytest.FixtureRequest
) -> None:
    expected = heard(player(4, **WAYS[way]), attack).answer()
    request.getfixturevalue("large")
    found = heard(player(4, **WAYS[way]), attack).answer()
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)


class Alive(TorchDispatchMode):
    """Counts the numbers of all tensors made under it that are alive, at the most."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0
        self._made = WeakIdKeyDictionary()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for one in made if isinstance(made, list | tuple) else [made]:
            if isinstance(one, Tensor):
                self._made[one] = None
        held = [one.untyped_storage() for one in self._made if not rows.in_file(one)]
        places = {one.data_ptr(): one.nbytes() for one in held}
        self.most = max(self.most, sum(places.values()) // 4)
        return made


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("way", FEW)
@pytest.mark.parametrize("attack", ATTACKS)
def test_memory_is_that_of_some_vectors_however_many_shadows_there_are(
    attack: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In vectors: the model, its gradient, the round, what was seen; and one shadow."""
    monkeypatch.setattr(melis_rf, "LARGE_MATRIX", 500)
    monkeypatch.setattr(magnitude_stack, "LARGE", 500)
    monkeypatch.setattr(magnitude_stack, "HUGE", 500)
    most = {}
    for shadows in (4, 16):
        given = player(shadows, **WAYS[way])
        size = given.layout.size
        gc.collect()
        with Alive() as alive:
            heard(given, attack)
        most[shadows] = alive.most / size
    assert most[16] < 16
    assert most[16] < most[4] + 6, "24 more shadows, of which attacks keep much less than vectors"


def test_what_lies_in_a_file_is_there_as_long_as_it_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gc.collect()  # those of other tests
    monkeypatch.setattr(rows, "IN_MEMORY", 100)
    vectors = torch.arange(60.0).view(3, 20)
    kept = rows.gathered(iter(vectors), 3, 20)
    assert torch.equal(kept, vectors)
    assert rows.in_file(kept[:, 4:])
    rows.let_go(kept[1:])
    assert torch.equal(kept, vectors)
    part, files = kept[1:, 5:], len(rows._files)
    del kept
    gc.collect()
    assert torch.equal(part, vectors[1:, 5:])
    del part
    gc.collect()
    assert len(rows._files) == files - 1
    with pytest.raises(ValueError, match="length"):
        rows.gathered(iter(vectors[:2]), 3, 20)


def test_a_few_numbers_stay_in_memory() -> None:
    vectors = torch.arange(60.0).view(3, 20)
    kept = rows.gathered(iter(vectors), 3, 20)
    assert torch.equal(kept, vectors)
    assert not rows.in_file(kept)
    rows.let_go(kept)
    assert torch.equal(kept, vectors)


def test_a_full_disk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    class Full:
        write = full

    with pytest.raises(OSError, match="No space left on device, for shadows of a round: '/"):
        rows._write(Full(), memoryview(b"1234"))  # type: ignore[arg-type]


@pytest.mark.parametrize("contributors", [1, 3])
@pytest.mark.parametrize("at_once", [1, 60, 1_000_000])
def test_aggregates_are_shown_in_parts_that_are_put_side_by_side(
    contributors: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_adversary, "AT_ONCE", at_once)
    layout = Layout.of([("a", (5, 3)), ("b", (2,)), ("c", ()), ("d", (4, 2, 3))])
    kinds = torch.randn(3, 4, layout.size, generator=torch.Generator().manual_seed(0))
    shadow = ShadowRound(*kinds, contributors)
    shown = []

    def look(sums: Tensor, part: Layout) -> Tensor:
        assert sums.shape == (8 if contributors > 1 else 4, part.size)
        shown.append(sums.numel())
        return sums * 2

    found, labels = shadow.aggregates_seen_by(look, layout, np.random.default_rng(5))
    expected, truth = shadow.aggregates(np.random.default_rng(5))
    torch.testing.assert_close(found, expected * 2)
    assert np.array_equal(labels, truth)
    assert max(shown) <= max(at_once, 8 * 6)  # a row of the last tensor is not cut


def test_a_defended_large_model_is_that_of_the_transforms(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a file lie both: what was trained, and what is sent of it."""
    monkeypatch.setattr(rows, "IN_MEMORY", 100)
    given = player(2, **WAYS["the largest tenth"])
    zero = torch.zeros(given.layout.size)
    shadow = given.shadow(Observation(0, given.engine.initial, zero, zero, 0.25, 4))
    assert given.rules.transforms != Transforms()
    for delta in shadow.present:
        assert 0 < int(delta.count_nonzero()) <= -(-given.layout.size // 10)
    assert isinstance(given.engine.model, nn.Module)
