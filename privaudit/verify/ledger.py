"""Checks of a run against its ledger. Each returns what is wrong; nothing wrong is empty."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from privaudit.chain.abi import Event
from privaudit.chain.client import AuditEntry
from privaudit.chain.hashes import MerkleTree, tag, words
from privaudit.chain.views import LedgerView
from privaudit.custody.manifest import SEAL, manifest_sha256, read_manifest, read_seal
from privaudit.ledger.book import Page
from privaudit.ledger.commitments import (
    SECRET,
    add_rewards,
    commitment_leaves,
    commitments_of,
    is_rooted,
    property_salt,
    read_secret,
    reward_tree,
)
from privaudit.ledger.entries import (
    AUDITS,
    Meaning,
    audit_rows,
    entries_of,
    files_entry,
    plan_file,
    plan_hash,
)
from privaudit.ledger.recording import SETUP
from privaudit.verify.files import RECORDS, Subject

ENTRY = "(bytes32,uint16,uint16,int40,int40,int40,uint32,uint24)"
CLOSED = 2
JOURNAL = "ledger/journal.sqlite"


class LedgerSubject:
    """A run and its ledger, opened for reading."""

    def __init__(self, run: Subject, ledger: LedgerView) -> None:
        self.run = run
        self.ledger = ledger

    @cached_property
    def events(self) -> dict[str, list[Event]]:
        """Everything this run made happen, by the name of the event, in order."""
        found: dict[str, list[Event]] = {}
        for happening in self.ledger.history():
            for event in happening.events:
                found.setdefault(event.name, []).append(event)
        return found

    def of(self, name: str) -> list[Event]:
        """The events of one name."""
        return self.events.get(name, [])

    @cached_property
    def addresses(self) -> list[str]:
        """Of the clients, by their number."""
        return list(self.run.folder.read_json(SETUP)["clients"])

    def address(self, client: int) -> str:
        """Of one client."""
        return self.addresses[client]

    @cached_property
    def secret(self) -> bytes:
        """What the salts are made of."""
        if not self.run.folder.file(SECRET).is_file():
            raise FileNotFoundError(f"{SECRET}: missing")
        return read_secret(self.run.folder)

    @cached_property
    def meaning(self) -> Meaning:
        """What ids and codes of the entries stand for."""
        scenario = self.run.scenario
        return Meaning.of(scenario, property_salt(scenario, self.secret))

    @property
    def rounds(self) -> list[int]:
        """Numbers of the rounds on the ledger that are this run's, by its files."""
        return [page.number for page in self.run.book]

    @cached_property
    def plan_hash(self) -> bytes:
        """Of the run's own plan."""
        return plan_hash(self.run.folder)

    @cached_property
    def batches(self) -> list[Any]:
        """Every batch of audit entries on the contract, whoever's it is."""
        return self.ledger.batches()

    @cached_property
    def audits(self) -> list[Any]:
        """Every audit entry on the contract."""
        return self.ledger.audits()

    @cached_property
    def heads(self) -> list[bytes]:
        """Every head of the audit chain, computed again, the first one first."""
        return list(audit_heads(self.ledger))

    @cached_property
    def own_entries(self) -> set[int]:
        """Index of the first entry of every batch that this run recorded, by its journal."""
        return {event.args["first_index"] for event in self.of("AuditsRecorded")}

    def is_own(self, batch: Any) -> bool:
        """Whether this run recorded a batch, under its plan."""
        return batch.first_index in self.own_entries and batch.plan_hash == self.plan_hash

    @property
    def alone(self) -> bool:
        """Whether nobody else can have used the contract: it is on a chain of its own."""
        return self.ledger.chain.instant


def check_chain(subject: LedgerSubject) -> list[str]:
    """The chain is the sealed one; on a node, every receipt of the journal is the chain's."""
    chain, wrong = subject.ledger.chain, []
    _, facts = read_seal(subject.run.folder)
    pins = subject.ledger.journal.pins()  # checked against chain and code when it was opened
    found = {"chain_id": chain.chain_id, "contract": subject.ledger.address}
    found |= {name: pins.get(name) for name in ("kind", "genesis", "code_hash")}
    if chain.instant:
        root = chain.state_root()
        found["state_root"] = root.hex() if root else None
    else:
        wrong = [
            f"{JOURNAL}: the receipt of '{intent.key}' is not that of the chain"
            for intent, receipt, _ in subject.ledger.journal.receipts()
            if chain.receipt(receipt.hash) != receipt
        ]
    return wrong + [
        f"{SEAL}: {name} is {facts.get(name)}, the ledger has {value}"
        for name, value in found.items()
        if facts.get(name) != value
    ]


def check_rounds(subject: LedgerSubject) -> list[str]:
    """Every round of the book is on the ledger: models, commitments, verdicts, closed."""
    submitted = {
        (e.args["round_id"], e.args["client"]): e.args["commitment"]
        for e in subject.of("Submitted")
    }
    wrong = []
    for page in subject.run.book:
        found = subject.ledger.round(page.number)
        commitments = commitments_of(page, subject.ledger.hashes, subject.address, subject.secret)
        expected: dict[str, Any] = {
            "state": CLOSED,
            "model_hash": bytes.fromhex(page.model_hash),
            "result_hash": bytes.fromhex(page.result_hash),
        }
        if is_rooted(page):
            leaves = commitment_leaves(
                page.number, subject.ledger.hashes, subject.address, commitments
            )
            expected |= {"rooted": len(leaves), "commitments_root": MerkleTree(leaves).root}
        else:
            expected["submitted"] = len(page.payments)
            wrong += [
                f"round {page.number} ({page.label}): client {client} committed to another delta"
                for client, value in commitments.items()
                if submitted.get((page.number, subject.address(client))) != value
            ]
        wrong += _unequal(page, found, expected)
    opened = {e.args["round_id"] for e in subject.of("RoundOpened")}
    extra = sorted(opened - {page.number for page in subject.run.book})
    return wrong + [f"round {number} was opened but is not in the book" for number in extra]


def check_money(subject: LedgerSubject) -> list[str]:
    """Everybody was paid what the book says, no round more than its budget, no wei is missing."""
    settled = {
        (e.args["round_id"], e.args["client"]): (e.args["amount"], e.args["outcome"])
        for e in subject.of("Settled")
    }
    wrong: list[str] = []
    granted: dict[int, int] = {}
    for page in subject.run.book:
        found = subject.ledger.round(page.number)
        wrong += _unequal(page, found, {"budget": page.budget, "spent": page.paid})
        if is_rooted(page):
            add_rewards(granted, page)
            continue
        wrong += [
            f"round {page.number} ({page.label}): client {p.client} got "
            f"{settled.get((page.number, subject.address(p.client)))} (wei, verdict), "
            f"the book says {(p.amount, p.outcome)}"
            for p in page.payments
            if settled.get((page.number, subject.address(p.client))) != (p.amount, p.outcome)
        ]
    if granted:
        tree = reward_tree(granted, subject.ledger.hashes, subject.address, subject.secret)
        posted = subject.of("RewardsPosted")
        if not posted or posted[-1].args["root"] != tree.root:
            wrong.append("the reward root on the ledger is not that of the book")
    return wrong + (_balance(subject) if subject.alone else [])


def check_plan(subject: LedgerSubject) -> list[str]:
    """What would be measured was on the ledger before the first round, and before any result."""
    file, plan = plan_file(subject.run.folder), subject.ledger.plan(subject.plan_hash)
    if not plan.block_number:
        return [f"{file}: its hash was never registered as a plan"]
    first = min(subject.rounds, default=plan.round_count)
    wrong = []
    if plan.round_count > first:
        wrong.append(f"{file}: the plan was registered after the first round was opened")
    recorded = [e.args["link"] for e in subject.of("AuditsRecorded")]
    if any(link <= plan.link for link in recorded):
        wrong.append(f"{file}: the plan was registered after results were recorded")
    others = [e.args["plan_hash"] for e in subject.of("PlanRegistered")]
    return wrong + [
        f"another plan was registered by this run: {other.hex()}"
        for other in others
        if other != subject.plan_hash
    ]


def check_results(subject: LedgerSubject) -> list[str]:
    """The ledger has every cell of the table, computed again, and the hashes of the files.

    Everything that the contract has under the plan is compared, whoever recorded it.
    """
    run = subject.run
    if not subject.rounds:
        return []
    recorded: dict[bytes, list[Any]] = {}
    wrong = []
    for number, batch in enumerate(subject.batches):
        entries = subject.audits[batch.first_index : batch.first_index + batch.count]
        own = batch.first_index in subject.own_entries
        if own and batch.plan_hash != subject.plan_hash:
            wrong.append(f"batch {number} was recorded under another plan: {batch.plan_hash.hex()}")
        if not own and batch.plan_hash == subject.plan_hash:
            wrong.append(
                f"batch {number} on the contract was recorded under this plan, and not by this "
                f"run: {batch.count} entries of a file with SHA-256 {batch.records_sha256.hex()}"
            )
        if not own:
            continue
        recorded.setdefault(batch.records_sha256, []).extend(audit.entry for audit in entries)
        wrong += [
            f"entry {index} of this run was superseded by entry {audit.superseded_by}"
            for index, audit in enumerate(entries, start=batch.first_index)
            if audit.superseded
        ]
    expected = {
        RECORDS: (
            hashlib.sha256(run.folder.file(RECORDS).read_bytes()).digest(),
            entries_of(run.records, subject.meaning),
        ),
        "manifest.json": (
            manifest_sha256(run.folder),
            [files_entry(len(read_manifest(run.folder)), subject.meaning)],
        ),
    }
    for name, (digest, expected_entries) in expected.items():
        found = recorded.pop(digest, None)
        if found is None:
            wrong.append(f"{name}: its hash is not on the ledger")
        elif not _same_entries(found, expected_entries, numbers=run.same_code):
            wrong.append(f"{name}: the audit entries on the ledger are not those it gives")
    wrong += _shown_entries(subject)
    return wrong + [f"results of another file are recorded: {digest.hex()}" for digest in recorded]


def _same_entries(found: Sequence[Any], expected: Sequence[AuditEntry], *, numbers: bool) -> bool:
    """Entry by entry; without ``numbers`` where another version may compute them otherwise."""
    entries = [AuditEntry(*entry) for entry in found]
    pair = [entries, list(expected)]
    if not numbers:
        pair = [[entry._replace(value=0, low=0, high=0) for entry in part] for part in pair]
    return pair[0] == pair[1]


def _shown_entries(subject: LedgerSubject) -> list[str]:
    """The entries that the report shows, if it shows any, are those of the ledger."""
    run = subject.run
    if not run.folder.file(AUDITS).is_file():
        return []
    rows = audit_rows(subject.of("AuditsRecorded"), subject.meaning)
    expected = [row for row in rows if row["what"] == "cell"]
    same = run.folder.read_lines(AUDITS) == expected
    return [] if same else [f"{AUDITS}: not the audit entries of the ledger"]


def check_head(subject: LedgerSubject, noted: str | None = None) -> list[str]:
    """The hash chain over plans and results, computed again, ends in the ledger's head.

    A head that was noted vouches for what came before it. So it must be one after all links of this
    run; what may follow are plans and results of others.
    """
    wrong = []
    if subject.heads[-1] != subject.ledger.audit_head():
        wrong.append(f"{JOURNAL}: the audit chain computed again ends in {subject.heads[-1].hex()}")
    _, facts = read_seal(subject.run.folder)
    for where, value in ((SEAL, str(facts.get("audit_head"))), ("--head", noted)):
        if value is not None:
            wrong += not_vouched(subject, where, value)
    return wrong


def not_vouched(subject: LedgerSubject, where: str, value: str) -> list[str]:
    """Why a head, that somebody noted, does not vouch for the run; empty if it does."""
    heads = [head.hex() for head in subject.heads]
    if plain(value) not in heads:
        return [f"{where}: {value} is no head of this ledger's audit chain"]
    own, against = own_links(subject)
    link, wrong = heads.index(plain(value)), []
    later = [number for number in own if number > link]
    if later:
        wrong.append(
            f"{where}: {value} is the head after {link} of {len(heads) - 1} links; this run's "
            f"own {_numbers(later)} came later, and for those it does not vouch"
        )
    changed = [number for number in against if number > link]
    if changed:
        wrong.append(
            f"{where}: after {value} this run's results were changed on the ledger, by "
            f"{_numbers(changed)}"
        )
    return wrong


def head_note(subject: LedgerSubject, noted: str | None) -> str:
    """Whether the noted head, or else the seal's, is the last one, and how many links follow."""
    heads = [head.hex() for head in subject.heads]
    value = noted or str(read_seal(subject.run.folder)[1].get("audit_head"))
    if plain(value) not in heads:
        return ""
    where, later = "--head" if noted else SEAL, len(heads) - 1 - heads.index(plain(value))
    if not later:
        return f"The head of {where} is the ledger's last: no link follows."
    follow = "1 link follows" if later == 1 else f"{later} links follow"
    return f"The head of {where} is not the ledger's last: {follow} it."


def own_links(subject: LedgerSubject) -> tuple[list[int], list[int]]:
    """Links of this run (plan, results), and links that bear on it and are not its own."""
    own = [subject.ledger.plan(subject.plan_hash).link]
    own += [batch.link for batch in subject.batches if subject.is_own(batch)]
    against = [
        batch.link
        for batch in subject.batches
        if batch.plan_hash == subject.plan_hash and not subject.is_own(batch)
    ]
    for batch in filter(subject.is_own, subject.batches):
        entries = subject.audits[batch.first_index : batch.first_index + batch.count]
        against += [audit.superseded_link for audit in entries if audit.superseded]
    return own, against


def plain(head: str) -> str:
    """A head as it is compared: small letters, no ``0x``."""
    return head.strip().lower().removeprefix("0x")


def _numbers(links: list[int]) -> str:
    return f"link{'s' if len(links) > 1 else ''} {', '.join(map(str, links))}"


def audit_heads(ledger: LedgerView) -> Iterator[bytes]:
    """Every head of the audit chain, from the first, computed from the contract's views."""
    links = _links(ledger)
    head = keccak(words(tag("audit.genesis"), ledger.hashes.chain_id, ledger.address))
    yield head
    for link in range(1, int(ledger.view("link_count")) + 1):
        kind, *values = links[link]
        head = keccak(words(tag(f"audit.{kind}"), head, link, *values))
        yield head


def _links(ledger: LedgerView) -> dict[int, tuple[Any, ...]]:
    """Link -> what was hashed into it after the link's number."""
    links: dict[int, tuple[Any, ...]] = {}
    for index in range(ledger.view("plan_count")):
        hashed = ledger.view("plan_hash_at", index)
        plan = ledger.plan(hashed)
        links[plan.link] = ("plan", hashed, plan.round_count, plan.timestamp)
    audits = ledger.audits()
    for batch in ledger.batches():
        entries = [
            tuple(audit.entry)
            for audit in audits[batch.first_index : batch.first_index + batch.count]
        ]
        inner = keccak(encode([f"{ENTRY}[]"], [entries]))
        links[batch.link] = (
            "batch",
            batch.round_id,
            batch.plan_hash,
            batch.records_sha256,
            batch.first_index,
            batch.timestamp,
            inner,
        )
    for index, audit in enumerate(audits):
        if audit.superseded:
            links[audit.superseded_link] = ("supersede", index, audit.superseded_by)
    return links


def _balance(subject: LedgerSubject) -> list[str]:
    """What was deposited is in the buckets or was paid out."""
    money = subject.ledger.money()
    balance = money.pop("balance")
    paid_in = [*subject.of("Deposited"), *subject.of("BondFunded")]  # the latter in version 1
    deposited = sum(event.args["amount"] for event in paid_in)
    withdrawn = sum(e.args["amount"] for e in subject.of("Withdrawn"))
    wrong = []
    if sum(money.values()) + withdrawn != deposited:
        wrong.append(
            f"{deposited} wei were deposited; {withdrawn} were withdrawn and the ledger "
            f"accounts for {sum(money.values())}"
        )
    if balance < sum(money.values()):
        wrong.append(f"the ledger holds {balance} wei, less than it accounts for")
    return wrong


def _unequal(page: Page, found: Any, expected: dict[str, Any]) -> list[str]:
    return unequal(f"round {page.number} ({page.label})", found, expected)


def unequal(what: str, found: Any, expected: Mapping[str, Any]) -> list[str]:
    """Where attributes of what the ledger has are not what the files say."""
    return [
        f"{what}: {name.replace('_', ' ')} on the ledger is "
        f"{_text(getattr(found, name))}, the run's files say {_text(value)}"
        for name, value in expected.items()
        if getattr(found, name) != value
    ]


def _text(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
