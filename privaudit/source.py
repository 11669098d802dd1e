"""Whose code computed something: its distribution, its version, and a digest of its files.

Of a package all modules count, compiled ones included; of a module that lies in no package, its one
file. What that code imports from elsewhere is not in the digest.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import (
    Distribution,
    PackageNotFoundError,
    distribution,
    packages_distributions,
)
from importlib.util import find_spec
from pathlib import Path

SUFFIXES = {".py", ".pyd", ".so"}


@dataclass(frozen=True)
class Source:
    """Where code is from.

    Attributes:
        distribution: name of the installed distribution; empty for a file that nobody installed.
        version: of the distribution; empty likewise.
        digest: SHA-256, in hex, over the names and bytes of its files, sorted by name; empty for
            code that lies in no file.
    """

    distribution: str
    version: str
    digest: str


def source_of_package(package: str, owner: Distribution | None = None) -> Source:
    """Of a package or a single module, by its dotted name; ``owner`` is looked up where None.

    Raises:
        ImportError: there is no such package or module.
    """
    owner = owner or _owner(package.partition(".")[0])
    name, version = (owner.name, owner.version) if owner else ("", "")
    return Source(name, version, _digest(package))


def _owner(top: str) -> Distribution | None:
    for name in _owners().get(top, []):
        try:
            return distribution(name)
        except PackageNotFoundError:  # half uninstalled
            continue
    return None


@lru_cache(maxsize=1)
def _owners() -> Mapping[str, list[str]]:
    """Looked up once: it takes a third of a second."""
    return packages_distributions()


def _digest(package: str) -> str:
    """Empty for what was typed in, in a notebook or a prompt: it lies in no file."""
    files: list[tuple[str, Path]] = []
    try:
        spec = find_spec(package)
    except ValueError:  # a script: it runs as ``__main__`` and was found by no finder
        if package not in sys.modules:
            raise
        script = getattr(sys.modules[package], "__file__", None)
        return _digest_of([(Path(script).name, Path(script))]) if script else ""
    if spec is None:
        raise ImportError(f"no module named '{package}'")
    for place in spec.submodule_search_locations or []:
        root = Path(place)
        found = (f for f in root.rglob("*") if f.suffix in SUFFIXES and f.is_file())
        files += [(file.relative_to(root).as_posix(), file) for file in found]
    if not spec.submodule_search_locations and spec.origin:
        files = [(Path(spec.origin).name, Path(spec.origin))]
    return _digest_of(files)


def _digest_of(files: list[tuple[str, Path]]) -> str:
    digest = hashlib.sha256()
    for name, file in sorted(files):
        digest.update(f"{name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()
