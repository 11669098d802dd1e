"""The residual network: its shapes, and colour that is planted."""

from __future__ import annotations

import numpy as np

from privaudit.data.registry import load_dataset
from privaudit.engine.engine import Engine, LocalRule, Samples
from privaudit.engine.local_rule import LocalOptions
from privaudit.models.build import InputShape, build_model
from privaudit.randomness import Seed


def test_it_learns_coloured_digits_and_says_that_it_normalises_by_the_batch() -> None:
    data = load_dataset("coloured-glyphs", {"records": 600, "classes": "digits"}, None, Seed(1))
    shape = InputShape.of("image", data.inputs.shape, num_classes=data.num_classes)
    model = build_model("resnet", {"channels": [4, 8]}, shape, Seed(1))
    engine, samples = Engine(model), Samples.of(data.inputs, data.labels)
    rng = np.random.default_rng(0)
    batches = [rng.choice(600, 40, replace=False) for _ in range(60)]
    rule = LocalRule(0.01, options=LocalOptions(optimiser="adamw"))
    update = engine.train(engine.initial, samples, batches, rule=rule, seed=Seed(1))
    accuracy = engine.evaluate(engine.initial + update.delta, samples)[1]
    assert accuracy > 0.1 + 4.5 * (0.1 * 0.9 / 600) ** 0.5, "one of ten digits by guessing"
    (remark,) = engine.remarks
    assert "layer 'stem.1' (BatchNorm2d) and 5 more normalises over the batch" in remark
    assert engine.outputs(engine.initial, samples).shape == (600, 10)


def test_warm_ink_is_redder_than_blue_and_says_nothing_else() -> None:
    data = load_dataset("coloured-glyphs", {"records": 2000}, None, Seed(1))
    assert data.inputs.shape == (2000, 28, 28, 3)
    assert data.inputs.dtype == np.uint8
    warm = data.properties["warm"] == 1
    ink = data.inputs.reshape(2000, -1, 3).astype(float).max(axis=1)
    assert ((ink[:, 0] > ink[:, 2]) == warm).mean() > 0.95
    assert list(data.properties) == ["warm", "bold", "italic", "serif"]
    for name in ("bold", "italic", "serif"):
        agree = float((warm == (data.properties[name] == 1)).mean())
        assert abs(agree - 0.5) < 4.5 * 0.5 / np.sqrt(2000)
