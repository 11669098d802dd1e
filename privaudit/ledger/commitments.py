"""Commitments, reward roots and the salts that keep the chain from confirming a guess at them."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from privaudit.chain.client import BATCH
from privaudit.chain.hashes import Hashes, MerkleTree
from privaudit.custody.folder import RunFolder
from privaudit.errors import UserError
from privaudit.ledger.book import Page
from privaudit.scenario.schema import Scenario

SECRET = "ledger/secret"
OWNER_ONLY = 0o600


def is_rooted(page: Page) -> bool:
    """Whether a cohort is too large for single settlements."""
    return len(page.payments) > BATCH


def add_rewards(granted: dict[int, int], page: Page) -> None:
    """Add a rooted page to what each client was granted so far."""
    for payment in page.payments:
        granted[payment.client] = granted.get(payment.client, 0) + payment.amount


def commitments_of(
    page: Page, hashes: Hashes, address: Callable[[int], str], secret: bytes
) -> dict[int, bytes]:
    """Client -> its commitment in a ledger round."""
    model = bytes.fromhex(page.model_hash)
    return {
        p.client: hashes.commitment(
            page.number,
            address(p.client),
            model,
            bytes.fromhex(p.delta_sha256),
            salt_of(secret, f"commitment/{page.label}/{p.client}"),
        )
        for p in page.payments
    }


def commitment_leaves(
    number: int, hashes: Hashes, address: Callable[[int], str], commitments: dict[int, bytes]
) -> list[bytes]:
    """The leaves under the commitments root of a large cohort, in client order."""
    return [hashes.commitment_leaf(number, address(c), value) for c, value in commitments.items()]


def reward_tree(
    granted: dict[int, int], hashes: Hashes, address: Callable[[int], str], secret: bytes
) -> MerkleTree:
    """The cumulative rewards of large cohorts, in client order."""
    return MerkleTree(
        [
            hashes.reward_leaf(address(c), granted[c], reward_salt(secret, c, granted[c]))
            for c in sorted(granted)
        ]
    )


def reward_salt(secret: bytes, client: int, cumulative: int) -> bytes:
    """The salt of a reward leaf."""
    return salt_of(secret, f"reward/{client}/{cumulative}")


def property_salt(scenario: Scenario, secret: bytes) -> bytes:
    """The salt of property ids: empty unless the scenario asks for one."""
    return salt_of(secret, "properties") if scenario.ledger.salted else b""


def read_secret(folder: RunFolder) -> bytes:
    """The run's 32 secret bytes: salts are made of them.

    Raises:
        UserError: there are none, or they are not such bytes.
    """
    file = folder.file(SECRET)
    try:
        return bytes.fromhex(file.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise UserError("not the secret of a run", where=str(file)) from error


def own_secret(folder: RunFolder) -> bytes:
    """The same for the run itself: drawn on first use, and for its owner's eyes alone.

    A secret that others may read, as those of earlier versions, is closed to them.
    """
    file = folder.file(SECRET)
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f"{file.name}.partial")
        partial.unlink(missing_ok=True)
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(32) + "\n")
            stream.flush()
            os.fsync(handle)  # commitments made with a lost secret could not be repeated
        partial.replace(file)
    if is_open_to_others(file):
        file.chmod(OWNER_ONLY)
    return read_secret(folder)


def is_open_to_others(file: Path) -> bool:
    """Whether anybody but the owner may read or write a file; never on Windows."""
    return os.name == "posix" and bool(file.stat().st_mode & 0o077)


def salt_of(secret: bytes, purpose: str) -> bytes:
    """32 bytes that nobody without the run's secret can guess, e.g. for one commitment."""
    return hmac.new(secret, purpose.encode(), hashlib.sha256).digest()
