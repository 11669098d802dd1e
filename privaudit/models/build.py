"""From the ``[model]`` table of a scenario to a module with reproducible initial weights."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn

from privaudit.errors import UserError, unknown_name
from privaudit.models.image_cnn import ImageCNN, ImageOptions
from privaudit.models.mlp import MLP, MLPOptions
from privaudit.models.resnet import ResNet, ResNetOptions
from privaudit.models.text_cnn import TextCNN, TextOptions
from privaudit.options import Options
from privaudit.randomness import Seed
from privaudit.source import Source, source_of_package


class Bundled(NamedTuple):
    """A model of ours: the kinds of data sets it takes, its class, and the type of its options."""

    kinds: tuple[str, ...]
    model: type[nn.Module]
    options: type[Options]


MODELS = {
    "cnn": Bundled(("image",), ImageCNN, ImageOptions),
    "text-cnn": Bundled(("text",), TextCNN, TextOptions),
    "resnet": Bundled(("image",), ResNet, ResNetOptions),
    "mlp": Bundled(("table", "image"), MLP, MLPOptions),
}
"""Bundled models by name."""


@dataclass(frozen=True)
class InputShape:
    """What a model must know of the data: public facts, no records.

    Attributes:
        kind: ``image``, ``text`` or ``table``.
        num_classes: classes of the main task.
        height: of an image, in pixels (0 otherwise).
        width: of an image, in pixels (0 otherwise).
        in_channels: of an image, 1 or 3 (0 otherwise).
        vocabulary_size: token ids of a text (0 otherwise).
        features: numbers of one record of a table or image (0 otherwise).
    """

    kind: str
    num_classes: int
    height: int = 0
    width: int = 0
    in_channels: int = 0
    vocabulary_size: int = 0
    features: int = 0

    @classmethod
    def of(
        cls, kind: str, inputs: tuple[int, ...], *, num_classes: int, vocabulary_size: int = 0
    ) -> InputShape:
        """From the kind of data and the shape of its inputs, records included."""
        if kind == "image":
            height, width, in_channels = (*inputs[1:], 1)[:3]
            numbers = height * width * in_channels
            return cls(kind, num_classes, height, width, in_channels, features=numbers)
        features = inputs[1] if kind == "table" else 0
        return cls(kind, num_classes, vocabulary_size=vocabulary_size, features=features)

    def facts(self) -> dict[str, int]:
        """What a constructor may ask for by name; ``side`` only where an image is square."""
        facts = {
            "num_classes": self.num_classes,
            "height": self.height,
            "width": self.width,
            "in_channels": self.in_channels,
            "side": self.height if self.height == self.width else 0,
            "vocabulary_size": self.vocabulary_size,
            "features": self.features,
        }
        return {name: value for name, value in facts.items() if value}


def check_model(name: str, kind: str) -> None:
    """Refuse a model name that is unknown or does not fit the data, before anything runs."""
    if ":" in name:
        _load_class(name)
        return
    if name not in MODELS:
        raise unknown_name("model", name, [*MODELS, "package.module:Class"], where="model.name")
    wanted = MODELS[name].kinds
    if kind not in wanted:
        fits = ", ".join(n for n, bundled in MODELS.items() if kind in bundled.kinds)
        raise UserError(
            f"model '{name}' takes {' or '.join(wanted)} data, the data set holds {kind} data",
            where="model.name",
            remedy=f"use {fits} or your own package.module:Class",
        )


def is_bundled(name: str) -> bool:
    """Whether a model is one of ours, and no code of others runs when it is built."""
    return name in MODELS


def model_source(name: str) -> Source:
    """Whose code a model is: of a class of the user's own, its whole top-level package counts.

    Raises:
        UserError: the model is unknown, or its package cannot be found.
    """
    if ":" not in name and name not in MODELS:
        raise unknown_name("model", name, [*MODELS, "package.module:Class"], where="model.name")
    package = name.partition(":")[0].partition(".")[0] if ":" in name else __package__
    try:
        return source_of_package(package)
    except (ImportError, ValueError) as error:
        raise UserError(f"cannot load model '{name}': {error}", where="model.name") from error


def build_model(name: str, options: Mapping[str, Any], shape: InputShape, seed: Seed) -> nn.Module:
    """The model ``name`` with its options, its initial weights drawn from ``seed``.

    A class of the user's own, or a function of theirs that makes a model (and may load a
    checkpoint), receives its options and, of ``num_classes``, ``height``, ``width``,
    ``in_channels``, ``side`` (of square images), ``vocabulary_size`` and ``features``, those its
    constructor names.

    Raises:
        UserError: unknown model, wrong kind of data, or options the constructor does not take.
    """
    check_model(name, shape.kind)
    model_class, arguments = _class_of(name), model_arguments(name, options, shape)
    with torch.random.fork_rng(devices=[]):  # layers initialise from torch's global generator
        torch.manual_seed(seed.child("model").integer())
        try:
            model = model_class(**arguments)
        except UserError:  # of one of ours, about an option
            raise
        except (TypeError, ValueError, RuntimeError, LookupError, OSError) as error:
            raise UserError(
                f"model '{name}' cannot be built with {arguments}: {error}",
                where="model",
                remedy=f"it takes {inspect.signature(model_class)}",
            ) from error
    if not isinstance(model, nn.Module):
        raise UserError(f"'{name}' is not a torch.nn.Module", where="model.name")
    return model


def model_arguments(name: str, options: Mapping[str, Any], shape: InputShape) -> dict[str, Any]:
    """What the constructor of the model ``name`` is given: its options, and facts of the data."""
    taken = inspect.signature(_class_of(name)).parameters
    facts = {fact: value for fact, value in shape.facts().items() if fact in taken}
    return {**facts, **options}


def _class_of(name: str) -> Callable[..., nn.Module]:
    return _load_class(name) if ":" in name else MODELS[name].model


def _load_class(path: str) -> Callable[..., nn.Module]:
    module_name, _, class_name = path.partition(":")
    try:
        loaded = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise UserError(
            f"cannot load model '{path}': {error}",
            where="model.name",
            remedy="name an importable class or function as package.module:Class",
        ) from error
    is_class = inspect.isclass(loaded) and issubclass(loaded, nn.Module)
    # A function is called: none of Python's own makes a model, and some delete what they are given.
    of_python = module_name.partition(".")[0] in sys.stdlib_module_names
    if not (is_class or (inspect.isfunction(loaded) and not of_python)):
        raise UserError(
            f"'{path}' is not a torch.nn.Module class, nor a function that makes a model",
            where="model.name",
        )
    made: Callable[..., nn.Module] = loaded
    return made
