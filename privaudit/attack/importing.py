"""Which places of its import path a process hands on to the one for attacks.

The folder that a command was typed in is on the path, so that ``my_models:Net`` may lie there. Who
has no model and no attack there does not show it to attacks: it may hold runs and data.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import entry_points
from pathlib import Path

from privaudit.attack.confine import editable, is_installed
from privaudit.attack.registry import GROUP


def needed(path: Sequence[str]) -> list[str]:
    """The entries of an import path that something was imported from, or attacks are installed in.

    Those of Python and its packages are always among them.
    """
    used = {*_imported_from(), *_with_attacks()}
    return [
        entry
        for entry in path
        if is_installed(entry)
        or any(Path(entry).is_relative_to(place) for place in (sys.prefix, sys.base_prefix))
        or Path(entry) in used
        or Path(entry).is_file()
    ]


def _imported_from() -> Iterator[Path]:
    """Where the modules of this process lie, packages left out that were installed as links."""
    linked = [Path(place) for place in editable()]
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or name == "__main__":
            continue
        place = Path(file)
        if any(place.is_relative_to(link) for link in linked):
            continue
        depth = name.count(".") + (place.stem == "__init__")
        if depth < len(place.parents):
            yield place.parents[depth]


def _with_attacks() -> Iterator[Path]:
    for point in entry_points(group=GROUP):
        if point.dist is not None:
            place, top = Path(str(point.dist.locate_file(""))), point.module.partition(".")[0]
            if (place / top).is_dir() or (place / f"{top}.py").is_file():
                yield place
