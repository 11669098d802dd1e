"""The one writer of a run's ledger: evidence, payments, results, in the order of the main path.

Every step can be repeated: what is on the ledger already is found in the journal by its key and
left alone, so an interrupted run loses no round and pays nobody twice. The book is written before
the rounds it describes go on the ledger; the manifest before its hash does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from privaudit.chain.accounts import Accounts
from privaudit.chain.client import LedgerClient, Settlement
from privaudit.chain.hashes import MerkleTree
from privaudit.chain.opening import open_ledger
from privaudit.custody.folder import RunFolder
from privaudit.custody.manifest import file_sha256, manifest_sha256, read_manifest
from privaudit.errors import UserError
from privaudit.evaluation.records import parse_records
from privaudit.experiment.listener import Listener
from privaudit.federation.rewards import round_budget
from privaudit.ledger.book import BOOK, Page, expected_labels, pages, read_book
from privaudit.ledger.commitments import (
    add_rewards,
    commitment_leaves,
    commitments_of,
    is_rooted,
    own_secret,
    property_salt,
    reward_salt,
    reward_tree,
)
from privaudit.ledger.entries import (
    AUDITS,
    Meaning,
    audit_rows,
    entries_of,
    files_entry,
    plan_hash,
)
from privaudit.ledger.facts import facts_of
from privaudit.ledger.place import Place
from privaudit.progress import Progress, Silent
from privaudit.scenario.grid import UNPAID, cells_of, rounds_of
from privaudit.scenario.schema import Scenario

P = ParamSpec("P")
SETUP, CLAIMS = "ledger/setup.json", "ledger/claims.jsonl"


@contextmanager
def keep_ledger(
    folder: RunFolder,
    scenario: Scenario,
    place: Place,
    accounts: Accounts | None,
    progress: Progress | None = None,
) -> Iterator[RunLedger]:
    """The ledger of a run until the block ends; set up before anything is trained.

    Args:
        folder: of the run.
        scenario: the resolved scenario.
        place: the chain.
        accounts: those of the place.
        progress: shows how many rounds are recorded.

    Raises:
        UserError: the chain or its contract cannot be used, or belongs to other accounts.
    """
    started = time.perf_counter()
    client = open_ledger(
        folder.file("ledger"),
        rpc=place.rpc,
        accounts=accounts,
        seed=scenario.seed,
        contract=place.contract,
        confirmations=place.confirmations,
    )
    with client:
        ledger = RunLedger(folder, scenario, client, progress)
        ledger.seconds["open"] = time.perf_counter() - started
        ledger.set_up()
        yield ledger
    folder.write_lines("ledger/timings.jsonl", ledger.timings())


def _timed(
    step: Callable[Concatenate[RunLedger, P], None],
) -> Callable[Concatenate[RunLedger, P], None]:
    """Note how long a step took."""

    @wraps(step)
    def timed(ledger: RunLedger, *arguments: P.args, **settings: P.kwargs) -> None:
        started = time.perf_counter()
        step(ledger, *arguments, **settings)
        ledger.seconds[step.__name__] = time.perf_counter() - started

    return timed


class RunLedger(Listener):
    """What one run puts on its ledger, and when.

    Args:
        folder: of the run.
        scenario: the resolved scenario.
        client: the open ledger.
        progress: shows how many rounds are recorded.
    """

    def __init__(
        self,
        folder: RunFolder,
        scenario: Scenario,
        client: LedgerClient,
        progress: Progress | None = None,
    ) -> None:
        super().__init__()
        self._folder = folder
        self._scenario = scenario
        self._client = client
        self._progress = progress or Silent()
        self._secret = own_secret(folder)
        self._addresses: dict[int, str] = {}
        self.seconds: dict[str, float] = {}

    @_timed
    def set_up(self) -> None:
        """Deposit all budgets, register the clients and, before anything else happens, the plan."""
        client, plan = self._client, plan_hash(self._folder)
        setup = self._remembered_setup()
        known = client.journal.intent(f"plan/{plan.hex()}") is not None
        if not known and client.plan(plan).block_number:
            raise UserError(
                f"the contract {client.address} has this very plan already, of another run",
                where="--contract",
                remedy="results are recorded once under a plan: use another seed (--set seed=...) "
                "or another contract",
            )
        client.register_plan(plan)
        client.fund(whole_budget(self._scenario))
        if setup["register"]:
            client.register([self._address(number) for number in setup["register"]])

    @_timed
    def trained(self) -> None:
        """Put every round of ordinary training on the ledger, each as a round of its own."""
        self._record(expected_labels(self._folder, self._scenario, audited=False))

    @_timed
    def attacked(self) -> None:
        """Put the audited rounds on the ledger, one ledger round per cell."""
        self._record(expected_labels(self._folder, self._scenario, audited=True))

    @property
    def has_records(self) -> bool:
        """Whether the records in the folder are on the ledger already, and stay as they are."""
        file = self._folder.file("records.jsonl")
        if not file.is_file():
            return False
        return self._client.journal.intent(f"audit/{file_sha256(file)}/records/0") is not None

    @_timed
    def judged(self) -> None:
        """The auditor records every cell of the table with the hash of the records."""
        folder, scenario, client = self._folder, self._scenario, self._client
        book = read_book(folder)
        if not book:
            return
        records = folder.file("records.jsonl")
        rows = parse_records(folder.read_lines("records.jsonl"), where=str(records))
        meaning = Meaning.of(scenario, property_salt(scenario, self._secret))
        entries = entries_of(rows, meaning)
        digest = bytes.fromhex(file_sha256(records))
        receipts = client.record_audits(
            book[-1].number, plan_hash(folder), digest, entries, name="records"
        )
        events = [event for receipt in receipts for event in client.events(receipt)]
        folder.write_lines(AUDITS, audit_rows(events, meaning))

    @_timed
    def reported(self) -> None:
        """Clients withdraw; the auditor records the hash of the manifest."""
        client, book = self._client, read_book(self._folder)
        for number in sorted({p.client for page in book for p in page.payments}):
            if client.credit(self._address(number)):
                client.withdraw_for(self._address(number))
        if book:
            self._record_manifest(book[-1].number)
        client.finish()
        self.facts = facts_of(client)

    def timings(self) -> list[dict[str, Any]]:
        """Seconds of each step, as rows of ``ledger/timings.jsonl``."""
        return [{"stage": "ledger", "step": s, "seconds": t} for s, t in self.seconds.items()]

    # ------------------------------------------------------------------ rounds

    def _record(self, labels: Sequence[str]) -> None:
        numbers = {page.label: page.number for page in read_book(self._folder)}
        for label in labels:
            if label not in numbers:
                numbers[label] = max(numbers.values(), default=self._first_round() - 1) + 1
        book = list(pages(self._folder, self._scenario.ledger, numbers))
        self._folder.write_lines(BOOK, [page.row() for page in book])
        granted: dict[int, int] = {}
        for page in self._progress.track(book, stage="ledger", total=len(book)):
            if is_rooted(page):
                add_rewards(granted, page)
            if page.label in labels and not self._is_closed(page.number):
                self._put(page, granted)
        if granted:
            self._write_claims(granted)

    def _put(self, page: Page, granted: dict[int, int]) -> None:
        client, number = self._client, page.number
        client.open_round(number, bytes.fromhex(page.model_hash), page.budget)
        commitments = commitments_of(page, client.hashes, self._address, self._secret)
        if is_rooted(page):
            leaves = commitment_leaves(number, client.hashes, self._address, commitments)
            client.post_commitments(number, MerkleTree(leaves).root, len(leaves))
            client.end_submissions(number)
            tree = reward_tree(granted, client.hashes, self._address, self._secret)
            client.post_rewards(number, tree.root, page.paid)
        else:
            signed = [client.sign_submission(number, c, value) for c, value in commitments.items()]
            client.submit_signed(number, signed)
            client.end_submissions(number)
            judged = [
                Settlement(self._address(p.client), p.amount, p.outcome) for p in page.payments
            ]
            client.settle(number, judged)
        client.close_round(number, bytes.fromhex(page.result_hash))

    def _is_closed(self, number: int) -> bool:
        intent = self._client.journal.intent(f"round/{number}/close")
        return intent is not None and intent.status == "final"

    def _write_claims(self, granted: dict[int, int]) -> None:
        """What each client of a large cohort needs to claim its reward."""
        tree = reward_tree(granted, self._client.hashes, self._address, self._secret)
        rows = [
            {
                "client": client,
                "address": self._address(client),
                "cumulative": str(granted[client]),
                "salt": reward_salt(self._secret, client, granted[client]).hex(),
                "proof": [sibling.hex() for sibling in tree.proof(index)],
            }
            for index, client in enumerate(sorted(granted))
        ]
        self._folder.write_lines(CLAIMS, rows)

    def _record_manifest(self, last_round: int) -> None:
        folder, client = self._folder, self._client
        files = files_entry(len(read_manifest(folder)), Meaning.of(self._scenario))
        plan = plan_hash(folder)
        client.record_audits(last_round, plan, manifest_sha256(folder), [files], name="manifest")

    # ------------------------------------------------------------------ set-up

    def _remembered_setup(self) -> dict[str, Any]:
        """What the ledger was like when the run began: a shared one may know clients already."""
        if not self._folder.file(SETUP).is_file():
            clients = range(most_participants(self._scenario))
            addresses = {c: self._address(c) for c in clients}
            missing = [c for c in clients if not self._client.view("client_id", addresses[c])]
            first = int(self._client.view("round_count"))
            self._folder.write_json(
                SETUP,
                {"clients": list(addresses.values()), "register": missing, "first_round": first},
            )
        setup: dict[str, Any] = self._folder.read_json(SETUP)
        return setup

    def _first_round(self) -> int:
        return int(self._remembered_setup()["first_round"])

    def _address(self, client: int) -> str:
        if client not in self._addresses:
            self._addresses[client] = self._client.client(client)
        return self._addresses[client]


def whole_budget(scenario: Scenario) -> int:
    """Wei that all federated rounds of a scenario may pay together."""
    federation, ledger = scenario.federation, scenario.ledger
    cohort = federation.cohort or federation.participants
    training = scenario.runs * scenario.training_rounds * round_budget(ledger.budget, cohort)
    audited = (
        round_budget(ledger.budget, cell.participants) * rounds_of(scenario, cell)
        for cell in cells_of(scenario)
        if cell.game not in UNPAID  # rounds that are paid for already, or on no ledger of ours
    )
    return training + sum(audited)


def most_participants(scenario: Scenario) -> int:
    """Clients there are in any federation of a scenario."""
    return max(scenario.federation.participants, *scenario.participants)
