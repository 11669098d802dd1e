"""Local training by any rule: one step after the other of an optimiser of torch.

The gradients are those of the stepper, however it computes them; what becomes of them is torch's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from privaudit.engine.local_rule import LocalRule
from privaudit.engine.own_update import update_by_own
from privaudit.engine.samples import LocalUpdate, Samples
from privaudit.engine.stepper import Stepper
from privaudit.randomness import Seed


def train_by(
    stepper: Stepper,
    start: Tensor,
    samples: Samples,
    batches: Sequence[np.ndarray],
    rule: LocalRule,
    number: int,
    seed: Seed,
) -> LocalUpdate:
    """From ``start`` [P] over the batches, in round ``number``; the optimiser starts anew.

    Raises:
        UserError: a schedule ends before; code of the user's own fails.
    """
    stepper.load(start)
    if rule.options.client_update is None:
        loss, correct = _optimise(stepper, samples, batches, rule, number)
    else:
        loss, correct = update_by_own(stepper, samples, batches, rule.options, number, seed)
    seen = sum(len(batch) for batch in batches)
    return LocalUpdate(stepper.moved(start), loss / seen, correct / seen, seen)


def _optimise(
    stepper: Stepper,
    samples: Samples,
    batches: Sequence[np.ndarray],
    rule: LocalRule,
    number: int,
) -> tuple[float, float]:
    """Sums over the records seen: of their losses, and of the correct ones."""
    parameters, options = stepper.parameters, rule.options
    begun = [p.detach().clone() for p in parameters] if options.proximal else []
    optimiser = options.make(parameters, lr=rule.lr, momentum=rule.momentum)
    loss = correct = torch.zeros((), device=stepper.device)
    for step, batch in enumerate(batches):
        mean, right, parts = stepper.step(*samples.batch(batch, stepper.device))
        loss, correct = loss + mean * len(batch), correct + right
        # Copies: a gradient may be a view of others, and is changed in place below.
        slopes = [part.detach().clone() for part in parts]
        for slope, parameter, from_here in zip(slopes, parameters, begun, strict=False):
            slope.add_(parameter.detach() - from_here, alpha=options.proximal)
        for parameter, slope in zip(parameters, slopes, strict=True):
            parameter.grad = slope
        if options.clip_gradient is not None:
            nn.utils.clip_grad_norm_(parameters, options.clip_gradient)
        for group in optimiser.param_groups:
            group["lr"] = rule.rate(number, step, len(batches))
        optimiser.step()
    for parameter in parameters:
        parameter.grad = None
    return float(loss), float(correct)
