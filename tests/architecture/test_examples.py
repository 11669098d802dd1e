"""The examples of docs/architecture.md do what they are examples of."""

from __future__ import annotations

import importlib
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from audited_world import audit
from house import DOCUMENT

from privaudit.attack.protocol import make_attack
from privaudit.data import registry
from privaudit.defences.protocol import At, Defence
from privaudit.engine.layout import Layout
from privaudit.observation.trace import Trace
from privaudit.randomness import Seed
from privaudit.taps.sealing import seal


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The examples as files that can be imported, and their folder."""
    blocks = re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", DOCUMENT.read_text(), re.M | re.S)
    for name, text in blocks:
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert text.count("\n") <= 30, name
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("example")
def test_the_attack_scores_every_round_and_finds_a_strong_leak(tmp_path: Path) -> None:
    world = audit(tmp_path / "trace", participants=2, rounds=30)
    attack = make_attack(importlib.import_module("nearer").Nearer, {}, Seed(1))
    scores = attack.fit(world.trace.view(), world.adversary).score()
    assert scores.shape == world.present.shape
    assert scores[world.present].mean() > scores[~world.present].mean()
    weighed = make_attack(importlib.import_module("weighed").Weighed, {"weight": 2.0}, Seed(1))
    assert np.array_equal(weighed.fit(world.trace.view(), world.adversary).score(), 2 * scores)


@pytest.mark.usefixtures("example")
def test_the_defence_changes_what_is_sent_and_not_what_it_was_given() -> None:
    defence: Defence = importlib.import_module("rounding").Rounding(step=0.5)
    delta = torch.tensor([0.2, -0.9, 3.0])
    layout = Layout.of([("weight", [3])])
    sent = defence.client(delta, At(layout, Seed(0)))
    assert sent.tolist() == [0.0, -1.0, 3.0]
    assert delta.tolist() == pytest.approx([0.2, -0.9, 3.0])


@pytest.mark.usefixtures("example")
def test_what_the_tap_keeps_is_sealed(tmp_path: Path) -> None:
    tap = importlib.import_module("loop_tap").LoopTap(tmp_path / "journal", "mine")
    for number in range(3):
        tap.received(number, {"w": torch.full((2,), float(number))})
        tap.sent(number + 1, {"w": torch.full((2,), number + 4.0)}, 10)
    assert seal(tmp_path / "journal", tmp_path / "t", participants=2).rounds == (1, 2)
    first, second = Trace.open(tmp_path / "t")
    assert first.own_delta.tolist() == second.own_delta.tolist() == [4.0, 4.0]
    assert second.after.tolist() == [2.0, 2.0]


@pytest.mark.usefixtures("example")
def test_the_data_set_is_loaded_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    module: ModuleType = importlib.import_module("coins")
    monkeypatch.setitem(sys.modules, "privaudit.data.coins", module)
    info = replace(registry.DATASETS["glyphs"], name="coins", module="coins")
    monkeypatch.setitem(registry.DATASETS, "coins", info)
    first, second = (registry.load_dataset("coins", {}, None, Seed(s)) for s in (1, 2))
    assert len(first) == 400
    assert np.array_equal(first.properties["heads"], first.inputs[:, -1])
    assert first.checksum != second.checksum
