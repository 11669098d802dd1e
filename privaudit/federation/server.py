"""What the server makes of the averaged delta: FedAvg moves by it, others by a step of their own.

S. Reddi et al., "Adaptive Federated Optimization", ICLR 2021, Algorithm 2: FedAdam and FedYogi, no
correction of bias, and second moments that start at tau squared. FedAvgM is that of T.-M. H. Hsu et
al., "Measuring the Effects of Non-Identical Data Distribution for Federated Visual Classification",
2019, section 4.3.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from privaudit.options import Options


class ServerOptions(Options):
    """The server's optimiser: the table ``server``."""

    optimiser: Literal["fedavg", "fedavgm", "fedadam", "fedyogi"] = Field(
        "fedavg", description="fedavg, fedavgm, fedadam or fedyogi"
    )
    lr: float = Field(1.0, gt=0, le=1e6, description="server learning rate eta")
    beta1: float = Field(0.9, ge=0, lt=1, description="momentum of all but fedavg, in [0, 1)")
    beta2: float = Field(0.99, ge=0, lt=1, description="of the second moments, in [0, 1)")
    tau: float = Field(
        1e-3, gt=0, le=1e6, description="degree of adaptivity of fedadam and fedyogi, above 0"
    )


AVERAGE = ServerOptions()
"""FedAvg as it is: the model moves by the averaged delta."""


def server_step(options: ServerOptions, mean: Tensor, memory: dict[str, Any]) -> Tensor | None:
    """What the global model moves by.

    Args:
        options: of the server.
        mean: [P] the averaged delta; it is not changed.
        memory: what the optimiser keeps from round to round; empty at first.

    Returns:
        [P], or None: the averaged delta itself.
    """
    if options == AVERAGE:
        return None
    if options.optimiser == "fedavg":
        return options.lr * mean
    first = memory.get("first", torch.zeros_like(mean))
    if options.optimiser == "fedavgm":
        memory["first"] = options.beta1 * first + mean
        return options.lr * memory["first"]
    memory["first"] = options.beta1 * first + (1 - options.beta1) * mean
    second = memory.get("second", torch.full_like(mean, options.tau**2))
    square = mean**2
    if options.optimiser == "fedadam":
        memory["second"] = options.beta2 * second + (1 - options.beta2) * square
    else:
        memory["second"] = second - (1 - options.beta2) * square * torch.sign(second - square)
    return options.lr * memory["first"] / (memory["second"].sqrt() + options.tau)
