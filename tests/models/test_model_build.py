"""From a scenario's [model] table to a module: reproducible weights, errors in one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from privaudit.errors import UserError
from privaudit.models.build import MODELS, InputShape, build_model, check_model
from privaudit.randomness import Seed

IMAGE = InputShape("image", num_classes=4, height=12, width=12, in_channels=1)
TEXT = InputShape("text", num_classes=2, vocabulary_size=50)
TABLE = InputShape("table", num_classes=3, features=6)
FITTING = {"cnn": IMAGE, "text-cnn": TEXT, "mlp": TABLE, "resnet": IMAGE}
BATCHES = {
    "image": torch.zeros(2, 1, 12, 12),
    "text": torch.ones(2, 20, dtype=torch.long),
    "table": torch.zeros(2, 6),
}


def weights(model: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(model.parameters()).detach()


class Own(nn.Module):
    """A user's model that asks for one fact and has one option."""

    def __init__(self, features: int, width: int = 2) -> None:
        super().__init__()
        self.layer = nn.Linear(features, width)


class Demanding(nn.Module):
    """A user's model whose constructor refuses."""

    def __init__(self) -> None:
        super().__init__()
        raise RuntimeError("needs more memory")


@pytest.fixture
def own_package() -> Iterator[None]:
    module = ModuleType("own_models")
    module.Own, module.Demanding, module.number = Own, Demanding, 3
    module.factory = lambda features: nn.Linear(features, 1)
    module.function = lambda: 3
    sys.modules["own_models"] = module
    yield
    del sys.modules["own_models"]


def test_every_bundled_model_is_tested_here() -> None:
    assert set(FITTING) == set(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_bundled_models_give_one_logit_per_class(name: str) -> None:
    shape = FITTING[name]
    model = build_model(name, {}, shape, Seed(1))
    assert model(BATCHES[shape.kind]).shape == (2, shape.num_classes)


@pytest.mark.parametrize("name", MODELS)
def test_initial_weights_come_from_the_seed_alone(name: str) -> None:
    state = torch.random.get_rng_state()
    first = weights(build_model(name, {}, FITTING[name], Seed(1)))
    assert torch.equal(torch.random.get_rng_state(), state), "global generator was used"
    torch.rand(3)
    assert torch.equal(weights(build_model(name, {}, FITTING[name], Seed(1))), first)
    assert not torch.equal(weights(build_model(name, {}, FITTING[name], Seed(2))), first)


@pytest.mark.usefixtures("own_package")
def test_own_class_gets_the_facts_it_names_and_its_options() -> None:
    model = build_model("own_models:Own", {"width": 5}, TABLE, Seed(1))
    assert model.layer.weight.shape == (5, 6)


@pytest.mark.parametrize(
    ("inputs", "facts"),
    [
        ((9, 28, 20), {"height": 28, "width": 20, "in_channels": 1, "features": 560}),
        (
            (9, 12, 12, 3),
            {"height": 12, "width": 12, "in_channels": 3, "side": 12, "features": 432},
        ),
    ],
)
def test_an_image_has_a_side_only_if_it_is_square(
    inputs: tuple[int, ...], facts: dict[str, int]
) -> None:
    assert InputShape.of("image", inputs, num_classes=4).facts() == {"num_classes": 4} | facts


@pytest.mark.usefixtures("own_package")
def test_options_override_facts() -> None:
    assert build_model("own_models:Own", {"features": 2}, TABLE, Seed(1)).layer.in_features == 2


@pytest.mark.usefixtures("own_package")
def test_a_function_may_make_the_model() -> None:
    model = build_model("own_models:factory", {}, TABLE, Seed(1))
    assert isinstance(model, nn.Linear)
    assert model.in_features == TABLE.features


@pytest.mark.usefixtures("own_package")
@pytest.mark.parametrize(
    ("name", "options", "shape", "message"),
    [
        ("cnm", {}, IMAGE, "unknown model 'cnm'; did you mean 'cnn'"),
        ("cnn", {}, TABLE, "takes image data, the data set holds table data; use mlp"),
        ("mlp", {}, TEXT, "takes table or image data.*use text-cnn"),
        ("cnn", {"chanels": [1]}, IMAGE, "model 'cnn': unknown option 'chanels'; did you mean"),
        ("cnn", {"channels": "many"}, IMAGE, "'channels' = 'many': input should be a valid"),
        ("cnn", {"channels": [2, 0]}, IMAGE, "'channels.1' = 0: .*; allowed: a list of"),
        ("cnn", {"hidden": 2.0}, IMAGE, "'hidden' = 2.0: input should be a valid integer"),
        ("text-cnn", {"dropout": 1}, TEXT, "'dropout' = 1: .*; allowed: .* in "),
        ("text-cnn", {"widths": []}, TEXT, "'widths' = "),
        ("cnn", {"channels": [1, 1, 1, 1]}, IMAGE, "4 poolings leave nothing of the image"),
        ("own_models:Absent", {}, TABLE, "cannot load model 'own_models:Absent'"),
        ("no_such_module:Model", {}, TABLE, "No module named 'no_such_module'"),
        (":Model", {}, TABLE, "cannot load model"),
        ("own_models:", {}, TABLE, "cannot load model"),
        ("own_models:number", {}, TABLE, "is not a torch.nn.Module"),
        ("own_models:function", {}, TABLE, "is not a torch.nn.Module"),
        ("own_models:Demanding", {}, TABLE, "needs more memory"),
    ],
)
def test_what_cannot_be_built_is_one_line(
    name: str, options: dict[str, object], shape: InputShape, message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        build_model(name, options, shape, Seed(1))
    assert "\n" not in str(caught.value)


def test_check_model_needs_no_data() -> None:
    check_model("cnn", "image")
    with pytest.raises(UserError, match="takes text data"):
        check_model("text-cnn", "image")
