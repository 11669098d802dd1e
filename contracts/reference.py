"""The preimages of ``contracts/README.md`` as Python: what is signed, hashed and chained.

The tests and the gas report compute every hash here and never ask the contract for it, so that a
change of a preimage in the contract is seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from eth_abi.abi import encode
from eth_keys.datatypes import PrivateKey
from eth_utils.crypto import keccak

ENTRY_TYPE = "(bytes32,uint16,uint16,int40,int40,int40,uint32,uint24)"
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

Entry = tuple[bytes, int, int, int, int, int, int, int]
Signed = tuple[str, bytes, int, bytes, bytes]


def tag(name: str) -> bytes:
    """The domain-separation tag of one kind of hash."""
    return keccak(text=f"privaudit.ledger.{name}.v1")


@dataclass(frozen=True)
class Hashes:
    """All hashes of one ledger, bound to its chain id and address."""

    chain_id: int
    address: str

    def commitment(
        self, round_id: int, client: str, model_hash: bytes, delta_sha256: bytes, salt: bytes
    ) -> bytes:
        """What a client commits to; the contract stores it without looking into it."""
        types = ["bytes32", "uint256", "address", "uint256", "address"] + ["bytes32"] * 3
        values = [tag("commitment"), self.chain_id, self.address, round_id, client]
        return keccak(encode(types, [*values, model_hash, delta_sha256, salt]))

    def commitment_leaf(self, round_id: int, client: str, commitment: bytes) -> bytes:
        """A leaf under ``commitments_root``."""
        types = ["bytes32", "uint256", "address", "uint256", "address", "bytes32"]
        values = [tag("commitment-leaf"), self.chain_id, self.address, round_id, client, commitment]
        return keccak(keccak(encode(types, values)))

    def reward_leaf(self, client: str, cumulative: int, salt: bytes) -> bytes:
        """A leaf under ``reward_root``: what a client was granted in all rounds so far, in wei."""
        types = ["bytes32", "uint256", "address", "address", "uint256", "bytes32"]
        values = [tag("reward"), self.chain_id, self.address, client, cumulative, salt]
        return keccak(keccak(encode(types, values)))

    def domain_separator(self) -> bytes:
        """The EIP-712 domain separator."""
        kind = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
        hashed = [keccak(text=kind), keccak(text="privaudit RewardLedger"), keccak(text="1")]
        types = ["bytes32", "bytes32", "bytes32", "uint256", "address"]
        return keccak(encode(types, [*hashed, self.chain_id, self.address]))

    def submission_digest(self, round_id: int, client: str, commitment: bytes) -> bytes:
        """The EIP-712 digest a client signs for ``submit_signed``."""
        kind = keccak(text="Submission(uint256 round,address client,bytes32 commitment)")
        types = ["bytes32", "uint256", "address", "bytes32"]
        content = keccak(encode(types, [kind, round_id, client, commitment]))
        return keccak(b"\x19\x01" + self.domain_separator() + content)

    def signed(self, key: PrivateKey, round_id: int, commitment: bytes) -> Signed:
        """A client's signed submission, as ``submit_signed`` takes it."""
        client = key.public_key.to_checksum_address()
        signature = key.sign_msg_hash(self.submission_digest(round_id, client, commitment))
        r, s = (number.to_bytes(32, "big") for number in (signature.r, signature.s))
        return client, commitment, signature.v + 27, r, s

    def genesis_head(self) -> bytes:
        """Link 0 of the audit chain."""
        types = ["bytes32", "uint256", "address"]
        return keccak(encode(types, [tag("audit.genesis"), self.chain_id, self.address]))


def plan_head(
    previous: bytes, link: int, plan_hash: bytes, round_count: int, timestamp: int
) -> bytes:
    """The head after ``register_plan``."""
    types = ["bytes32", "bytes32", "uint256", "bytes32", "uint256", "uint256"]
    values = [tag("audit.plan"), previous, link, plan_hash, round_count, timestamp]
    return keccak(encode(types, values))


def batch_head(
    previous: bytes,
    link: int,
    round_id: int,
    plan_hash: bytes,
    records_sha256: bytes,
    first_index: int,
    timestamp: int,
    entries: Sequence[Entry],
) -> bytes:
    """The head after ``record_audits``."""
    inner = keccak(encode([f"{ENTRY_TYPE}[]"], [entries]))
    types = ["bytes32", "bytes32", "uint256", "uint256", "bytes32", "bytes32"]
    values = [tag("audit.batch"), previous, link, round_id, plan_hash, records_sha256]
    return keccak(
        encode([*types, "uint256", "uint256", "bytes32"], [*values, first_index, timestamp, inner])
    )


def supersede_head(previous: bytes, link: int, old_index: int, new_index: int) -> bytes:
    """The head after ``supersede_audit``."""
    types = ["bytes32", "bytes32", "uint256", "uint256", "uint256"]
    return keccak(encode(types, [tag("audit.supersede"), previous, link, old_index, new_index]))


def property_id(name: str, salt: bytes = b"") -> bytes:
    """The id of a property; with a salt it cannot be guessed from the chain."""
    return hashlib.sha256(b"privaudit.property.v1\0" + salt + name.encode()).digest()


class MerkleTree:
    """A tree of sorted pairs; an odd node goes up unchanged."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        assert leaves, "a tree needs a leaf"
        self._levels = [list(leaves)]
        while len(self._levels[-1]) > 1:
            level = self._levels[-1]
            pairs = (level[start : start + 2] for start in range(0, len(level), 2))
            self._levels.append(
                [keccak(b"".join(sorted(pair))) if len(pair) == 2 else pair[0] for pair in pairs]
            )

    @property
    def root(self) -> bytes:
        """The root, 32 bytes."""
        return self._levels[-1][0]

    def proof(self, index: int) -> list[bytes]:
        """Siblings from leaf ``index`` (0-based) to the root."""
        proof = []
        for level in self._levels[:-1]:
            sibling = index ^ 1
            if sibling < len(level):
                proof.append(level[sibling])
            index //= 2
        return proof
