"""What is minimised: a loss by name, or one of the user's own.

A loss takes what the model gives for a batch and the labels of its records. Labels of
``cross-entropy`` are class indices [b]; of ``bce`` 0 or 1, [b] for a model with one output or
[b, L] for L labels a record; of ``mse`` numbers, [b] or [b, D].
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from privaudit.errors import UserError, failure_of_others, unknown_name

CROSS_ENTROPY, BCE, MSE = "cross-entropy", "bce", "mse"
LOSSES = (CROSS_ENTROPY, BCE, MSE)


@dataclass(frozen=True)
class Loss:
    """One loss.

    Attributes:
        name: of :data:`LOSSES`, or ``package.module:function`` of a function that takes outputs and
            labels and returns the mean loss of the batch.
        own: that function; None of a loss of ours.
    """

    name: str = CROSS_ENTROPY
    own: Callable[[Tensor, Tensor], Tensor] | None = None

    def mean(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The mean loss of a batch, a scalar.

        Raises:
            UserError: outputs and labels do not go together.
        """
        if self.own is not None:
            return self._by_own(self.own, outputs, labels)
        if self.name == CROSS_ENTROPY:
            indices = labels.dim() == 1 and not labels.is_floating_point()
            self._refuse_unless(outputs.dim() > 1 and indices, outputs, labels)
            return functional.cross_entropy(outputs, labels)
        return self.each(outputs, labels).mean()

    def each(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """[b] the loss of each record; of a record with several labels the mean over them."""
        if self.own is not None:
            rows = zip(outputs.split(1), labels.split(1), strict=True)
            return torch.stack([self._by_own(self.own, *row) for row in rows])
        if self.name == CROSS_ENTROPY:
            return functional.cross_entropy(outputs, labels, reduction="none")
        outputs, labels = self._paired(outputs, labels)
        compute = (
            functional.binary_cross_entropy_with_logits if self.name == BCE else functional.mse_loss
        )
        losses: Tensor = compute(outputs, labels, reduction="none")
        return losses.flatten(1).mean(1) if losses.dim() > 1 else losses

    def total(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The sum over the records of a batch, a scalar."""
        if self.name == CROSS_ENTROPY:
            return functional.cross_entropy(outputs, labels, reduction="sum")
        return self.mean(outputs, labels) * len(labels)

    def correct(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """How many records of a batch are answered rightly, a scalar.

        The likeliest class; under ``bce`` the share of a record's labels on the right side; under
        ``mse`` the share of its numbers that are less than one half off. With a loss of the user's
        own as it is with ``cross-entropy``, where outputs and labels allow it, else 0.
        """
        if self.name in (BCE, MSE):
            outputs, labels = self._paired(outputs, labels)
            right = (outputs > 0) == (labels > 0.5)
            if self.name == MSE:
                right = (outputs - labels).abs() < 0.5
            return right.float().flatten(1).mean(1).sum() if right.dim() > 1 else right.sum()
        if outputs.dim() == 2 and labels.dim() == 1 and not labels.is_floating_point():
            return (outputs.argmax(1) == labels).sum()
        return torch.zeros((), device=outputs.device)

    def _paired(self, outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Both in the same shape."""
        if labels.dim() == 1 and outputs.dim() == 2 and outputs.shape[1] == 1:
            outputs = outputs.squeeze(1)
        self._refuse_unless(outputs.shape == labels.shape, outputs, labels)
        return outputs, labels.to(outputs.dtype)

    def _refuse_unless(self, fits: bool, outputs: Tensor, labels: Tensor) -> None:
        if not fits:
            raise UserError(
                f"loss '{self.name}' does not fit outputs {list(outputs.shape)} and labels "
                f"{list(labels.shape)} of {str(labels.dtype).removeprefix('torch.')}",
                where="local.loss",
                remedy="cross-entropy takes outputs [b, classes] and class indices [b]; bce and "
                "mse take outputs and labels of one shape, or outputs [b, 1] and labels [b]",
            )

    def _by_own(
        self, own: Callable[[Tensor, Tensor], Tensor], outputs: Tensor, labels: Tensor
    ) -> Tensor:
        try:
            found = own(outputs, labels)
        except Exception as error:
            raise UserError(
                f"loss '{self.name}' failed: {failure_of_others(error)}", where="local.loss"
            ) from error
        if not isinstance(found, Tensor) or found.dim():
            raise UserError(
                f"loss '{self.name}' returned {type(found).__name__}, not a scalar tensor",
                where="local.loss",
                remedy="return the mean loss of the batch",
            )
        return found


@lru_cache(maxsize=32)
def loss_named(name: str) -> Loss:
    """The loss of this name.

    Raises:
        UserError: there is none, or it cannot be imported.
    """
    if ":" in name:
        return Loss(name, own_function(name, "local.loss"))
    if name not in LOSSES:
        known = [*LOSSES, "package.module:function"]
        raise unknown_name("loss", name, known, where="local.loss")
    return Loss(name)


def own_function(path: str, where: str) -> Callable[..., Any]:
    """Code of the user's own, by its dotted path.

    Raises:
        UserError: it cannot be imported, or cannot be called.
    """
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise UserError(
            f"cannot load '{path}': {error}",
            where=where,
            remedy="name an importable function as package.module:function",
        ) from error
    if not callable(found):
        raise UserError(f"'{path}' is not a function", where=where)
    return found
