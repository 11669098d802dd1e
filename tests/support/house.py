"""The house: its rooms from the ground up, who imports whom, and the table of docs/architecture.md.

``python tests/support/house.py`` writes that table anew; a test compares.
"""

from __future__ import annotations

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"privaudit": "privaudit", "privaudit_attacks": "attacks"}
"""Import package -> where it lies in the source tree."""

FLOORS = [
    ["errors", "machine", "progress", "randomness", "source"],
    ["options"],
    ["accounting", "chain", "data", "engine", "statistics"],
    ["canaries", "defences", "models"],
    ["federation"],
    ["observation"],
    ["attack", "taps"],
    ["scenario"],
    ["custody"],
    ["world"],
    ["games"],
    ["experiment"],
    ["evaluation"],
    ["ledger"],
    ["report"],
    ["audit", "verify"],
    ["library", "studies"],
    ["privaudit"],
    ["doctor", "inventory", "selftest"],
    ["cli"],
    ["__main__"],
]
"""Rooms of ``privaudit`` from the ground up. A room imports from floors below, not from its own."""

DOCUMENT = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- python tests/support/house.py -->\n", "<!-- end -->\n"


def modules(*packages: str) -> dict[str, Path]:
    """Name -> file of every module of these packages."""
    found = {}
    for package in packages:
        folder = ROOT / FOLDERS[package]
        for file in sorted(folder.rglob("*.py")):
            parts = (package, *file.relative_to(folder).with_suffix("").parts)
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = file
    return found


def inside(file: Path, level: int) -> str:
    """The package that a relative import of this many dots starts from."""
    package = next(p for p, folder in FOLDERS.items() if file.is_relative_to(ROOT / folder))
    below = file.relative_to(ROOT / FOLDERS[package]).parts[:-level]
    return ".".join((package, *below))


@cache
def imports(file: Path) -> frozenset[str]:
    """Names a file imports: inside functions, and for types only, too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = inside(file, node.level) if node.level else ""
            source = ".".join(part for part in (start, node.module) if part)
            names = {f"{source}.{alias.name}" for alias in node.names}
            found |= {source, *names}
    return frozenset(found)


def first_party(module: str, known: dict[str, Path]) -> set[str]:
    """The modules of these that one imports; a package only where something else of it is meant."""
    found = {name for name in imports(known[module]) if name in known} - {module}
    within = {name.rpartition(".")[0] for name in found}
    return {
        name
        for name in found
        if not (name in within and known[name].name == "__init__.py")
        or any(i.rpartition(".")[0] == name and i not in known for i in imports(known[module]))
    }


def room_of(module: str) -> str:
    """``privaudit.chain.rpc`` is in the room ``chain``, the package itself in ``privaudit``."""
    package, *rest = module.split(".")
    return rest[0] if rest and package == "privaudit" else package


def arrows() -> dict[str, set[str]]:
    """Room -> rooms it imports; the attacks of this repository are one more room."""
    known = modules("privaudit", "privaudit_attacks")
    found: dict[str, set[str]] = {}
    for module in known:
        own = room_of(module)
        others = {room_of(name) for name in first_party(module, known)}
        found.setdefault(own, set()).update(others - {own})
    return found


def circles() -> None:
    """Raises ``graphlib.CycleError``, which names them, where modules import each other."""
    known = modules("privaudit", "privaudit_attacks")
    TopologicalSorter({module: first_party(module, known) for module in known}).prepare()


def purpose(room: str) -> str:
    """The first sentence of what a room says of itself."""
    folder = ROOT / FOLDERS.get(room, f"privaudit/{room}")
    file = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split())


def table() -> str:
    """Rooms from the top floor down, each with what it is for and what it imports."""
    below = arrows()
    rows = ["| room | what it is for | imports |", "|---|---|---|"]
    for floor in reversed(FLOORS):
        for room in [*floor, *(["privaudit_attacks"] if "scenario" in floor else [])]:
            used = ", ".join(sorted(below[room])) or "-"
            rows.append(f"| `{room}` | {purpose(room)} | {used} |")
    return "\n".join(rows) + "\n"


def with_table(text: str) -> str:
    """The document, its table made anew."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}{table()}{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    DOCUMENT.write_text(with_table(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
