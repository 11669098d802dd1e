"""What the process for attacks may read from disk: Python, its packages, the system; nothing else.

On Linux with Landlock (kernel 5.13 and newer, without privileges) every other file is refused with
``PermissionError``: the run folder, scenarios, data sets, the user's files. The kernel then also
refuses what belongs to other processes: memory, environment and working folder in ``/proc``.
Elsewhere nothing is refused, and only what is *told* to attacks is limited.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

LIBRARIES = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/etc", "/nix")
KERNEL = ("/proc", "/sys", "/dev")
CODE = {".py", ".pyc", ".so", ".pyd", ".zip", ".egg", ".pth"}

CREATE, ADD, RESTRICT = 444, 445, 446
"""Numbers of Landlock's system calls, the same on every architecture."""
CAPABILITIES_VERSION = 0x20080522
PATH_BENEATH, NO_NEW_PRIVILEGES = 1, 38
READ_FILE, READ_FOLDER = 1 << 2, 1 << 3


def readable(path: Sequence[str]) -> list[str]:
    """What must be readable for everything on this import path to be imported.

    Of a folder of packages that are installed all of it; of another folder on the path, such as the
    user's own, its modules and packages only: the folder's data is no code.
    """
    found = {*LIBRARIES, *KERNEL, sys.prefix, sys.base_prefix, sys.exec_prefix, *_editable()}
    for entry in path:
        if Path(entry).name in ("site-packages", "dist-packages"):
            found.add(entry)
        elif not any(Path(entry).is_relative_to(place) for place in found):
            found |= set(_code_in(Path(entry)))
    return sorted(place for place in found if os.path.exists(place))


def _code_in(folder: Path) -> Iterator[str]:
    if folder.is_file():
        yield str(folder)  # an archive
    for child in _children(folder):
        described = child.suffix in (".dist-info", ".egg-info")
        if described or child.suffix in CODE or any(f.suffix in CODE for f in _children(child)):
            yield str(child)


def _children(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _editable() -> Iterator[str]:
    """Packages that were installed as links to a source tree (setuptools)."""
    for name, module in list(sys.modules.items()):
        if name.startswith("__editable__"):
            yield from getattr(module, "MAPPING", {}).values()


def confine(places: Iterable[str]) -> bool:
    """Let this process read below these files and folders only, for good; False: it cannot be done.

    Threads that are running already are not confined.
    """
    try:
        libc = ctypes.CDLL(None)
        _drop_capabilities(libc)
        rules = libc.syscall(CREATE, struct.pack("Q", READ_FILE | READ_FOLDER), 8, 0)
    except (OSError, AttributeError):
        return False
    if rules < 0:
        return False
    try:
        for place in places:
            if not _allow(libc, rules, place):
                return False
        if libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0):
            return False
        return bool(libc.syscall(RESTRICT, rules, 0) == 0)
    finally:
        os.close(rules)


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    """A process of the superuser could look into others all the same."""
    header, nothing = struct.pack("Ii", CAPABILITIES_VERSION, 0), bytes(24)
    libc.capset(header, nothing)


def _allow(libc: ctypes.CDLL, rules: int, place: str) -> bool:
    try:
        opened = os.open(place, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # gone in the meantime: it cannot be read in any case
        return True
    try:
        rights = READ_FILE | (READ_FOLDER if os.path.isdir(place) else 0)
        rule = struct.pack("=Qi", rights, opened)
        return bool(libc.syscall(ADD, rules, PATH_BENEATH, rule, 0) == 0)
    finally:
        os.close(opened)
