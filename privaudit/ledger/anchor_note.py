"""``anchor.json``: where the head of a run was anchored. The chain is believed, not this file."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from privaudit.custody.folder import RunFolder
from privaudit.custody.manifest import ANCHOR
from privaudit.errors import UserError, first_problem

if TYPE_CHECKING:
    from privaudit.chain.anchors import Anchor
    from privaudit.chain.rpc import RpcChain

HASH = r"^0x[0-9a-f]{64}$"


class AnchorNote(BaseModel):
    """On which chain, in which transaction; the rest is what to expect there."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    format: Literal["privaudit-anchor"] = "privaudit-anchor"
    version: Literal[1] = 1
    chain_id: int = Field(ge=0)
    genesis: str = Field(pattern=HASH)
    transaction: str = Field(pattern=HASH)
    sender: str = Field(pattern="^0x[0-9a-fA-F]{40}$")
    block_number: int = Field(ge=0)
    block_hash: str = Field(pattern=HASH)
    block_time: int = Field(ge=0)

    @classmethod
    def of(cls, chain: RpcChain, anchor: Anchor) -> AnchorNote:
        """The note of an anchor."""
        return cls(
            chain_id=chain.chain_id,
            genesis=f"0x{chain.genesis.hex()}",
            transaction=f"0x{anchor.transaction.hex()}",
            sender=anchor.sender,
            block_number=anchor.block_number,
            block_hash=f"0x{anchor.block_hash.hex()}",
            block_time=anchor.block_time,
        )


def read_note(folder: RunFolder) -> AnchorNote | None:
    """``anchor.json`` of a run; None if it was not anchored.

    Raises:
        UserError: it is no such note.
    """
    file = folder.file(ANCHOR)
    if not file.is_file():
        return None
    try:
        return AnchorNote.model_validate(folder.read_json(ANCHOR))
    except ValidationError as error:
        raise UserError(
            f"not the note of an anchor: {first_problem(error)}", where=str(file)
        ) from None


def utc(time: int) -> str:
    """Unix seconds of a block as people read them."""
    try:
        return datetime.datetime.fromtimestamp(time, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):  # a chain may have any time
        return f"{time} s after 1970"
