"""``privaudit claim``: what clients of cohorts above 256 are granted by the reward root, paid out.

The proofs are made from the run's evidence, not from ``ledger/claims.jsonl``. Claims come after the
run: they change neither head nor manifest, but the journal, so the seal is written anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from privaudit.chain.client import BATCH, LedgerClient
from privaudit.chain.opening import open_ledger
from privaudit.custody.folder import RunFolder
from privaudit.custody.manifest import (
    MANIFEST,
    differences,
    is_sealed,
    ledger_files,
    read_seal,
    write_seal,
)
from privaudit.errors import UserError
from privaudit.ledger.book import pages, read_book
from privaudit.ledger.commitments import (
    add_rewards,
    is_rooted,
    read_secret,
    reward_salt,
    reward_tree,
)
from privaudit.ledger.place import Place

JOURNAL = "ledger/journal.sqlite"
CLAIMING = ("claim/", "withdraw/")
"""How the keys of all actions begin that come after the last entry of the audit."""


@dataclass(frozen=True)
class Claimed:
    """What became of one client's claim.

    Attributes:
        client: its number.
        address: its account.
        cumulative: wei the reward root grants it in all.
        claimed: wei credited now; 0 where there was nothing to claim.
        paid: wei paid out to the account now.
    """

    client: int
    address: str
    cumulative: int
    claimed: int
    paid: int


def claim_rewards(folder: RunFolder, clients: Sequence[int], place: Place) -> list[Claimed]:
    """Claim for clients what they were granted and pay it out; the coordinator pays the gas.

    Made again it finds nothing to claim; after a crash it goes on.

    Args:
        folder: of a finished run.
        clients: their numbers.
        place: the chain of the run, with the keystore it was made with; none of an embedded ledger.

    Raises:
        UserError: the run has nothing to claim, or not for such a client; it is not finished, was
            changed since, or is on another chain; the chain refuses.
    """
    granted = _granted(folder)
    for client in clients:
        if client not in granted:
            raise UserError(
                f"client {client} was in no cohort above {BATCH}",
                where="--client",
                remedy=f"those that were: {_spans(sorted(granted))}",
            )
    accounts, scenario = place.accounts(), folder.scenario()
    with (
        RunFolder.create(folder.path, scenario, resume=True),  # nobody else is at it
        open_ledger(
            folder.file("ledger"),
            rpc=place.rpc,
            accounts=accounts,
            seed=scenario.seed,
            confirmations=place.confirmations,
        ) as ledger,
    ):
        _refuse_changed(folder, ledger)
        secret, order = read_secret(folder), sorted(granted)
        tree = reward_tree(granted, ledger.hashes, ledger.client, secret)
        if ledger.view("reward_root") != tree.root:
            raise UserError(
                "the reward root on the contract is not that of this run's evidence: another run "
                "posted one since, or the evidence was changed",
                where=ledger.address,
                remedy="privaudit verify says which",
            )
        found = []
        for client in dict.fromkeys(clients):
            salt = reward_salt(secret, client, granted[client])
            proof = tree.proof(order.index(client))
            found.append(_claim(ledger, client, granted[client], salt, proof))
        ledger.finish()
        root = ledger.chain.state_root() if ledger.chain.instant else None
    facts = read_seal(folder)[1]
    write_seal(folder, facts | {"state_root": root.hex() if root else None})
    return found


def _granted(folder: RunFolder) -> dict[int, int]:
    """Client -> wei it may claim in all."""
    where, scenario = str(folder.path), folder.scenario()
    if not scenario.ledger.enabled:
        raise UserError("this run was made without a ledger", where=where)
    if not is_sealed(folder):
        remedy = f"go on with: privaudit run --resume {folder.path}"
        raise UserError("the run is not finished", where=where, remedy=remedy)
    numbers = {page.label: page.number for page in read_book(folder)}
    granted: dict[int, int] = {}
    for page in filter(is_rooted, pages(folder, scenario.ledger, numbers)):
        add_rewards(granted, page)
    if not granted:
        raise UserError(
            f"nothing to claim: no cohort was above {BATCH}, so everybody was paid in its rounds",
            where=where,
        )
    return granted


def _refuse_changed(folder: RunFolder, ledger: LedgerClient) -> None:
    """The seal is written anew afterwards, so it must not cover up what somebody changed.

    A claim that was interrupted has changed the journal, and that alone, by claims alone.
    """
    listed, _ = read_seal(folder)
    wrong = differences(folder, listed, [MANIFEST, *_resting(folder)])
    keys = [intent.key for intent in ledger.journal.intents()]
    last = max((n for n, key in enumerate(keys) if key.startswith("audit/")), default=-1)
    if any(name != JOURNAL for name, _ in wrong) or any(
        not key.startswith(CLAIMING) for key in keys[last + 1 :]
    ):
        raise UserError(
            "the run was changed since it ended",
            where=str(folder.path),
            remedy=f"see what: privaudit verify {folder.path}",
        )


def _resting(folder: RunFolder) -> list[str]:
    """Files of the ledger folder but for what SQLite keeps beside an open journal."""
    return [name for name in ledger_files(folder) if not name.startswith(f"{JOURNAL}-")]


def _claim(
    ledger: LedgerClient, client: int, amount: int, salt: bytes, proof: Sequence[bytes]
) -> Claimed:
    account = ledger.client(client)
    due = amount - int(ledger.view("claimed", account))
    if due:
        ledger.claim(account, amount, salt, proof)
    credit = ledger.credit(account)
    if credit:
        ledger.withdraw_for(account, name=f"claim-{amount}")
    return Claimed(client, account, amount, due, credit)


def _spans(numbers: Sequence[int]) -> str:
    """``0 to 299, 305``."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][-1] + 1:
            spans[-1][1:] = [number]
        else:
            spans.append([number])
    return ", ".join(" to ".join(map(str, span)) for span in spans)
