"""Where to compute: a device by name, or one line that says it is not there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from privaudit.errors import UserError

KINDS = ("cpu", "cuda", "mps", "xpu")


def device_named(name: str) -> torch.device:
    """The device ``cpu``, ``cuda``, ``cuda:1`` ...

    Raises:
        UserError: no such name, or no such device on this machine.
    """
    try:
        device = torch.device(name)
        if device.type not in KINDS:
            raise ValueError(device.type)
        torch.empty(1, device=device)
    except (RuntimeError, ValueError, AssertionError, NotImplementedError) as error:
        raise UserError(
            f"no device '{name}' here", where="device", remedy=f"use {', '.join(devices_here())}"
        ) from error
    return device


@contextlib.contextmanager
def as_on_a_cpu(device: torch.device) -> Iterator[None]:
    """Convolutions of a GPU in full single precision, and by algorithms that repeat themselves.

    By default they keep ten bits of each factor (TF32), which moves a gradient by a hundredth.
    """
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    ):
        yield


def devices_here() -> list[str]:
    """Names of the devices of this machine."""
    return ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
