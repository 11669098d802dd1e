"""The part of a model that nobody trains: what federations of adapters (LoRA) start from."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def frozen_digest(model: nn.Module) -> str | None:
    """SHA-256, in hex, of the parameters that are not trained; None where there are none.

    Over name, shape, type and bytes of each, in the order of ``named_parameters()``. Buffers are
    not in it: running statistics change while a model trains.
    """
    digest, found = hashlib.sha256(), False
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            found = True
            values = parameter.detach().cpu().contiguous()
            digest.update(f"{name} {list(values.shape)} {values.dtype}\n".encode())
            digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest() if found else None
