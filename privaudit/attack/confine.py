"""What the process for attacks may read from disk: Python, its packages, the system; nothing else.

On Linux with Landlock (kernel 5.13 and newer, without privileges) every other file is refused with
``PermissionError``: the run folder, scenarios, data sets, the user's files. The kernel then also
refuses what belongs to other processes in ``/proc``: memory, environment, command line. It writes
in its own folder only, so that it leaves nothing for another process to find.
Elsewhere nothing is refused, and only what is *told* to attacks is limited.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path

LIBRARIES = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/etc", "/nix")
KERNEL = (
    *("/sys", "/proc/self", "/proc/sys", "/proc/driver"),
    *(f"/proc/{name}" for name in ("cpuinfo", "meminfo", "stat", "filesystems", "version")),
    *(f"/proc/{name}" for name in ("devices", "modules")),  # a GPU's library looks there
)
"""Not all of ``/proc``: the command lines of other processes say where a run lies, and its seed."""
DEVICES = (
    *("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"),
    *("/dev/nvidia*", "/dev/dri", "/dev/kfd"),
)
"""Not all of ``/dev``: ``/dev/shm`` is a folder like any other."""
THREADS = "/proc/self/task"
"""Where NVIDIA's library writes the names of its threads of this process; refused, it gives up."""
DESCRIPTIONS = {".dist-info", ".egg-info"}
"""Of installed distributions."""
CODE = {".py", ".pyc", ".so", ".pyd", ".pth"}

CREATE, ADD, RESTRICT = 444, 445, 446
"""Numbers of Landlock's system calls, the same on every architecture."""
CAPABILITIES_VERSION = 0x20080522
PATH_BENEATH, NO_NEW_PRIVILEGES = 1, 38
READ_FILE, READ_FOLDER = 1 << 2, 1 << 3
WRITE = 1 << 1 | sum(1 << right for right in range(4, 13))
"""To write a file, remove one, and make one of any kind: of the first version of Landlock."""
FILE = READ_FILE | 1 << 1
"""Rights that a file has; the others are of folders."""


@dataclass(frozen=True)
class Readable:
    """What may be read.

    Attributes:
        whole: files, and folders with all that lies below.
        names: folders of which all names below may be listed, and no content read.
        written: files and folders that may be written, too.
    """

    whole: tuple[str, ...]
    names: tuple[str, ...] = ()
    written: tuple[str, ...] = ()


def readable(path: Sequence[str]) -> Readable:
    """What must be readable for everything on this import path to be imported.

    Of a folder of packages that are installed all of it; of another folder on the path, such as the
    user's own, its modules and packages only: the data that lie there are no code.
    """
    whole = {*LIBRARIES, *KERNEL, sys.prefix, sys.base_prefix, sys.exec_prefix, *editable()}
    whole |= {e for e in path if is_installed(e)}
    names = {e for e in path if not any(Path(e).is_relative_to(place) for place in whole)}
    for entry in names:
        whole |= {str(found) for found in _code_in(Path(entry))}
    devices = [found for pattern in DEVICES for found in glob(pattern)]
    devices += [THREADS] * any("nvidia" in found for found in devices)
    return Readable(
        *(tuple(sorted(filter(os.path.exists, places))) for places in (whole, names, devices))
    )


def is_installed(entry: str) -> bool:
    """Whether a place on an import path is one for packages, and nothing else."""
    return Path(entry).name in ("site-packages", "dist-packages")


def _code_in(folder: Path) -> Iterator[Path]:
    """Modules, packages and descriptions of distributions; of another folder below its modules."""
    if folder.is_file():
        yield folder  # an archive
    for child in _children(folder):
        package = child.suffix in DESCRIPTIONS or (child / "__init__.py").is_file()
        if package or child.suffix in CODE:
            yield child
        else:
            yield from (file for file in _children(child) if file.suffix in CODE)


def _children(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def editable() -> Iterator[str]:
    """Packages that were installed as links to a source tree (setuptools)."""
    for name, module in list(sys.modules.items()):
        if name.startswith("__editable__"):
            yield from getattr(module, "MAPPING", {}).values()


def confine(places: Readable) -> bool:
    """Let this process read and write these places only, for good; False: it cannot be done.

    Threads that are running already are not confined.
    """
    try:
        libc = ctypes.CDLL(None)
        _drop_capabilities(libc)
        rules = libc.syscall(CREATE, struct.pack("Q", READ_FILE | READ_FOLDER | WRITE), 8, 0)
    except (OSError, AttributeError):
        return False
    if rules < 0:
        return False
    try:
        allowed = [_allow(libc, rules, place, READ_FILE | READ_FOLDER) for place in places.whole]
        allowed += [_allow(libc, rules, place, READ_FOLDER) for place in places.names]
        everything = READ_FILE | READ_FOLDER | WRITE
        allowed += [_allow(libc, rules, place, everything) for place in places.written]
        if not all(allowed):
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


def _allow(libc: ctypes.CDLL, rules: int, place: str, rights: int) -> bool:
    try:
        opened = os.open(place, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # gone in the meantime: it cannot be read in any case
        return True
    try:
        if not os.path.isdir(place):
            rights &= FILE
        rule = struct.pack("=Qi", rights, opened)
        return not rights or bool(libc.syscall(ADD, rules, PATH_BENEATH, rule, 0) == 0)
    finally:
        os.close(opened)
