"""Imports go down the house, and an attack cannot reach the ground truth."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from house import (
    DOCUMENT,
    FLOORS,
    FOLDERS,
    ROOT,
    circles,
    first_party,
    imports,
    modules,
    room_of,
    with_table,
)

FORBIDDEN_TO_ATTACKS = (
    "privaudit.data",
    "privaudit.federation.partition",
    "privaudit.federation.schedule",
    "privaudit.federation.assignment",
    "privaudit.federation.phases",
    "privaudit.federation.rounds",
    "privaudit.federation.rewards",
    "privaudit.world",
    "privaudit.games",
    "privaudit.world",
    "privaudit.games",
    "privaudit.experiment",
    "privaudit.evaluation",
    "privaudit.scenario",
    "privaudit.report",
    "privaudit.chain",
    "privaudit.custody",
    "privaudit.ledger",
    "privaudit.studies",
    "privaudit.verify",
    "privaudit.audit",
)
"""Whoever holds one of these can learn which rounds held the property, or who holds what."""


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


FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def test_every_room_stands_on_a_floor() -> None:
    assert {room_of(module) for module in modules("privaudit")} == set(FLOOR)


@pytest.mark.parametrize("module", modules("privaudit"))
def test_imports_go_down(module: str) -> None:
    own = room_of(module)
    used = {room_of(name) for name in first_party(module, modules("privaudit"))} - {own}
    assert {room for room in used if FLOOR[room] >= FLOOR[own]} == set()


def test_no_modules_import_each_other() -> None:
    circles()


def test_imports_for_types_count(tmp_path: Path) -> None:
    file = tmp_path / "typed.py"
    file.write_text("if TYPE_CHECKING:\n    from privaudit.audit import run_audit\n")
    assert "privaudit.audit" in imports(file)


def test_the_drawing_is_that_of_today() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert with_table(text) == text, "run: python tests/support/house.py"


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
    assert not leaks


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
    assert not {m for m in loaded if m.startswith(FORBIDDEN_TO_ATTACKS)}


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


STATISTICS = ("pandas", "scipy.stats", "matplotlib")
LIGHT = {
    "privaudit": ("torch", *STATISTICS),
    "privaudit.cli": ("torch", *STATISTICS),
    "privaudit.audit": STATISTICS,  # of the report, hours after the first round
    "privaudit.experiment.tasks": STATISTICS,
}


@pytest.mark.parametrize("module", LIGHT)
def test_importing_is_light(module: str) -> None:
    program = f"import sys, {module}; print(*{{*{LIGHT[module]}}} & {{*sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
