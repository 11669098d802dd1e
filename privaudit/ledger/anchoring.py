"""The head of a run's embedded ledger, put on a chain that whoever made the run does not own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from privaudit.chain.accounts import address
from privaudit.chain.anchors import SIGNER, Anchor, Content, find_anchors, put_anchor
from privaudit.chain.opening import view_ledger
from privaudit.chain.rpc import RpcChain
from privaudit.custody.folder import RunFolder
from privaudit.custody.manifest import ANCHOR, is_sealed, noted_head
from privaudit.custody.plan import read_plan
from privaudit.errors import UserError
from privaudit.ledger.anchor_note import AnchorNote, read_note, utc
from privaudit.ledger.entries import plan_hash
from privaudit.ledger.place import Place


def anchor_run(folder: RunFolder, place: Place) -> dict[str, Any]:
    """Anchor the head of a finished run's embedded ledger, and note where in ``anchor.json``.

    A head that the account has anchored already is found and noted, and nothing is sent.

    Args:
        folder: of the run.
        place: the chain and the keystore; its auditor signs.

    Returns:
        What was noted, with the head, and whether a transaction was ``sent``.

    Raises:
        UserError: the run has no head of its own to anchor, the chain or the keys cannot be used,
            or the account has anchored another run under the same plan.
    """
    content = _content(folder)
    accounts = place.accounts()
    assert place.rpc is not None
    assert accounts is not None
    chain = RpcChain(place.rpc)
    journal = _journal(folder)
    try:
        _refuse_elsewhere(folder, chain)
        own = _first_of(chain, address(accounts, SIGNER), content)
        sent = own is None or journal.exists()
        anchor = (
            put_anchor(journal, chain, accounts, content, confirmations=place.confirmations)
            if own is None or sent
            else own
        )
    finally:
        chain.close()
    note = AnchorNote.of(chain, anchor)
    folder.write_json(ANCHOR, note.model_dump())
    if journal.exists():
        shutil.rmtree(journal)  # what it kept is on the chain
    facts = note.model_dump(exclude={"format", "version"})
    return facts | {"head": content.head.hex(), "sent": sent}


def _content(folder: RunFolder) -> Content:
    where = str(folder.path)
    kind = read_plan(folder).ledger
    if kind == "none":
        raise UserError("this run was made without a ledger: it has no head to anchor", where=where)
    if kind != "embedded":
        raise UserError(
            "the ledger of this run is on a chain already, which is more than an anchor",
            where=where,
        )
    if not is_sealed(folder):
        raise UserError(
            "the run is not finished",
            where=where,
            remedy=f"go on with: privaudit run --resume {folder.path}",
        )
    with view_ledger(folder.file("ledger"), alone=True) as ledger:
        head = ledger.audit_head()
    if head.hex() != noted_head(folder):
        raise UserError(
            f"the ledger's head is {head.hex()}, the run ended with {noted_head(folder)}",
            where=where,
            remedy=f"see what was changed: privaudit verify {folder.path}",
        )
    return Content(kind, plan_hash(folder), head)


def _refuse_elsewhere(folder: RunFolder, chain: RpcChain) -> None:
    """The note of an anchor on another chain would be lost."""
    note = read_note(folder)
    if note is not None and (note.chain_id, note.genesis) != (
        chain.chain_id,
        f"0x{chain.genesis.hex()}",
    ):
        raise UserError(
            f"the run is anchored on chain {note.chain_id} already",
            where=str(folder.path),
            remedy=f"to anchor it on this one, too, keep its {ANCHOR} under another name elsewhere",
        )


def _first_of(chain: RpcChain, account: str, content: Content) -> Anchor | None:
    """What the account has anchored under the plan; it must be the same."""
    found = find_anchors(chain, plan=content.plan, sender=account)
    own = found[0] if found else None
    if own is not None and own.content != content:
        raise UserError(
            f"account {account} has anchored another run under this plan, head "
            f"{own.content.head.hex()} on {utc(own.block_time)}; the first one is what counts",
            where=f"chain {chain.chain_id}",
            remedy="anchor that one, or make a run with another seed (--set seed=...)",
        )
    return own


def _journal(folder: RunFolder) -> Path:
    """Beside the run, until the anchor is noted: nothing is added to a run that is sealed."""
    path = folder.path.resolve()
    return path.with_name(f"{path.name}.anchoring")
