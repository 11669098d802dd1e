"""How gradients of one model are computed: plain autograd; faster ways have the same methods.

A stepper holds the model's own parameters, the only copy there is: vectors of P numbers are loaded
into them and read from them. Convolutions run with the channels innermost (``channels_last``),
where a CPU convolves and pools faster; a model whose code needs the usual order gets it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from privaudit.engine.calling import arguments, each, logits_of
from privaudit.engine.layout import Layout
from privaudit.engine.losses import Loss
from privaudit.engine.samples import LocalUpdate, Samples

CROSS_ENTROPY = Loss()

Gradient = tuple[Tensor, Tensor, Sequence[Tensor]]
"""Mean loss of a batch, how many it classified correctly, and a gradient for each parameter."""


class Stepper:
    """Plain autograd, one batch after the other: exact for any model.

    Args:
        model: on ``device``, in training mode when it is called.
        layout: of its trainable parameters.
        loss: what is minimised.
    """

    clients_at_once = 1

    def __init__(
        self, model: nn.Module, layout: Layout, device: torch.device, loss: Loss = CROSS_ENTROPY
    ) -> None:
        self.model, self.layout, self.device, self.loss = model, layout, device, loss
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self._sizes = [piece.stop - piece.start for piece in layout.slices]
        self._innermost = any(isinstance(m, nn.Conv2d) for m in model.modules())
        self._order(torch.channels_last if self._innermost else torch.contiguous_format)

    def try_on(self, samples: Samples, batch: np.ndarray) -> str:
        """Find out with one batch what the model can bear; a remark for the user, or nothing."""
        if self._innermost:
            try:
                self.step(*samples.batch(batch, self.device))
            except RuntimeError:  # ``x.view(...)`` on what has its channels innermost
                self._innermost = False
                self._order(torch.contiguous_format)
        return ""

    @torch.no_grad()
    def load(self, vector: Tensor) -> None:
        """Make [P] numbers the parameters of the model."""
        for parameter, piece in zip(self.parameters, self.pieces(vector), strict=True):
            parameter.copy_(piece)

    def gradients(self, samples: Samples, batches: Sequence[np.ndarray], out: Tensor) -> None:
        """Mean gradient of each batch at the loaded parameters, into the rows of ``out`` [B, P]."""
        for row, batch in zip(out, batches, strict=True):
            # Copied once: a ``.grad`` that is a view of the row would have to be zeroed, then added
            # to, which moves each number twice as often.
            _, _, parts = self.step(*samples.batch(batch, self.device))
            for piece, part in zip(self.pieces(row), parts, strict=True):
                piece.copy_(part, non_blocking=self.device.type == "cuda")

    def train(
        self,
        start: Tensor,
        samples: Samples,
        batches: Sequence[np.ndarray],
        lr: float,
        momentum: float,
    ) -> LocalUpdate:
        """SGD from ``start`` [P], as ``torch.optim.SGD(lr, momentum)`` with fresh momentum."""
        self.load(start)
        velocity = [torch.zeros_like(p) for p in self.parameters] if momentum else None
        loss = correct = torch.zeros((), device=self.device)
        for batch in batches:
            mean, right, parts = self.step(*samples.batch(batch, self.device))
            loss, correct = loss + mean * len(batch), correct + right
            if velocity is not None:
                for speed, part in zip(velocity, parts, strict=True):
                    speed.mul_(momentum).add_(part)
                parts = velocity
            with torch.no_grad():
                for parameter, part in zip(self.parameters, parts, strict=True):
                    parameter.add_(part, alpha=-lr)
        seen = sum(len(batch) for batch in batches)
        return LocalUpdate(self.moved(start), float(loss) / seen, float(correct) / seen, seen)

    def train_many(
        self,
        start: Tensor,
        samples: Samples,
        clients: Sequence[Sequence[np.ndarray]],
        lr: float,
        momentum: float,
    ) -> list[LocalUpdate]:
        """At most ``clients_at_once`` clients from the same start."""
        return [self.train(start, samples, batches, lr, momentum) for batches in clients]

    def logits(self, inputs: Any) -> Tensor:
        """What the model says of a batch, in the order of memory that suits it."""
        if self._innermost:
            inputs = each(inputs, lambda x: channels_innermost(x) if x.dim() == 4 else x)
        by_place, by_name = arguments(inputs)
        return logits_of(self.model(*by_place, **by_name))

    def pieces(self, vector: Tensor) -> list[Tensor]:
        """Views of a [P] vector, one per parameter, in its shape."""
        parts = zip(vector.split(self._sizes), self.layout.slices, strict=True)
        return [part.view(piece.shape) for part, piece in parts]

    def step(self, inputs: Any, labels: Tensor) -> Gradient:
        """Loss and gradient of one batch at the parameters as they are."""
        logits = self.logits(inputs)
        loss = self.loss.mean(logits, labels)
        if self._innermost:
            _pool_backwards_innermost(loss)
        parts = torch.autograd.grad(
            loss, self.parameters, allow_unused=True, materialize_grads=True
        )
        return loss.detach(), self.loss.correct(logits.detach(), labels), parts

    @torch.no_grad()
    def moved(self, start: Tensor) -> Tensor:
        """[P] how far the parameters are from ``start``."""
        delta = torch.empty(self.layout.size)
        rows = zip(self.pieces(delta), self.parameters, self.pieces(start), strict=True)
        for piece, parameter, begun in rows:
            torch.sub(parameter.cpu(), begun, out=piece)
        return delta

    def _order(self, memory_format: torch.memory_format) -> None:
        for parameter in self.parameters:
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=memory_format)


def channels_innermost(images: Tensor) -> Tensor:
    """Images [b, C, H, W] with the channels innermost in memory, also where C is 1.

    With one channel both orders hold the same bytes; torch then goes by the strides, and only with
    these does a convolution hand its maps on with the channels innermost.
    """
    _, channels, height, width = images.shape
    strides = (height * width * channels, 1, width * channels, channels)
    return images.contiguous(memory_format=torch.channels_last).as_strided(images.shape, strides)


def _pool_backwards_innermost(loss: Tensor) -> None:
    """Have max-pooling get its slopes with the channels innermost, as its maps are.

    Behind a ``flatten`` slopes come in the usual order, and torch then copies the maps, four times
    as large, to that order and back.
    """
    waiting, seen = [loss.grad_fn], set[Node]()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            waiting += [before for before, _ in node.next_functions]
            if node.name() == "MaxPool2DWithIndicesBackward0":
                node.register_prehook(_slopes_innermost)


def _slopes_innermost(slopes: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    inner = torch.channels_last
    return tuple(
        slope if slope is None or slope.dim() != 4 else slope.contiguous(memory_format=inner)
        for slope in slopes
    )


LEAN: dict[type[nn.Module], type[Stepper]] = {}
"""Steppers written for one model class, equal to autograd up to rounding; models register them."""


def stepper_for(
    model: nn.Module, layout: Layout, device: torch.device, loss: Loss = CROSS_ENTROPY
) -> Stepper:
    """The lean stepper of exactly this class, if nobody changed the model; else plain autograd.

    Lean ones know no other loss than cross-entropy.
    """
    lean = LEAN.get(type(model))
    if lean is None or device.type != "cpu" or loss != CROSS_ENTROPY or _altered(model):
        return Stepper(model, layout, device, loss)
    return lean(model, layout, device)


def _altered(model: nn.Module) -> bool:
    """Frozen, hooked, or with layers other than torch's own: then the class says too little."""
    return any(not p.requires_grad for p in model.parameters()) or any(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or "forward" in vars(module)
        or (module is not model and not type(module).__module__.startswith("torch.nn.modules"))
        for module in model.modules()
    )
