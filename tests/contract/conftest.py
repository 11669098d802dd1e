"""Fixtures of the contract tests: an artefact, and a fresh ledger on pyrevm per test.

``PRIVAUDIT_LEDGER_ARTEFACT`` points the suite at another artefact; the mutation run does that.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
for folder in (HERE, ROOT / "contracts"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from ledger_world import World, load_artefact  # noqa: E402


@pytest.fixture(scope="session")
def artefact() -> dict[str, Any]:
    """The contract under test."""
    return load_artefact()


@pytest.fixture
def world(artefact: dict[str, Any]) -> World:
    """A fresh chain with a deployed, funded ledger and six registered clients."""
    return World(artefact)


@pytest.fixture(scope="session")
def mocks() -> dict[str, Any]:
    """Compiled attacker contracts by name: abi and bytecode."""
    from vyper.compiler import compile_code

    compiled = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # selfdestruct is deprecated, and the point of Refuser
        for path in sorted((HERE / "mocks").glob("*.vy")):
            source = path.read_text(encoding="utf-8")
            compiled[path.stem] = compile_code(source, output_formats=["abi", "bytecode"])
    return compiled
