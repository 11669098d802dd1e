"""Finished runs that are forged in copies: embedded, without a ledger, on a node."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
for folder in (HERE, HERE.parent / "ledger"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from anvil_node import Node, anvil_or_skip  # noqa: E402
from ledger_runs import small_scenario  # noqa: E402

from privaudit.audit import run_audit  # noqa: E402
from privaudit.chain.keystore import create_keystore  # noqa: E402
from privaudit.custody.folder import RunFolder  # noqa: E402
from privaudit.custody.manifest import all_files, file_sha256  # noqa: E402
from privaudit.ledger.place import Place  # noqa: E402
from privaudit.report import write  # noqa: E402
from privaudit.verify import report as verify_report  # noqa: E402

SETTINGS = ('audit.properties=["bold","italic"]', "audit.fractions=[1.0]", "audit.rounds=6")


@pytest.fixture(scope="session", autouse=True)
def drawn_once() -> Iterator[None]:
    """A report is a pure function of other files of its run: the same files are drawn once."""
    known: dict[tuple[str, ...], dict[str, str]] = {}
    render = write.render_report

    def remembered(folder: RunFolder) -> dict[str, str]:
        read = ("ledger/book.jsonl", "ledger/audits.jsonl")
        names = [n for n in all_files(folder.path) if "/" not in n or n in read or is_of_rounds(n)]
        names = [n for n in names if n not in ("manifest.json", "seal.json")]
        key = tuple(f"{name} {file_sha256(folder.file(name))}" for name in names)
        if key not in known:
            known[key] = render(folder)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "render_report", remembered)
        patch.setattr(verify_report, "render_report", remembered)
        yield


def is_of_rounds(name: str) -> bool:
    training = name.startswith("training/") and name.endswith(".jsonl")
    return training or name.startswith("audited/")


def finished(factory: pytest.TempPathFactory, *more: str, place: Place | None = None) -> Path:
    out = factory.mktemp("forged") / "run"
    run_audit(small_scenario(*SETTINGS, *more), out, workers=1, place=place)
    return out


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory)


@pytest.fixture(scope="session")
def without(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory, "ledger.enabled=false")


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of another seed."""
    return finished(tmp_path_factory, "seed=2", "ledger.enabled=false")


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    with Node(anvil_or_skip()) as running:
        yield running


@pytest.fixture(scope="session")
def place(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("keys") / "keystore"
    node.fund(*create_keystore(folder, "secret words", cost=2).values())
    password = folder.with_name("password")
    password.write_text("secret words\n")
    return Place(node.url, folder, password)


@pytest.fixture(scope="session")
def on_node(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory, place=place)
