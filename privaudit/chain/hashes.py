"""The hashes that tie clients, rounds and rewards to one ledger (table: the contract's README).

``keccak(abi.encode(...))`` of fixed-size values is keccak over 32-byte words, which is spelt out
here because a tree over 10,000 leaves is made of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from eth_keys.datatypes import PrivateKey
from eth_utils.crypto import keccak

DOMAIN = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
SUBMISSION = "Submission(uint256 round,address client,bytes32 commitment)"
Word = int | str | bytes


class SignedSubmission(NamedTuple):
    """A commitment that a client signed, as ``submit_signed`` takes it."""

    client: str
    commitment: bytes
    v: int
    r: bytes
    s: bytes


@lru_cache(maxsize=16)
def tag(name: str) -> bytes:
    """The domain-separation tag of one kind of hash."""
    return keccak(text=f"privaudit.ledger.{name}.v1")


def words(*values: Word) -> bytes:
    """``abi.encode`` of unsigned integers, addresses (hex text) and 32-byte values."""
    return b"".join(_word(value) for value in values)


def _word(value: Word) -> bytes:
    if isinstance(value, int):
        return value.to_bytes(32, "big")
    if isinstance(value, str):
        address = bytes.fromhex(value[2:])
        assert len(address) == 20, "an address has 20 bytes"
        return address.rjust(32, b"\x00")
    assert len(value) == 32, "a bytes32 has 32 bytes"
    return value


@dataclass(frozen=True)
class Hashes:
    """All hashes of one ledger, bound to its chain id and address."""

    chain_id: int
    ledger: str

    def commitment(
        self, round_id: int, client: str, model_hash: bytes, delta_sha256: bytes, salt: bytes
    ) -> bytes:
        """What a client commits to: useless to whoever copies it, unguessable without the salt."""
        bound = (self.chain_id, self.ledger, round_id, client)
        return keccak(words(tag("commitment"), *bound, model_hash, delta_sha256, salt))

    def commitment_leaf(self, round_id: int, client: str, commitment: bytes) -> bytes:
        """A leaf under the commitments root of a round."""
        bound = (self.chain_id, self.ledger, round_id, client)
        return keccak(keccak(words(tag("commitment-leaf"), *bound, commitment)))

    def reward_leaf(self, client: str, cumulative: int, salt: bytes) -> bytes:
        """A leaf under the reward root: wei granted to a client in all rounds so far."""
        bound = (self.chain_id, self.ledger, client)
        return keccak(keccak(words(tag("reward"), *bound, cumulative, salt)))

    def domain_separator(self) -> bytes:
        """The EIP-712 domain separator."""
        name, version = keccak(text="privaudit RewardLedger"), keccak(text="1")
        return keccak(words(keccak(text=DOMAIN), name, version, self.chain_id, self.ledger))

    def submission_digest(self, round_id: int, client: str, commitment: bytes) -> bytes:
        """The EIP-712 digest a client signs for ``submit_signed``."""
        content = keccak(words(keccak(text=SUBMISSION), round_id, client, commitment))
        return keccak(b"\x19\x01" + self.domain_separator() + content)

    def sign_submission(
        self, key: PrivateKey, round_id: int, commitment: bytes
    ) -> SignedSubmission:
        """A client's commitment with its signature (v of 27 or 28, low s)."""
        client = key.public_key.to_checksum_address()
        signature = key.sign_msg_hash(self.submission_digest(round_id, client, commitment))
        r, s = (number.to_bytes(32, "big") for number in (signature.r, signature.s))
        return SignedSubmission(client, commitment, signature.v + 27, r, s)


class MerkleTree:
    """A tree over sorted pairs; an odd node goes up unchanged.

    Args:
        leaves: at least one, 32 bytes each.
    """

    def __init__(self, leaves: Sequence[bytes]) -> None:
        assert leaves, "a tree needs a leaf"
        self._levels = [list(leaves)]
        while len(self._levels[-1]) > 1:
            level = self._levels[-1]
            above = [
                keccak(min(left, right) + max(left, right))
                for left, right in zip(level[::2], level[1::2], strict=False)
            ]
            self._levels.append(above + level[-1:] if len(level) % 2 else above)

    @property
    def root(self) -> bytes:
        """The root, 32 bytes."""
        return self._levels[-1][0]

    def proof(self, index: int) -> list[bytes]:
        """The siblings from leaf ``index`` (0-based) to the root."""
        siblings = []
        for level in self._levels[:-1]:
            if index ^ 1 < len(level):
                siblings.append(level[index ^ 1])
            index //= 2
        return siblings
