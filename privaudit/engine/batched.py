"""Many batches, or many clients, at once: for devices that one small batch cannot keep busy.

A vectorised map (``torch.func.vmap``) of the gradient over batches at shared parameters, and of
local training over clients that each have their own. Same results as one after the other, up to
rounding. On a CPU it is slower than that for most models (docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from privaudit.engine.calling import arguments, each, logits_of
from privaudit.engine.layout import Layout
from privaudit.engine.losses import Loss
from privaudit.engine.samples import LocalUpdate, Samples
from privaudit.engine.stepper import CROSS_ENTROPY, Stepper

NUMBERS_AT_ONCE = 1 << 28
"""Gradients computed at once hold at most so many numbers (1 GB); at least one is computed."""


class BatchedStepper(Stepper):
    """Batches of equal size, and clients whose batches have equal sizes, together."""

    def __init__(
        self, model: nn.Module, layout: Layout, device: torch.device, loss: Loss = CROSS_ENTROPY
    ) -> None:
        super().__init__(model, layout, device, loss)
        self._names = [piece.name for piece in layout.slices]
        self._fixed = {n: p for n, p in model.named_parameters() if not p.requires_grad}
        self.clients_at_once = max(1, min(256, NUMBERS_AT_ONCE // (4 * layout.size)))

    def try_on(self, samples: Samples, batch: np.ndarray) -> str:
        """Whether a vectorised map of this model works at all."""
        super().try_on(samples, batch)
        try:
            self.gradients(samples, [batch, batch], torch.empty(2, self.layout.size))
        except RuntimeError as error:
            reason = str(error).strip().split("\n")[0]
            return f"one batch after the other on {self.device}: it cannot be batched ({reason})"
        return ""

    def gradients(self, samples: Samples, batches: Sequence[np.ndarray], out: Tensor) -> None:
        """As :meth:`Stepper.gradients`, a group of equally large batches at a time."""
        gradient = vmap(self._gradient(), in_dims=(None, 0, 0), randomness="different")
        shared = dict(zip(self._names, [p.detach() for p in self.parameters], strict=True))
        for rows in self._groups([len(batch) for batch in batches]):
            parts, _ = gradient(shared, *self._stacked(samples, [batches[row] for row in rows]))
            found = torch.cat([parts[name].flatten(1) for name in self._names], 1)
            for row, gradient_of_one in zip(rows, found, strict=True):
                out[row].copy_(gradient_of_one, non_blocking=self.device.type == "cuda")

    def train(
        self,
        start: Tensor,
        samples: Samples,
        batches: Sequence[np.ndarray],
        lr: float,
        momentum: float,
    ) -> LocalUpdate:
        """One client is many of them."""
        return self.train_many(start, samples, [batches], lr, momentum)[0]

    def train_many(
        self,
        start: Tensor,
        samples: Samples,
        clients: Sequence[Sequence[np.ndarray]],
        lr: float,
        momentum: float,
    ) -> list[LocalUpdate]:
        """Clients with the same sizes of batches take their steps together."""
        shapes = [tuple(len(batch) for batch in client) for client in clients]
        updates: dict[int, LocalUpdate] = {}
        for sizes in dict.fromkeys(shapes):
            chosen = [number for number, shape in enumerate(shapes) if shape == sizes]
            found = self._train_alike(start, samples, [clients[c] for c in chosen], lr, momentum)
            updates |= dict(zip(chosen, found, strict=True))
        return [updates[number] for number in range(len(clients))]

    def _train_alike(
        self,
        start: Tensor,
        samples: Samples,
        clients: Sequence[Sequence[np.ndarray]],
        lr: float,
        momentum: float,
    ) -> list[LocalUpdate]:
        gradient = vmap(self._gradient(), in_dims=(0, 0, 0), randomness="different")
        begun = self.pieces(start.to(self.device))
        own = {
            name: piece.expand(len(clients), *piece.shape).clone()
            for name, piece in zip(self._names, begun, strict=True)
        }
        velocity = {name: torch.zeros_like(p) for name, p in own.items()} if momentum else None
        loss = correct = torch.zeros(len(clients), device=self.device)
        for batches in zip(*clients, strict=True):
            parts, (mean, right) = gradient(own, *self._stacked(samples, batches))
            loss, correct = loss + mean * len(batches[0]), correct + right
            for name, part in parts.items():
                step = part
                if velocity is not None:
                    step = velocity[name].mul_(momentum).add_(part)
                own[name].sub_(step, alpha=lr)
        moved = torch.cat(
            [(own[n] - b).flatten(1) for n, b in zip(self._names, begun, strict=True)], 1
        ).cpu()
        seen = sum(len(batch) for batch in clients[0])
        return [
            LocalUpdate(delta, total / seen, right / seen, seen)
            for delta, total, right in zip(moved, loss.tolist(), correct.tolist(), strict=True)
        ]

    def _gradient(self) -> Callable[..., Any]:
        """(parameters, inputs, labels) -> gradients by name, (mean loss, number correct)."""

        def loss(parameters: dict[str, Tensor], inputs: Any, labels: Tensor) -> Any:
            every = {**parameters, **self._fixed}
            logits = logits_of(functional_call(self.model, every, *arguments(inputs)))
            return self.loss.mean(logits, labels), self.loss.correct(logits.detach(), labels)

        return grad_and_value(loss, has_aux=True)

    def _stacked(self, samples: Samples, batches: Sequence[np.ndarray]) -> tuple[Any, Tensor]:
        """Inputs [n, b, ...] and labels [n, b] of n equally large batches."""
        inputs, labels = samples.batch(np.concatenate(batches), self.device)
        shape = (len(batches), len(batches[0]))
        return each(inputs, lambda one: one.unflatten(0, shape)), labels.unflatten(0, shape)

    def _groups(self, sizes: Sequence[int]) -> list[list[int]]:
        """Numbers of the batches computed at once."""
        most = max(1, NUMBERS_AT_ONCE // self.layout.size)
        order = sorted(range(len(sizes)), key=lambda number: sizes[number])
        return [
            alike[first : first + most]
            for _, group in groupby(order, key=lambda number: sizes[number])
            for alike in [list(group)]
            for first in range(0, len(alike), most)
        ]
