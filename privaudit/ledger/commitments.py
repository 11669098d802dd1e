"""Commitments, reward roots and the salts that keep the chain from confirming a guess at them."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable

from privaudit.errors import UserError
from privaudit.experiment.folder import RunFolder
from privaudit.ledger.book import Page
from privaudit.ledger.client import BATCH
from privaudit.ledger.hashes import Hashes, MerkleTree
from privaudit.scenario.schema import Scenario

SECRET = "ledger/secret"


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
    """The run's 32 secret bytes, drawn on first use: salts are made of them."""
    file = folder.file(SECRET)
    if not file.is_file():
        folder.write_text(SECRET, secrets.token_hex(32) + "\n")
        with file.open("rb+") as stream:
            os.fsync(stream.fileno())  # commitments made with a lost secret could not be repeated
    try:
        return bytes.fromhex(file.read_text(encoding="ascii"))
    except ValueError as error:
        raise UserError("not the secret of a run", where=str(file)) from error


def salt_of(secret: bytes, purpose: str) -> bytes:
    """32 bytes that nobody without the run's secret can guess, e.g. for one commitment."""
    return hmac.new(secret, purpose.encode(), hashlib.sha256).digest()
