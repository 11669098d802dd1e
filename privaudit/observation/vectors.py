"""How a vector of parameters lies in the file of a round (docs/trace.md)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

PRECISIONS: dict[str, torch.dtype] = {"single": torch.float32, "half": torch.bfloat16}
"""How values may be stored. ``half`` keeps the exponents of single precision, and 8 bits."""


SPARSE_BELOW = 0.4
"""Up to this density a vector is kept as indices and values (docs/trace.md)."""


def pack(name: str, vector: Tensor, precision: str = "single") -> dict[str, Tensor]:
    """A vector as it is or, where little of it is non-zero, as indices and values."""
    dtype = PRECISIONS[precision]
    vector = vector.detach().cpu()
    moved = vector.float().numpy() != 0  # numpy counts and finds places four times as fast
    if np.count_nonzero(moved) > SPARSE_BELOW * len(vector):
        return {name: vector.to(dtype).contiguous()}
    nonzero = torch.from_numpy(np.flatnonzero(moved))
    return {f"{name}/indices": nonzero.to(torch.int32), f"{name}/values": vector[nonzero].to(dtype)}


def apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors, copied where they share memory, which the file format refuses.

    A server's list of deltas holds the adversary's own once more.
    """
    known: set[int] = set()
    found = {}
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        found[name] = tensor.clone() if place in known else tensor
        known.add(place)
    return found


def is_packed(name: str, tensors: dict[str, Tensor]) -> bool:
    """Whether there is a vector of that name, or a part of one."""
    return any(key in tensors for key in (name, f"{name}/indices", f"{name}/values"))


def unpack(name: str, tensors: dict[str, Tensor], size: int) -> Tensor:
    """The [size] vector that :func:`pack` took.

    Raises:
        KeyError: there is none of that name.
        ValueError: it has another size or type, or an index outside the vector.
    """
    if name in tensors:
        vector = tensors[name]
        if vector.shape != (size,):
            raise ValueError(f"'{name}' is {tuple(vector.shape)}, not ({size},)")
        return numbers(name, vector)
    indices, values = tensors[f"{name}/indices"], tensors[f"{name}/values"]
    if indices.shape != values.shape or indices.ndim != 1:
        raise ValueError(
            f"'{name}' has {tuple(indices.shape)} indices, {tuple(values.shape)} values"
        )
    if indices.dtype not in (torch.int32, torch.int64):
        raise ValueError(f"'{name}/indices' is {indices.dtype}, not int32")
    if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < size:
        raise ValueError(f"'{name}/indices' are not all in 0 to {size - 1}")
    vector = torch.zeros(size)
    vector[indices.long()] = numbers(name, values)
    return vector


def numbers(name: str, vector: Tensor) -> Tensor:
    """The vector as float32; a federation that diverged has NaN in it."""
    if vector.dtype not in PRECISIONS.values():
        raise ValueError(f"'{name}' is {vector.dtype}, not float32 or bfloat16")
    return vector.float()
