"""What a framework sends as "the model": parameters, and what is no parameter but is sent, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from privaudit.engine.layout import Layout

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""Last parts of the names of what normalisation layers keep: no parameter, but averaged."""


class StrangeStateError(ValueError):
    """What was sent is not what the tap can keep: not the model's tensors, or other ones now."""


@dataclass(frozen=True)
class Shape:
    """Names and shapes of the parameters and of the buffers, each in the order they are sent in."""

    parameters: tuple[tuple[str, tuple[int, ...]], ...]
    buffers: tuple[tuple[str, tuple[int, ...]], ...]

    @classmethod
    def of(cls, state: Mapping[str, Tensor], parameters: Sequence[str] | None = None) -> Shape:
        """Of a state that was sent.

        Args:
            state: name -> tensor.
            parameters: names of those that are trained, in the order of the model's
                ``named_parameters()``; None = every floating-point tensor but those that
                normalisation layers keep.

        Raises:
            StrangeStateError: there is no parameter in it, one is missing, or tensors have numbers
                for names, so that nobody can say which they are.
        """
        if parameters is None:
            if state and all(name.isdigit() for name in state):
                raise StrangeStateError(
                    "tensors come without names ('0', '1', ...): give the tap "
                    "names=list(model.state_dict()), in the order they are sent in"
                )
            parameters = [n for n, tensor in state.items() if _is_parameter(n, tensor)]
        missing = [name for name in parameters if name not in state]
        if missing or not parameters:
            what = f"'{missing[0]}' is not among them" if missing else "there is no parameter"
            raise StrangeStateError(f"of {len(state)} tensors that were sent: {what}")
        rest = [name for name in state if name not in set(parameters)]
        return cls(
            *(tuple((n, tuple(state[n].shape)) for n in part) for part in (parameters, rest))
        )

    @property
    def layout(self) -> Layout:
        """Of the parameters."""
        return Layout.of(list(self.parameters))

    def flat(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """``parameters`` [P] and, where there are any, ``buffers`` [B], as float32.

        Raises:
            StrangeStateError: other names or shapes than these.
        """
        own = dict((*self.parameters, *self.buffers))
        if {name: tuple(tensor.shape) for name, tensor in state.items()} != own:
            raise StrangeStateError("the model has other tensors or shapes than at the beginning")
        found = {"parameters": _vector(state, self.parameters)}
        return found | ({"buffers": _vector(state, self.buffers)} if self.buffers else {})


def _is_parameter(name: str, tensor: Tensor) -> bool:
    return tensor.is_floating_point() and name.rsplit(".", 1)[-1] not in STATISTICS


def _vector(state: Mapping[str, Tensor], rows: Sequence[tuple[str, tuple[int, ...]]]) -> Tensor:
    return torch.cat([state[name].detach().to("cpu", torch.float32).flatten() for name, _ in rows])
