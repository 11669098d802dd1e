"""A run small enough to make once per test session, and what tests do to it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from privaudit.custody.folder import RunFolder
from privaudit.scenario.load import load_scenario
from privaudit.scenario.schema import Scenario

SMALL = (
    "runs=1",
    "data.records=1500",
    "model.channels=[4, 4]",
    "model.hidden=8",
    "federation.rounds=2",
    'audit.properties=["bold"]',
    "audit.fractions=[0.5, 1.0]",
    "audit.rounds=4",
    "audit.shadows=2",
    'audit.attacks=["melis-rf"]',
    "report.devices=[]",
)


PASSWORD = "tH8-vq2m-Kz9w"
"""Of keystores that tests make."""


def small_scenario(*more: str) -> Scenario:
    """The quickstart, made small."""
    return load_scenario("quickstart", [*SMALL, *more])


def copy_of(finished: Path, to: Path) -> RunFolder:
    """A copy of a run, to damage."""
    shutil.copytree(finished, to)
    return RunFolder(to)


def run_command(*arguments: str) -> int:
    """The command line in this process; its exit code."""
    from privaudit.cli import main

    before, sys.argv = sys.argv, ["privaudit", *arguments]
    try:
        main()
    except SystemExit as left:
        return int(left.code or 0)
    finally:
        sys.argv = before
    return 0


def place_on(node: Any, folder: Path) -> list[str]:
    """Options of a ledger on an anvil, with a keystore of rich keys that are quick to open."""
    from privaudit.chain import keystore

    keys, password = folder / "keystore", folder / "password"
    password.write_text(f"{PASSWORD}\n")
    encrypt = keystore.Account.encrypt
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            keystore.Account,
            "encrypt",
            lambda key, password, kdf, iterations: encrypt(key, password, kdf, 2),
        )
        assert run_command("keys", str(keys), "--password-file", str(password)) == 0
    node.fund(*(key.address for key in keystore.list_keystore(keys)))
    return ["--rpc", node.url, "--keystore", str(keys), "--password-file", str(password)]
