"""Arrays out of .npz files: no pickled objects, no surprises in size, one-line errors."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from privaudit.errors import UserError

LIMIT = 4 * 1024**3
"""Largest decompressed size of the arrays read from one archive, in bytes."""


def array_names(path: Path) -> list[str]:
    """Names of the arrays in an archive, in its order.

    Raises:
        UserError: not a whole .npz archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [member.filename for member in archive.infolist()]
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError) as problem:
        raise UserError(f"{path} is not a whole .npz archive: {problem}") from None
    except OSError as problem:
        raise UserError(f"cannot read {path}: {problem.strerror or problem}") from None
    return [name.removesuffix(".npy") for name in names if name.endswith(".npy")]


def read_arrays(path: Path, names: Iterable[str]) -> dict[str, np.ndarray]:
    """The named arrays of an archive; the others are not decompressed.

    Raises:
        UserError: not a whole .npz archive, no array of that name (those there are listed), an
            array of Python objects, a header that does not fit its content, or more than
            :data:`LIMIT` bytes.
    """
    wanted = list(dict.fromkeys(names))
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive, wanted, path)
            return {name: _read_member(archive, name, path) for name in wanted}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as problem:
        raise UserError(f"{path} is not a whole .npz archive: {problem}") from None
    except OSError as problem:
        raise UserError(f"cannot read {path}: {problem.strerror or problem}") from None


def _check_members(archive: zipfile.ZipFile, wanted: list[str], path: Path) -> None:
    sizes = {
        member.filename.removesuffix(".npy"): member.file_size
        for member in archive.infolist()
        if member.filename.endswith(".npy")
    }
    missing = [name for name in wanted if name not in sizes]
    if missing:
        there = ", ".join(sorted(sizes)) or "(none)"
        raise UserError(f"{path} has no array '{missing[0]}'", remedy=f"arrays in it: {there}")
    total = sum(sizes[name] for name in wanted)
    if total > LIMIT:
        raise UserError(
            f"{path} unpacks to {total:,} bytes", remedy=f"at most {LIMIT:,} are accepted"
        )


def _read_member(archive: zipfile.ZipFile, name: str, path: Path) -> np.ndarray:
    """One array, read only after its header agrees with the size of the member."""
    member = f"{name}.npy"
    try:
        with archive.open(member) as stream:
            version = npy.read_magic(stream)
            read_header = (
                npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            )
            shape, _, dtype = read_header(stream)
            content = archive.getinfo(member).file_size - stream.tell()
        if dtype.hasobject:
            raise UserError(
                f"array '{name}' of {path} holds Python objects, which are not read",
                remedy="save numbers, booleans or fixed-length strings",
            )
        elements = 1
        for side in shape:
            elements *= side
        if elements * dtype.itemsize != content:
            raise UserError(f"array '{name}' of {path} is damaged: its header does not fit")
        with archive.open(member) as stream:
            return npy.read_array(stream, allow_pickle=False)
    except UserError:
        raise
    except (ValueError, RuntimeError) as problem:
        raise UserError(f"array '{name}' of {path} cannot be read: {problem}") from None
