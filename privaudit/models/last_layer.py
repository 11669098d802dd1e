"""The last dense layer of a model, and the model with another layer in its place."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from privaudit.errors import UserError


def last_dense_layer(model: nn.Module, inputs: Tensor, *, without: str) -> str:
    """Name of the dense layer that the logits come from, found by calling the model.

    Args:
        model: of any kind; it is left in evaluation mode.
        inputs: a batch as the model takes it.
        without: what to do where there is none, as the end of a remedy.

    Raises:
        UserError: no dense layer is the last one called and as wide as the logits.
    """
    called: list[tuple[str, torch.Size]] = []

    def remember(name: str, result: Tensor) -> None:
        called.append((name, result.shape))

    hooks = [
        layer.register_forward_hook(lambda _, __, result, name=name: remember(name, result))
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear)
    ]
    try:
        with torch.no_grad():
            logits = model.eval()(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    if not called or called[-1][1] != logits.shape or not called[-1][0]:
        raise UserError(
            f"{type(model).__name__} has no dense layer that its logits come from",
            where="model",
            remedy=f"let it end with torch.nn.Linear, or {without}",
        )
    return called[-1][0]


def check_trained_before(model: nn.Module, name: str) -> None:
    """That something is trained before the layer with this name.

    Raises:
        UserError: nothing is.
    """
    before = [n for n, p in model.named_parameters() if p.requires_grad and not _within(n, name)]
    if not before:
        raise UserError(
            f"{type(model).__name__} has nothing to train before its last dense layer",
            where="model",
            remedy="use a model with several layers, or leave audit.alpha unset",
        )


def with_layer(model: nn.Module, name: str, layer: nn.Module) -> nn.Module:
    """A copy of a model with another layer in the place of the one with this name."""
    changed = copy.deepcopy(model)
    parent, _, last = name.rpartition(".")
    setattr(changed.get_submodule(parent), last, layer)
    return changed


def dense_layer(model: nn.Module, name: str) -> nn.Linear:
    """The dense layer with this name."""
    layer = model.get_submodule(name)
    assert isinstance(layer, nn.Linear)
    return layer


def _within(parameter: str, layer: str) -> bool:
    return parameter.startswith(f"{layer}.")
