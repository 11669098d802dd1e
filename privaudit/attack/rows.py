"""Vectors of a round as the rows of one tensor, however large: many bytes lie in a file.

The tensor is like any other; of a large one only the part that is being looked at is in memory, if
whoever looks at it a row or some columns at a time lets go of them (:func:`let_go`).
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterable
from typing import IO
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import Tensor

IN_MEMORY = 1 << 27
"""Bytes that are simply kept in memory."""

_files: WeakValueDictionary[int, mmap.mmap] = WeakValueDictionary()
"""Where a tensor begins -> the file that it lies in, which goes with the last view of it."""


def fit(count: int, size: int) -> bool:
    """Whether so many vectors of this size are kept in memory."""
    return 4 * count * size <= IN_MEMORY


def gathered(vectors: Iterable[Tensor], count: int, size: int) -> Tensor:
    """[count, size] float32 of so many vectors [size], which come one after the other.

    Raises:
        OSError: there is no room for the file.
    """
    if fit(count, size):
        rows = torch.empty(count, size)
        for row, vector in zip(rows, vectors, strict=True):
            row.copy_(vector)
        return rows
    # Without a name: it is gone with this process, however that ends.
    with tempfile.TemporaryFile(buffering=0) as file:
        for vector in vectors:
            _write(file, vector.float().contiguous().numpy().data.cast("B"))
        # What an attack writes there all the same stays in its memory.
        held = mmap.mmap(file.fileno(), 4 * count * size, access=mmap.ACCESS_COPY)
    array = np.frombuffer(held, np.float32).reshape(count, size)
    _files[array.ctypes.data] = held
    return torch.from_numpy(array)


def _write(file: IO[bytes], bytes_left: memoryview) -> None:
    """All of it: the system takes no more than 2 GB at once."""
    while bytes_left:
        try:
            bytes_left = bytes_left[file.write(bytes_left) :]
        except OSError as error:
            what = f"{error.strerror}, for shadows of a round"
            raise OSError(error.errno, what, tempfile.gettempdir()) from error


def in_file(rows: Tensor) -> bool:
    """Whether they, or what they are a part of, lie in a file."""
    return rows.untyped_storage().data_ptr() in _files


def let_go(rows: Tensor) -> None:
    """What has been read of them is no longer held in memory, where they lie in a file."""
    held = _files.get(rows.untyped_storage().data_ptr())
    if held is not None and hasattr(mmap, "MADV_DONTNEED"):
        held.madvise(mmap.MADV_DONTNEED)
