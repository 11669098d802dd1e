"""Fixtures of the ledger client's tests: a ledger in the process, and a real node."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
for folder in (HERE, HERE.parents[1] / "contracts"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from anvil_node import Node, anvil_or_skip  # noqa: E402
from client_kit import FAST, TestAccounts, role_addresses  # noqa: E402

from privaudit.chain.client import LedgerClient  # noqa: E402
from privaudit.chain.opening import open_ledger  # noqa: E402
from privaudit.chain.sender import Patience  # noqa: E402


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[LedgerClient]:
    """A fresh ledger on the embedded chain."""
    with open_ledger(tmp_path / "ledger") as client:
        yield client


@pytest.fixture(scope="session")
def anvil() -> Path:
    """The anvil binary."""
    return anvil_or_skip()


@pytest.fixture
def node(anvil: Path) -> Iterator[Node]:
    """A fresh node that mines every transaction at once, on which our accounts are rich."""
    with Node(anvil) as running:
        running.fund(*role_addresses(TestAccounts()))
        yield running


@pytest.fixture
def connect(node: Node, tmp_path: Path) -> Callable[..., LedgerClient]:
    """Open the ledger in one folder on the node; what it gets is passed on."""

    def opened(**settings: object) -> LedgerClient:
        patience = Patience(**(FAST | settings.pop("patience", {})))  # type: ignore[operator]
        accounts = settings.pop("accounts", None) or TestAccounts()
        folder = tmp_path / "ledger"
        return open_ledger(folder, rpc=node.url, accounts=accounts, patience=patience, **settings)  # type: ignore[arg-type]

    return opened
