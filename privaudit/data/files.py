"""Files under the data folder: where they are looked for, and whether they are the right ones."""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from privaudit.errors import UserError

DATA_VARIABLE = "PRIVAUDIT_DATA"


def default_data_dir() -> Path:
    """The folder from ``PRIVAUDIT_DATA``, else ``privaudit`` in the user's cache folder."""
    named = os.environ.get(DATA_VARIABLE)
    if named:
        return Path(named).expanduser()
    return _cache_dir() / "privaudit"


def _cache_dir() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or "~/AppData/Local").expanduser()
    if sys.platform == "darwin":
        return Path("~/Library/Caches").expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()


@dataclass(frozen=True)
class SourceFile:
    """One file of a data set that is not part of the package.

    Attributes:
        path: below the data folder, with forward slashes, e.g. ``"adult/adult.csv.gz"``.
        size: in bytes.
        sha256: hexadecimal.
        obtain: where to get it, for the error message.
    """

    path: str
    size: int
    sha256: str
    obtain: str

    def available(self, data_dir: Path) -> tuple[bool, str]:
        """Whether a file of the right size is there, and a phrase about it; reads no content."""
        path = data_dir / self.path
        if not path.is_file():
            return False, f"no file {path}"
        size = path.stat().st_size
        if size != self.size:
            return False, f"{path} has {size:,} bytes, not {self.size:,}"
        return True, str(path)

    def locate(self, data_dir: Path) -> Path:
        """The path of the file, once its size and checksum are right.

        Raises:
            UserError: missing (what, where looked for, where to get it) or not the right file
                (both checksums).
        """
        path = data_dir / self.path
        if not path.is_file():
            raise UserError(
                f"no file {self.path} in the data folder {data_dir}",
                remedy=f"{self.obtain}; name the folder with --data-dir or {DATA_VARIABLE}",
            )
        found = sha256_of(path)
        if found != self.sha256:
            raise UserError(
                f"{path} is not the expected file: sha256 {found}, expected {self.sha256}",
                remedy=self.obtain,
            )
        return path


def sha256_of(path: Path) -> str:
    """The sha256 (hex) of a file; computed once per process as long as the file stays the same.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        state = path.stat()
        return _sha256(str(path), state.st_mtime_ns, state.st_size)
    except OSError as problem:
        raise UserError(f"cannot read {path}: {problem.strerror or problem}") from None


@lru_cache(maxsize=64)
def _sha256(path: str, _modified_ns: int, _size: int) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_of_arrays(*arrays: np.ndarray) -> str:
    """The sha256 (hex) of types, shapes and values of arrays, for data without a source file."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
