"""Local training, mini-batch gradients and evaluation for any ``nn.Module``.

The parameters of the module are views into one flat buffer and their gradients views into another,
so that "load these global parameters" and "hand over this delta" are single copies of P numbers and
no client ever needs a model of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from privaudit.engine.layout import Layout
from privaudit.errors import UserError
from privaudit.randomness import Seed


@dataclass(frozen=True)
class Samples:
    """Records as tensors: ``inputs`` [N, ...] as stored (images stay bytes), ``labels`` [N]."""

    inputs: Tensor
    labels: Tensor

    @classmethod
    def of(cls, inputs: np.ndarray, labels: np.ndarray) -> Samples:
        """Tensors over copies of the arrays."""
        return cls(torch.from_numpy(np.array(inputs)), torch.from_numpy(np.array(labels)))

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class LocalUpdate:
    """What local training returns: ``delta`` [P] = w_local - w_global, and training diagnostics."""

    delta: Tensor
    loss: float
    accuracy: float
    samples: int


class Engine:
    """One model, evaluated at whatever parameters it is given.

    Args:
        model: any module that maps a batch of inputs to logits [b, classes]; its loss is the mean
            cross-entropy. Its own parameters are the initial ones.

    Raises:
        UserError: the model has no parameters, or normalises over the batch (its gradients would
            then depend on which records share a batch and its buffers on the order of the clients).
    """

    def __init__(self, model: nn.Module) -> None:
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        if not named:
            raise UserError(
                f"model {type(model).__name__} has no trainable parameters",
                where="model",
                remedy="use a module with parameters",
            )
        _refuse_batch_norm(model)
        self.model = model
        self.layout = Layout.of([(name, p.shape) for name, p in named])
        self._flat = torch.empty(self.layout.size)
        self._grad = torch.zeros(self.layout.size)
        for (_, parameter), piece in zip(named, self.layout.slices, strict=True):
            view = self._flat[piece.start : piece.stop].view(parameter.shape)
            view.copy_(parameter.data)
            parameter.data = view
            parameter.grad = self._grad[piece.start : piece.stop].view(parameter.shape)
        self.initial = self._flat.clone()

    def gradients(
        self, parameters: Tensor, samples: Samples, batches: Sequence[np.ndarray], seed: Seed
    ) -> Tensor:
        """Mean gradient of each batch at fixed parameters.

        Args:
            parameters: [P].
            samples: the records the batches index into.
            batches: B index arrays.
            seed: stream of whatever the model draws, such as dropout.

        Returns:
            [B, P] float32.
        """
        self._flat.copy_(parameters)
        out = torch.empty(len(batches), self.layout.size)
        with self._training_mode(seed):
            for row, batch in zip(out, batches, strict=True):
                self._backward(samples, batch)
                row.copy_(self._grad)
        return out

    def train(
        self,
        parameters: Tensor,
        samples: Samples,
        batches: Sequence[np.ndarray],
        *,
        lr: float,
        momentum: float,
        seed: Seed,
    ) -> LocalUpdate:
        """SGD from ``parameters`` over the batches in order; momentum starts at zero each time.

        Same update as ``torch.optim.SGD(lr, momentum)``. Loss and accuracy are means over the
        records seen, each at the parameters its batch was seen with.
        """
        assert batches, "a client that trains has at least one batch"
        self._flat.copy_(parameters)
        velocity = torch.zeros_like(self._flat) if momentum else None
        loss = correct = seen = 0.0
        with self._training_mode(seed):
            for batch in batches:
                batch_loss, batch_correct = self._backward(samples, batch)
                loss += batch_loss * len(batch)
                correct += batch_correct
                seen += len(batch)
                step = self._grad if velocity is None else velocity.mul_(momentum).add_(self._grad)
                self._flat.add_(step, alpha=-lr)
        return LocalUpdate(self._flat - parameters, loss / seen, correct / seen, int(seen))

    @torch.no_grad()
    def evaluate(
        self, parameters: Tensor, samples: Samples, batch_size: int = 512
    ) -> tuple[float, float]:
        """Mean loss and accuracy over all records (no dropout)."""
        self._flat.copy_(parameters)
        self.model.eval()
        loss = correct = 0.0
        for start in range(0, len(samples), batch_size):
            labels = samples.labels[start : start + batch_size]
            logits = self.model(prepare(samples.inputs[start : start + batch_size]))
            loss += float(nn.functional.cross_entropy(logits, labels, reduction="sum"))
            correct += float((logits.argmax(1) == labels).sum())
        return loss / len(samples), correct / len(samples)

    def _backward(self, samples: Samples, batch: np.ndarray) -> tuple[float, float]:
        index = torch.from_numpy(batch)
        labels = samples.labels[index]
        self._grad.zero_()
        logits = self.model(prepare(samples.inputs[index]))
        loss = nn.functional.cross_entropy(logits, labels)
        torch.autograd.backward(loss)
        return float(loss.detach()), float((logits.detach().argmax(1) == labels).sum())

    @contextlib.contextmanager
    def _training_mode(self, seed: Seed) -> Iterator[None]:
        self.model.train()
        # Dropout, as a layer or inside one, draws from torch's global generator: lend it our
        # stream, then put it back.
        with torch.random.fork_rng(devices=[]):
            # Not torch.manual_seed: it looks for accelerators each time, longer than a small step.
            torch.default_generator.manual_seed(seed.integer())
            yield


def prepare(inputs: Tensor) -> Tensor:
    """A batch as the models take it: byte images [b, H, W] become [b, 1, H, W] in 0..1."""
    if inputs.dtype == torch.uint8:
        return inputs.unsqueeze(1).float().div_(255.0)
    return inputs.long() if inputs.dtype == torch.int32 else inputs


def _refuse_batch_norm(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            raise UserError(
                f"layer '{name}' ({type(module).__name__}) normalises over the batch",
                where="model",
                remedy="use GroupNorm or LayerNorm: a delta must not depend on the other records",
            )
