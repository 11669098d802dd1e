"""Imports go one way, and an attack cannot reach the ground truth."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

LAYERS = [
    ["errors", "randomness", "source"],
    ["data", "engine", "statistics"],
    ["models", "federation"],
    ["observation"],
    ["attack"],
    ["ledger.rewards", "ledger.evidence", "ledger.hashes"],
    ["scenario"],
    ["experiment"],
    ["evaluation"],
    ["ledger"],
    ["report"],
    ["ledger.verification", "ledger.verify_report"],
    ["audit", "inventory", "memory", "doctor", "trial"],
    ["library", "estimate"],
    ["dilution", "sweep"],
    ["report.dilution", "report.sweep", "selftest"],
    ["cli"],
]
"""A module may import from its own layer and from those above it in this list."""

FORBIDDEN_TO_ATTACKS = (
    "privaudit.data",
    "privaudit.federation.partition",
    "privaudit.federation.schedule",
    "privaudit.federation.assignment",
    "privaudit.federation.phases",
    "privaudit.federation.rounds",
    "privaudit.experiment",
    "privaudit.evaluation",
    "privaudit.scenario",
    "privaudit.report",
    "privaudit.ledger",
    "privaudit.audit",
)
"""Whoever holds one of these can learn which rounds held the property, or who holds what."""

HARMLESS = ("privaudit.data", "privaudit.data.options")
"""The check of options against a type, and the empty package it lies in: no data, no loader."""


FOLDERS = {"privaudit": "privaudit", "privaudit_attacks": "attacks"}
"""Import package -> where it lies in the source tree."""


def modules(*packages: str) -> dict[str, Path]:
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
    """Names of the modules a file imports, inside functions too; type-only imports left out."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    skipped = {
        id(node)
        for guard in ast.walk(tree)
        if isinstance(guard, ast.If) and "TYPE_CHECKING" in ast.dump(guard.test)
        for node in ast.walk(guard)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            source = f"{inside(file, node.level)}.{node.module}" if node.level else node.module
            found.add(source)
            found |= {f"{source}.{alias.name}" for alias in node.names}
    return frozenset(found)


def layer_of(module: str) -> int | None:
    """The layer with the longest matching name."""
    name = module.removeprefix("privaudit.")
    matches = [
        (len(entry), index)
        for index, layer in enumerate(LAYERS)
        for entry in layer
        if name == entry or name.startswith(f"{entry}.")
    ]
    return max(matches)[1] if matches else None


def reached(start: str, known: dict[str, Path]) -> set[str]:
    """Every first-party module that importing ``start`` may import, directly or not."""
    seen, queue = set(), [start]
    while queue:
        module = queue.pop()
        if module in seen:
            continue
        seen.add(module)
        queue += [name for name in imports(known[module]) if name in known]
    return seen


def test_every_module_has_a_layer() -> None:
    homeless = [
        name
        for name in modules("privaudit")
        if layer_of(name) is None and name not in ("privaudit", "privaudit.__main__")
    ]
    assert not homeless


@pytest.mark.parametrize("module", modules("privaudit"))
def test_imports_go_one_way(module: str) -> None:
    known = modules("privaudit")
    own = layer_of(module)
    if own is None:
        return
    upwards = {
        name
        for name in imports(known[module])
        if name in known and (other := layer_of(name)) is not None and other > own
    }
    assert not upwards


def test_relative_imports_are_followed() -> None:
    known = modules("privaudit_attacks")
    assert "privaudit_attacks.coordinates" in imports(known["privaudit_attacks.magnitude_stack"])


def test_every_package_is_in_the_wheel() -> None:
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = [
        name
        for name, file in modules("privaudit", "privaudit_attacks").items()
        if file.name == "__init__.py"
    ]
    assert sorted(stated["packages"]) == sorted(found), "add the new package to pyproject.toml"
    assert stated["package-dir"] == {p: f for p, f in FOLDERS.items() if p != f}


def test_the_core_never_names_the_attacks() -> None:
    for name, file in modules("privaudit").items():
        assert not {i for i in imports(file) if i.split(".")[0] == "privaudit_attacks"}, name


@pytest.mark.parametrize("attack", modules("privaudit_attacks"))
def test_attacks_reach_no_ground_truth(attack: str) -> None:
    known = modules("privaudit", "privaudit_attacks")
    leaks = {
        name
        for name in reached(attack, known)
        if any(name == f or name.startswith(f"{f}.") for f in FORBIDDEN_TO_ATTACKS)
    }
    assert leaks <= set(HARMLESS)


def test_attacks_reach_no_ground_truth_at_run_time() -> None:
    program = (
        "import sys, importlib, json\n"
        "from privaudit.attack.registry import registered\n"
        "for points in registered().values(): points[0].load()\n"
        "print(json.dumps(sorted(m for m in sys.modules if m.startswith('privaudit'))))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = ast.literal_eval(done.stdout)
    assert "privaudit.attack.protocol" in loaded  # the probe works
    assert {m for m in loaded if m.startswith(FORBIDDEN_TO_ATTACKS)} <= set(HARMLESS)


OWN_STREAMS = {"Generator", "PCG64", "SeedSequence"}
"""What may be called of ``numpy.random``: everything else draws, or seeds, somebody else's."""
TORCH_DRAWS = {"rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial"}
LENDS_A_STREAM = {"privaudit.engine.engine", "privaudit.models.build"}
"""Where torch's global generator is seeded inside ``fork_rng``, because layers know no other."""


@pytest.mark.parametrize("module", modules("privaudit", "privaudit_attacks"))
def test_no_global_randomness(module: str) -> None:
    tree = ast.parse(modules("privaudit", "privaudit_attacks")[module].read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = [ast.unparse(call.func) for call in calls]
    numpy = [n for n in names if n.startswith(("np.random.", "numpy.random."))]
    assert not [n for n in numpy if n.split(".")[-1] not in OWN_STREAMS]
    assert not [n for n in names if n.startswith("random.")]
    for name, call in zip(names, calls, strict=True):
        if name.startswith("torch.") and name.split(".")[-1] in TORCH_DRAWS:
            assert "generator" in {keyword.arg for keyword in call.keywords}, ast.unparse(call)
    if module not in LENDS_A_STREAM:
        assert "torch.manual_seed" not in names


def test_importing_the_package_is_light() -> None:
    program = "import sys, privaudit; print('torch' in sys.modules, 'pandas' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]
