"""Gradients in which no record weighs more than a bound, behind noise: the steps of DP-SGD.

M. Abadi et al., Deep Learning with Differential Privacy, CCS 2016, algorithm 1: the gradient of
each record of a batch is clipped, Gaussian noise is added to their sum, and the sum divided by the
size of the batch. Here batches are passes over a client's records, of a size that does not depend
on what is in them, and not drawn by Poisson sampling.

opacus does the same with hooks on the layers of a module. The engine has what it takes, gradients
of single records for any module, so that steppers written for one model stay in use and noise comes
from our seeds; and opacus' account of it would not be ours (:mod:`privaudit.accounting`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from privaudit.engine.batched import BatchedStepper
from privaudit.engine.calling import each
from privaudit.engine.character import remarks_on
from privaudit.engine.samples import Samples
from privaudit.engine.stepper import Gradient, Stepper
from privaudit.errors import UserError

NUMBERS_AT_ONCE = 1 << 24
"""Gradients of single records in memory hold at most so many numbers (64 MB), at least one."""


@dataclass(frozen=True)
class Recordwise:
    """What is done to the gradient of a batch.

    Attributes:
        bound: L2 norm to which the gradient of each record is scaled down where it is longer.
        multiplier: deviation of the noise on each coordinate of their sum, in units of the bound.
    """

    bound: float
    multiplier: float


class RecordwiseStepper(Stepper):
    """Plain training by gradients that were treated record by record.

    Noise is drawn as dropout is: from torch's generator, which the engine lends its stream.

    Args:
        plain: computes the gradients; both work in the same model.
        treatment: what becomes of them.

    Raises:
        UserError: the model normalises over batches, so that no record has a gradient of its own.
    """

    def __init__(self, plain: Stepper, treatment: Recordwise) -> None:
        for remark in remarks_on(plain.model):
            raise UserError(
                f"no record has a gradient of its own, which is to be clipped: {remark}",
                where="defence dp-sgd",
                remedy="use GroupNorm, or a model without normalisation over batches",
            )
        super().__init__(plain.model, plain.layout, plain.device, plain.loss)
        self._plain, self._treatment = plain, treatment
        if type(plain) is Stepper:  # one record after the other; or, faster, all of a batch at once
            self._plain = BatchedStepper(plain.model, plain.layout, plain.device, plain.loss)

    def try_on(self, samples: Samples, batch: np.ndarray) -> str:
        """As :meth:`Stepper.try_on`; whatever a model can bear, records are treated one by one."""
        if self._plain.try_on(samples, batch):
            self._plain = Stepper(self.model, self.layout, self.device, self.loss)
            self._plain.try_on(samples, batch)
        self._innermost = self._plain._innermost
        return ""

    def gradients(self, samples: Samples, batches: Sequence[np.ndarray], out: Tensor) -> None:
        """As :meth:`Stepper.gradients`, treated."""
        for row, batch in zip(out, batches, strict=True):
            row.copy_(self._treated(*samples.batch(batch, self.device)))

    def step(self, inputs: Any, labels: Tensor) -> Gradient:
        """As :meth:`Stepper.step`, treated."""
        with torch.no_grad():
            logits = self.logits(inputs)
            loss, right = self.loss.mean(logits, labels), self.loss.correct(logits, labels)
        return loss, right, self.pieces(self._treated(inputs, labels).to(self.device))

    def _treated(self, inputs: Any, labels: Tensor) -> Tensor:
        """[P] mean of the clipped gradients of a batch, with noise; on the CPU."""
        bound, count = self._treatment.bound, len(labels)
        batch = Samples(each(inputs, lambda x: x.cpu()), labels.cpu())
        total = torch.zeros(self.layout.size)
        most = max(1, NUMBERS_AT_ONCE // self.layout.size)
        for first in range(0, count, most):
            single = [np.array([i]) for i in range(first, min(first + most, count))]
            rows = torch.empty(len(single), self.layout.size)
            self._plain.gradients(batch, single, rows)
            norms = torch.linalg.vector_norm(rows, dim=1)
            total += (bound / norms).clamp(max=1.0) @ rows
        lent = torch.default_generator
        drawn = torch.randn(self.layout.size, generator=lent)
        noise = self._treatment.multiplier * bound * drawn
        return (total + noise) / count
