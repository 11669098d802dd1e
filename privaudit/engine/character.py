"""What is peculiar about a model, and what the engine therefore does: said in words."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from privaudit.errors import UserError


def check_trainable(model: nn.Module) -> None:
    """Refuse a model without parameters, or whose parameters have no shape yet.

    Raises:
        UserError: names the model or the layer.
    """
    for name, parameter in model.named_parameters():
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise UserError(
                f"parameter '{name}' has no shape yet",
                where="model",
                remedy="state the sizes of lazy layers, or call the model once before",
            )
    if not any(p.requires_grad for p in model.parameters()):
        raise UserError(
            f"model {type(model).__name__} has no trainable parameters",
            where="model",
            remedy="use a module with parameters",
        )


def remarks_on(model: nn.Module, *, shared: bool = False) -> Iterator[str]:
    """What a reader of the results must know about the layers of this model.

    ``shared``: whether clients share running statistics.
    """
    found = [(n, type(m).__name__) for n, m in model.named_modules() if isinstance(m, _BatchNorm)]
    if found:
        name, kind = found[0]
        statistics = (
            "running statistics are sent, averaged and handed out, past every sharing rule; the "
            "test set is normalised by them"
            if shared
            else "running statistics stay with each client; the test set is normalised by its own "
            "batches"
        )
        others = f" and {len(found) - 1} more" if len(found) > 1 else ""
        yield (
            f"layer '{name}' ({kind}){others} normalises over the batch: gradients "
            f"depend on which records share a batch and are computed batch by batch; {statistics}"
        )


class Buffers:
    """The buffers of a model as they were: clients must not leave traces for one another.

    Attributes:
        names: of those in the model's ``state_dict``, in its order.
        start: [B] these, flat, as :meth:`restore` is to put them; None = as they were.
    """

    def __init__(self, model: nn.Module) -> None:
        self._saved = [
            (module, name, buffer.clone())
            for module in model.modules()
            for name, buffer in module.named_buffers(recurse=False)
        ]
        self.names = [name for name, _ in model.named_buffers() if name in model.state_dict()]
        self._model = model
        self.start: Tensor | None = None

    @torch.no_grad()
    def restore(self) -> None:
        """Put them back. A model may have replaced the tensor itself, so it is looked up again."""
        for module, name, saved in self._saved:
            current: Tensor | None = module._buffers.get(name)
            if current is not None and current.shape == saved.shape:
                current.copy_(saved)
            else:
                module._buffers[name] = saved.clone()
        if self.start is not None:
            for (_, buffer), piece in zip(self._named(), self._pieces(self.start), strict=True):
                # An averaged counter is no whole number.
                buffer.copy_(piece if buffer.is_floating_point() else piece.round())

    def vector(self) -> Tensor:
        """[B] float32 on the CPU: those with a name, as they are."""
        parts = [buffer.detach().flatten().cpu().float() for _, buffer in self._named()]
        return torch.cat(parts) if parts else torch.empty(0)

    def named(self, vector: Tensor) -> dict[str, Tensor]:
        """The same by name, of a [B] vector."""
        return dict(zip(self.names, self._pieces(vector), strict=True))

    def _named(self) -> list[tuple[str, Tensor]]:
        found = dict(self._model.named_buffers())
        return [(name, found[name]) for name in self.names]

    def _pieces(self, vector: Tensor) -> list[Tensor]:
        shapes = [buffer.shape for _, buffer in self._named()]
        parts = vector.split([shape.numel() for shape in shapes])
        return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


def evaluation_mode(model: nn.Module, *, shared: bool = False) -> None:
    """No dropout; but batches normalised by themselves, unless statistics are ``shared``.

    Where only parameters are federated, running statistics of the clients never reach the server,
    and those a model starts with (mean 0, variance 1) describe nobody's data.
    """
    model.eval()
    if shared:
        return
    for module in model.modules():
        if isinstance(module, _NormBase) and module.track_running_stats:
            module.train()


@contextlib.contextmanager
def single_records_refused() -> Iterator[None]:
    """Say in our words what torch says when batch normalisation meets a batch of one record.

    Raises:
        UserError: that, and the remedy.
    """
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise UserError(
            "batch normalisation cannot take a batch of one record",
            where="model",
            remedy="choose a batch size that leaves no rest of one, or use GroupNorm",
        ) from error
