"""The check of an anchor: what an account put on another chain about this run, and when.

Of several anchors of one account under one plan the earliest counts: whoever could choose among
them could make the run again until it pleased, anchor each time, and show the last. Anchors of
other accounts do not count against a run, as the same scenario has the same plan with everybody;
they are told, as the same person may have two accounts.
"""

from __future__ import annotations

import re
from typing import Any

from privaudit.chain.anchors import Anchor, find_anchors, read_anchor
from privaudit.chain.rpc import RpcChain
from privaudit.custody.folder import RunFolder
from privaudit.custody.manifest import ANCHOR
from privaudit.errors import UserError
from privaudit.ledger.anchor_note import AnchorNote, read_note, utc
from privaudit.verify.ledger import LedgerSubject, not_vouched


class AnchorCheck:
    """An anchor under verification.

    Args:
        folder: of the run.
        rpc: URL of a node of the anchor's chain.
        transaction: the anchor, as it was noted elsewhere; None = what ``anchor.json`` says or,
            without one, the first anchor on the chain that has a head of this run.

    Raises:
        UserError: no transaction hash, or ``anchor.json`` is of another chain or no such note.
        RpcError: the node does not answer.
    """

    def __init__(self, folder: RunFolder, rpc: str, transaction: str | None) -> None:
        self._given = None if transaction is None else _hash(transaction)
        self._note = read_note(folder)
        self._chain = RpcChain(rpc)
        self._others: list[Anchor] | None = None
        self._found: Anchor | None = None
        if self._given is None and self._note is not None:
            _right_chain(self._note, self._chain)

    @property
    def facts(self) -> dict[str, Any] | None:
        """What the chain has; None before :meth:`check` found it."""
        if self._found is None:
            return None
        first = self._found
        return {
            "chain_id": self._chain.chain_id,
            "transaction": f"0x{first.transaction.hex()}",
            "sender": first.sender,
            "block_number": first.block_number,
            "block_time": first.block_time,
            "deep": self._chain.head().number - first.block_number + 1,
            "head": first.content.head.hex(),
            "searched": self._others is not None,
        }

    def check(self, subject: LedgerSubject) -> list[str]:
        """What is wrong: the anchor is not of this run, or not the first, or the run changed since.

        Raises:
            UserError: there is no anchor.
        """
        plan = subject.plan_hash
        self._others = find_anchors(self._chain, plan=plan)
        named = self._named(subject)
        if named.content.plan != plan:
            return [
                f"0x{named.transaction.hex()} is the anchor of another run: it is under plan "
                f"{named.content.plan.hex()}, this run's is {plan.hex()}"
            ]
        wrong = _unlike(self._note, AnchorNote.of(self._chain, named))
        own = [other for other in self._others or [] if other.sender == named.sender]
        self._found = first = own[0] if own else named
        if first.content.kind != subject.run.plan.ledger:
            wrong.append(f"it is of a ledger of kind '{first.content.kind}'")
        head = first.content.head.hex()
        if first.content.head not in subject.heads:
            again = first.transaction != named.transaction
            wrong.append(
                f"account {first.sender} anchored head {head} under this plan on "
                f"{utc(first.block_time)}, and this ledger never had it: the run was made again "
                f"since{', and anchored again' if again else ''}, or is another one"
            )
        else:
            wrong += not_vouched(subject, "anchor", head)
        return wrong

    def notes(self, subject: LedgerSubject) -> list[str]:
        """What is not wrong, and good to know; after :meth:`check`."""
        first, others = self._found, self._others
        if first is None:
            return []
        told = []
        if others is None:
            told.append(
                "The node does not search the chain for anchors: whether the account anchored "
                "another run under this plan before is not known. Another node may."
            )
        same = [a for a in others or [] if a.sender == first.sender]
        later = [a for a in same if a.content.head != first.content.head]
        if later and first.content.head in subject.heads:
            told.append(
                f"Account {first.sender} anchored {_heads(later, 'other ')} under this plan later, "
                f"the first on {utc(later[0].block_time)} (0x{later[0].transaction.hex()}): this "
                "run was the first, and somebody who holds the key made it again."
            )
        foreign = [a for a in others or [] if a.sender != first.sender]
        if foreign:
            told.append(
                f"Under this plan other accounts anchored, too: {_heads(foreign)}, the first by "
                f"{foreign[0].sender} on {utc(foreign[0].block_time)}, {_order(foreign[0], first)} "
                "this one. Everybody who runs this scenario may have the same plan; see that the "
                "account is the one you were told of."
            )
        elsewhere = find_anchors(self._chain, sender=first.sender) or []
        plans = {a.content.plan for a in elsewhere} - {first.content.plan}
        if plans:
            count = f"{len(plans)} other plan{'s' * (len(plans) > 1)}"
            told.append(
                f"The account anchored runs under {count} on this chain, too: with another seed or "
                "setting a run has another plan, so see that this is the one that was agreed on."
            )
        if self._given and self._note and _hash(self._note.transaction) != self._given:
            told.append(f"{ANCHOR} names another transaction than --anchor-tx.")
        if first.content.head in subject.heads:
            since = subject.ledger.audit_head() != first.content.head
            added = "entries were" if since else "no entry was"
            told.append(f"Since the anchor {added} added to the ledger.")
        return told

    def _named(self, subject: LedgerSubject) -> Anchor:
        if self._given is not None:
            return read_anchor(self._chain, self._given)
        if self._note is not None:
            return read_anchor(self._chain, _hash(self._note.transaction))
        found = self._others or []
        if not found:
            raise UserError(
                f"there is no {ANCHOR}, and no anchor under this run's plan was found on chain "
                f"{self._chain.chain_id}",
                remedy="name the transaction with --anchor-tx",
            )
        return next((a for a in found if a.content.head in subject.heads), found[0])


def anchored(facts: dict[str, Any]) -> str:
    """By whom, where and when, in words."""
    return (
        f"account {facts['sender']} put the head {facts['head']} on chain {facts['chain_id']}, in "
        f"block {facts['block_number']} of {utc(facts['block_time'])} ({facts['deep']} deep), "
        f"transaction {facts['transaction']}"
    )


def _right_chain(note: AnchorNote, chain: RpcChain) -> None:
    found = (chain.chain_id, f"0x{chain.genesis.hex()}")
    if found != (note.chain_id, note.genesis):
        raise UserError(
            f"the anchor is on chain {note.chain_id} (block 0 {note.genesis[:18]}...), this node "
            f"is of chain {found[0]} (block 0 {found[1][:18]}...)",
            where="--anchor-rpc",
            remedy="give a node of the anchor's chain",
        )


def _unlike(note: AnchorNote | None, found: AnchorNote) -> list[str]:
    """Where ``anchor.json`` is not what the chain has of the very transaction it names."""
    if note is None or note.transaction != found.transaction:
        return []
    stated, real = note.model_dump(), found.model_dump()
    return [
        f"{ANCHOR}: {name} is {stated[name]}, the chain has {value}; privaudit anchor notes it anew"
        for name, value in real.items()
        if stated[name] != value
    ]


def _hash(text: str) -> bytes:
    if not re.fullmatch(r"(0x)?[0-9a-fA-F]{64}", text.strip()):
        raise UserError(
            f"'{text[:80]}' is no transaction hash",
            where="--anchor-tx",
            remedy="64 hexadecimal digits, as privaudit anchor prints them",
        )
    return bytes.fromhex(text.strip().removeprefix("0x"))


def _heads(anchors: list[Anchor], other: str = "") -> str:
    count = len({anchor.content.head for anchor in anchors})
    return f"{count} {other}head{'s' * (count > 1)}"


def _order(one: Anchor, two: Anchor) -> str:
    if one.block_number == two.block_number:
        return "in the block of"
    return "before" if one.block_number < two.block_number else "after"
