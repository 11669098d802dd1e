"""Before sending: nonce, fees, signature, simulation, funds, and the journal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .accounts import Accounts, sign
from .chain import Call, Chain, Fees, Signed
from .errors import LedgerError, Reverted
from .journal import Entry, Journal


@dataclass(frozen=True)
class Action:
    """Something to be done on the chain, once.

    Attributes:
        key: stable name, e.g. ``round/3/settle/0``.
        sender: account name.
        to: the contract; None deploys it.
        build: makes call data and wei to send, when (and only when) a transaction is signed.
        request: digest of what the caller asked for; asking for something else under the same key
            is refused.
        gas: gas limit.
    """

    key: str
    sender: str
    to: str | None
    build: Callable[[], tuple[bytes, int]]
    request: bytes
    gas: int


def prepare(
    actions: Sequence[Action], chain: Chain, journal: Journal, accounts: Accounts, fee_limit: int
) -> list[Signed]:
    """Sign, simulate and journal new actions; nothing is kept unless all would succeed.

    Args:
        actions: do not depend on one another.
        chain: they are simulated on top of its head.
        journal: has them, on the disk, on return.
        accounts: who signs.
        fee_limit: wei per gas that are too much.

    Raises:
        Reverted: the contract would refuse one.
        LedgerError: an account has too little, or the chain is too expensive.
    """
    fees = _fees(chain, fee_limit)
    nonces: dict[str, int] = {}
    signed: list[Signed] = []
    for action in actions:
        key = accounts.key(action.sender)
        account = key.public_key.to_checksum_address()
        if account not in nonces:
            nonces[account] = _next_nonce(chain, journal, account)
        data, value = action.build()
        call = Call(sender=account, to=action.to, data=data, value=value, gas=action.gas)
        item = sign(key, chain.chain_id, call, nonces[account], fees)
        nonces[account] += 1
        signed.append(item)
    _check_funds(chain, actions, signed)
    block_time = chain.next_time() if chain.instant else None
    for action, item in zip(actions, signed, strict=True):
        try:
            chain.simulate(item)
        except Reverted as error:
            raise Reverted(error.reason, where=action.key) from None
    journal.record(
        [
            (action.key, action.request, entry_of(item, action.sender, block_time))
            for action, item in zip(actions, signed, strict=True)
        ]
    )
    return signed


def entry_of(item: Signed, account: str, block_time: int | None) -> Entry:
    """A signed transaction as the journal keeps it; the journal gives the ids."""
    return Entry(0, 0, item.hash, account, item.call.sender, item.nonce, item.raw, block_time, 1)


def _next_nonce(chain: Chain, journal: Journal, account: str) -> int:
    if chain.instant:
        return chain.nonce(account)
    return max(chain.pending_nonce(account), journal.next_nonce(account))


def _fees(chain: Chain, limit: int) -> Fees:
    fees = chain.fees()
    if fees.most > limit:
        raise LedgerError(
            f"the chain asks for {fees.most / 1e9:g} gwei per gas, more than the limit of "
            f"{limit / 1e9:g}",
            where=chain.name,
            remedy="wait for lower fees or raise the limit",
        )
    return fees


def _check_funds(chain: Chain, actions: Sequence[Action], signed: Sequence[Signed]) -> None:
    """Gas at the limit plus value, for all of an account's transactions together."""
    need: dict[str, int] = {}
    names = {}
    for action, item in zip(actions, signed, strict=True):
        wei = item.call.value + item.call.gas * item.fees.most
        need[item.call.sender] = need.get(item.call.sender, 0) + wei
        names[item.call.sender] = action.sender
    for account, wei in need.items():
        have = chain.balance(account) if wei else 0
        if have < wei:
            raise LedgerError(
                f"account {names[account]} ({account}) has {have / 1e18:.6g} of the "
                f"{wei / 1e18:.6g} native tokens it may need",
                where=actions[0].key,
                remedy="send it native tokens and run again",
            )
