"""Cores, memory, device, disk, and folders that must be writable."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from privaudit import machine as this
from privaudit.doctor.finding import Finding

GIB = 2**30
LITTLE_MEMORY, LITTLE_PER_CORE = 1.0, 0.5
"""GiB free below which a run will fail, and per worker process below which it is tight: a worker
on the bundled data takes about 0.3 GiB, with the strong attack on a large model more."""
LITTLE_DISK, TIGHT_DISK = 0.5, 5.0
"""GiB; traces of a large scenario take several."""


def cores() -> Iterator[Finding]:
    """Cores this process may use: one worker process runs on each."""
    yield Finding("cores", "ok", f"{this.cores()} usable")


def memory() -> Iterator[Finding]:
    """Memory that is free now, also below a container's limit."""
    free = this.free_memory()
    if free is None:
        yield Finding("memory", "note", "this system does not say how much is free")
        return
    found = f"{free / GIB:.1f} GiB free"
    if free < LITTLE_MEMORY * GIB:
        remedy = f"Free at least {LITTLE_MEMORY:g} GiB, or run with --workers 1."
        yield Finding("memory", "problem", found, remedy)
    elif free < LITTLE_PER_CORE * GIB * this.cores():
        yield Finding("memory", "note", f"{found}: use fewer --workers than cores")
    else:
        yield Finding("memory", "ok", found)


def device() -> Iterator[Finding]:
    """What torch computes on: the CPU, unless a command is told otherwise."""
    import torch

    found = "CPU"
    if torch.cuda.is_available():
        found = f"CPU; with --device cuda {torch.cuda.get_device_name(0)}"
    yield Finding("device", "ok", f"{found}, torch {torch.__version__}")


def disk() -> Iterator[Finding]:
    """Room where runs are written by default, and for temporary files."""
    places = {"current folder": Path.cwd(), "temporary folder": Path(tempfile.gettempdir())}
    for name, place in places.items():
        free = shutil.disk_usage(_existing(place)).free / GIB
        found = f"{free:.1f} GiB free ({place})"
        if free < LITTLE_DISK:
            remedy = f"Free {LITTLE_DISK:g} GiB there, or write runs elsewhere with --out."
            yield Finding(f"disk, {name}", "problem", found, remedy)
        else:
            yield Finding(f"disk, {name}", "note" if free < TIGHT_DISK else "ok", found)


def writable() -> Iterator[Finding]:
    """May files be made in the current and the temporary folder, and in that for data?

    Only downloads are written to the last one: that it is read-only may be what its owner wants.
    """
    from privaudit.data.files import default_data_dir

    yield _writable("current folder", Path.cwd(), "Change to a folder of yours, or give --out.")
    cache = _writable("data folder", default_data_dir(), "")
    yield cache if cache.status == "ok" else replace(cache, status="note")
    try:
        place = Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        yield Finding(
            "write, temporary folder", "problem", str(error), "Set TMPDIR to a folder of yours."
        )
    else:
        yield _writable("temporary folder", place, "Set TMPDIR to a folder of yours.")


def _writable(name: str, place: Path, remedy: str) -> Finding:
    """Tried, not asked: permissions do not tell of a file system that is mounted read-only."""
    try:
        with tempfile.TemporaryFile(dir=_existing(place)):
            return Finding(f"write, {name}", "ok", str(place))
    except OSError as error:
        found = f"{place}: {error.strerror or error}"
        return Finding(f"write, {name}", "problem", found, remedy)


def _existing(place: Path) -> Path:
    """The folder itself, or the nearest one above it: where it would be made."""
    return next((p for p in (place, *place.parents) if p.exists()), place)
