"""An image whose gradient points where the observed one does.

J. Geiping, H. Bauermeister, H. Droege & M. Moeller, "Inverting Gradients - How easy is it to break
privacy in federated learning?", NeurIPS 2020, equation (4): the minimum over images in [0, 1] of

    1 - cos(gradient of the image, observed gradient) + weight * total variation,

by Adam on the sign of the gradient (their section 4), the step divided by ten after 3, 5 and 7
eighths of the steps. It is found anew from several random images; the one with the least loss is
the answer: the adversary has nothing else to choose by.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Matched:
    """The best of the restarts.

    Attributes:
        images: [b, C, H, W] in [0, 1].
        loss: what was minimised.
        cosine: of its gradient with the observed one.
    """

    images: np.ndarray
    loss: float
    cosine: float


def match_gradient(
    model: nn.Module,
    gradient: Sequence[Tensor],
    labels: np.ndarray,
    shape: tuple[int, int, int],
    *,
    rng: np.random.Generator,
    shared: Tensor | None = None,
    restarts: int = 2,
    steps: int = 600,
    step: float = 0.1,
    smoothness: float = 1e-2,
) -> Matched:
    """Images of a batch with known labels (:mod:`.labels`).

    Args:
        model: at the parameters before the round, in the mode the clients train in.
        gradient: of the mean loss, one tensor per parameter; any positive multiple will do.
        labels: [b].
        shape: channels, height and width.
        rng: what the first images come from.
        shared: [P] bool, the coordinates that were sent; None: all of them.
        restarts: first images, at least 1.
        steps: of each.
        step: length of the first ones.
        smoothness: weight of the total variation.
    """
    wanted = torch.cat([part.flatten() for part in gradient])
    if shared is not None:
        wanted = wanted[shared]
    wanted = wanted / torch.linalg.vector_norm(wanted).clamp_min(torch.finfo(wanted.dtype).tiny)
    tries = (
        _descend(model, wanted, shared, labels, shape, rng, steps, step, smoothness)
        for _ in range(restarts)
    )
    return min(tries, key=lambda found: found.loss)


def _descend(
    model: nn.Module,
    wanted: Tensor,
    shared: Tensor | None,
    labels: np.ndarray,
    shape: tuple[int, int, int],
    rng: np.random.Generator,
    steps: int,
    step: float,
    smoothness: float,
) -> Matched:
    start = rng.random((len(labels), *shape)).astype(np.float32)
    images = torch.from_numpy(start).requires_grad_(True)
    classes = torch.from_numpy(np.asarray(labels, dtype=np.int64))
    adam = torch.optim.Adam([images], lr=step)
    drops = [steps * eighths // 8 for eighths in (3, 5, 7)]
    slower = torch.optim.lr_scheduler.MultiStepLR(adam, milestones=drops, gamma=0.1)
    best = Matched(start, np.inf, -1.0)
    for _ in range(steps):
        cosine = _cosine(model, images, classes, wanted, shared)
        loss = 1 - cosine + smoothness * _total_variation(images)
        if loss.item() < best.loss:
            best = Matched(images.detach().numpy().copy(), loss.item(), cosine.item())
        (slope,) = torch.autograd.grad(loss, images)
        images.grad = slope.sign()
        adam.step()
        slower.step()
        with torch.no_grad():
            images.clamp_(0, 1)
    return best


def _cosine(
    model: nn.Module, images: Tensor, labels: Tensor, wanted: Tensor, shared: Tensor | None
) -> Tensor:
    loss = nn.functional.cross_entropy(model(images), labels)
    parameters = [p for p in model.parameters() if p.requires_grad]
    parts = torch.autograd.grad(loss, parameters, create_graph=True)
    found = torch.cat([part.flatten() for part in parts])
    if shared is not None:
        found = found[shared]
    tiny = torch.finfo(found.dtype).tiny
    return found @ wanted / torch.linalg.vector_norm(found).clamp_min(tiny)


def _total_variation(images: Tensor) -> Tensor:
    return images.diff(dim=2).abs().mean() + images.diff(dim=3).abs().mean()
