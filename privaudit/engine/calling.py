"""Models with several inputs, and what models give back besides logits.

Inputs are one array, a dict of arrays by the names of the model's arguments, or a tuple of arrays
in their order. Outputs are a tensor, or a dict or an object with ``logits``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from privaudit.errors import UserError


def each(inputs: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Inputs of the same form, each array changed."""
    if isinstance(inputs, Mapping):
        return {name: change(one) for name, one in inputs.items()}
    if isinstance(inputs, tuple):
        return tuple(change(one) for one in inputs)
    return change(inputs)


def arguments(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a model by position and by name."""
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    return (inputs if isinstance(inputs, tuple) else (inputs,)), {}


def logits_of(output: Any) -> Tensor:
    """The logits in what a model gave.

    Raises:
        UserError: there are none.
    """
    found = output
    if not isinstance(output, Tensor):
        named = output.get("logits") if isinstance(output, Mapping) else None
        found = getattr(output, "logits", None) if named is None else named
    if not isinstance(found, Tensor):
        raise UserError(
            f"the model gives {type(output).__name__}, which is no tensor and has no logits",
            where="model",
            remedy="return the logits, or a dict or an object with 'logits'",
        )
    return found
