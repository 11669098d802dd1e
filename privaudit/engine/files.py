"""Files that appear under their name only when they are whole."""

from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def write_whole(file: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a file beside it, which then takes its name; or nothing is left.

    Raises:
        OSError: of the system, with the name of the file.
    """
    partial = file.with_name(f"{file.name}.partial")
    try:
        write(partial)
        partial.replace(file)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(file)) from error
        raise


def write_once(file: Path, write: Callable[[Path], object]) -> None:
    """As :func:`write_whole`, unless the file is there; of several processes the first one wins.

    Where a file system has no hard links, of two that write at the same moment the last one does.

    Raises:
        OSError: of the system.
    """
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.{os.getpid()}-{threading.get_ident()}.partial")
    try:
        write(partial)
        try:
            os.link(partial, file)
        except FileExistsError:
            pass
        except OSError:
            partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def write_tensors(
    file: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """A safetensors file, written to the path as it is.

    Raises:
        OSError: the disk is full or the like; safetensors itself calls that by another name.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(dict(tensors), file, metadata=dict(metadata) if metadata else None)
    except SafetensorError as error:
        found = re.search(r"(?:code: |os error )(\d+)", str(error))  # from version to version
        if found is None:
            raise
        number = int(found[1])
        raise OSError(number or errno.EIO, os.strerror(number), str(file)) from error
