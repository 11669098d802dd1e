"""A task by value: what it takes along to another machine, and what it brings home.

No disk is shared. A task is given the files it reads, works in an empty folder of its own, and
whatever lies there in the end comes back.
"""

from __future__ import annotations

import os
import pickle
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from privaudit.data.files import DATA_VARIABLE, default_data_dir
from privaudit.engine.files import write_whole

Files = dict[str, bytes]
"""Name below the run folder -> content."""

WRITTEN = (
    "audited",
    "evidence",
    "facts",
    "failures",
    "layers",
    "public",
    "scores",
    "traces",
    "training",
)
"""Folders of a run that tasks write to. Of others nothing is taken, whoever sends it."""

PREFIX = "privaudit-task-"

GONE = "gone"
"""How a task ended whose machine was no more: one that it was for, and no other."""


@dataclass(frozen=True)
class Parcel:
    """What goes out.

    Attributes:
        request: the task, its job and its item, in a pickle.
        files: what it reads of the run folder.
        home: that folder.
        path: where this machine looks for modules.
    """

    request: bytes
    files: Files
    home: str
    path: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """What comes home.

    Attributes:
        kind: how the task ended (:func:`.worker.said_of`), ``done``, ``vanished`` or :data:`GONE`.
        content: what goes with it, as JSON takes it; of ``vanished`` the exit code.
        files: what it wrote.
    """

    kind: str
    content: Any
    files: Files


def pack(request: bytes, reads: Iterable[str], home: str) -> Parcel:
    """All that a task needs elsewhere."""
    return Parcel(request, dict(_found(Path(home), reads)), home, tuple(sys.path))


@contextmanager
def unpacked(parcel: Parcel) -> Iterator[Path]:
    """A folder of this machine with the files that the task reads; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=PREFIX) as made:
        place = Path(os.path.realpath(made)) / "run"
        place.mkdir()
        for name, content in parcel.files.items():
            _put(place / name, content)
        yield place


def in_folder(place: Path, request: bytes) -> Any:
    """The task of a parcel, which takes this folder for the run folder; for a worker process."""
    task, job, item = pickle.loads(request)
    if hasattr(job, "folder"):
        job = replace(job, folder=place, data_dir=_data_here(job.data_dir))
    return task(job, item)


def made_in(place: Path, parcel: Parcel) -> Files:
    """What is new in that folder."""
    known = parcel.files
    return {name: made for name, made in _found(place, WRITTEN) if known.get(name) != made}


def at_home(content: Any, place: Path, home: str) -> Any:
    """An answer in which the folder it was made in has the name of the run folder."""
    if isinstance(content, str):
        return content.replace(str(place), home) if home else content
    if isinstance(content, list):
        return [at_home(part, place, home) for part in content]
    if isinstance(content, Mapping):
        return {key: at_home(part, place, home) for key, part in content.items()}
    return content


def keep(folder: Path, files: Files) -> None:
    """Write what came home; what says that a task is done comes last.

    Raises:
        ValueError: a name that no task of ours gives a file.
    """
    for name in files:
        parts = PurePosixPath(name).parts
        if len(parts) < 2 or parts[0] not in WRITTEN or ".." in parts:
            raise ValueError(f"a task sent a file called {name!r}")
    for name in sorted(files, key=lambda name: (_says_done(name), name)):
        _put(folder / name, files[name])


def _says_done(name: str) -> bool:
    return name.startswith("scores/") or (
        name.startswith("training/") and name.endswith(".safetensors")
    )


def _put(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, lambda partial: partial.write_bytes(content))


def _found(folder: Path, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Name and content of those files that are there, and of all files in the folders."""
    for name in names:
        place = folder / name
        for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if file.is_file() and not file.name.endswith(".partial"):
                yield file.relative_to(folder).as_posix(), file.read_bytes()


def _data_here(asked: Path | None) -> Path:
    """Where the data lie on this machine: as it says itself, or else where the sender has them."""
    if DATA_VARIABLE in os.environ or asked is None or not asked.is_dir():
        return default_data_dir()
    return asked
