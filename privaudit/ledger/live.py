"""The ledger of a judged live run: its plan, what was judged, its results. It pays nobody.

Rewards need evidence of every client's deltas, which nobody has of a federation that runs
elsewhere. What can be put on a ledger is what was judged and what came of it. The contract takes
results about a round, so there is one: its model hash is of traces and truths, its result hash of
the scores, and its budget, of which nothing is paid, is one wei.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from privaudit.chain.accounts import Accounts
from privaudit.chain.client import LedgerClient
from privaudit.chain.opening import open_ledger
from privaudit.custody.folder import RunFolder
from privaudit.custody.manifest import all_files, file_sha256, manifest_sha256, read_manifest
from privaudit.errors import UserError
from privaudit.evaluation.live import Live, LiveSettings
from privaudit.evaluation.live_folder import RECORDS
from privaudit.experiment.listener import Listener
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
from privaudit.ledger.recording import SETUP
from privaudit.scenario.grid import how_sent

BUDGET = 1
"""Wei: the least that a round can have; it returns when the round is closed."""


def meaning_of(settings: LiveSettings) -> Meaning:
    """What ids and codes of the entries of a live run stand for."""
    audit, cells = settings.audit, []
    for number, run in enumerate(settings.live):
        cells += [run.cell(number, name) for name in audit.properties]
    sent = sorted({how_sent(cell.rule, "") for cell in cells}, key=lambda way: (way != "all", way))
    pairs = [(way, attack) for way in sent for attack in audit.attacks]
    return Meaning(
        {pair: code for code, pair in enumerate(pairs, start=1)},
        dict.fromkeys(audit.properties, "auc"),
        max(cell.participants for cell in cells),
        len(settings.live),
    )


def judged_hash(folder: RunFolder) -> bytes:
    """Of what was judged: traces and truths."""
    return _hash_of(folder, "traces", "truth")


def scores_hash(folder: RunFolder) -> bytes:
    """Of what the attacks said."""
    return _hash_of(folder, "scores")


def _hash_of(folder: RunFolder, *places: str) -> bytes:
    """SHA-256 over SHA-256 and name of every file below these folders, a line each."""
    whole = hashlib.sha256()
    for name in (f"{place}/{name}" for place in places for name in all_files(folder.file(place))):
        whole.update(f"{file_sha256(folder.file(name))}  {name}\n".encode())
    return whole.digest()


@contextmanager
def keep_live_ledger(
    folder: RunFolder, live: Live, place: Place, accounts: Accounts | None
) -> Iterator[LiveLedger]:
    """The ledger of a live run, until the block ends.

    Args:
        folder: of the run; plan, traces, truths, scores and records lie there.
        live: what was judged.
        place: the chain.
        accounts: those of the place.

    Raises:
        UserError: the chain or its contract cannot be used, or has the plan already.
    """
    client = open_ledger(
        folder.file("ledger"),
        rpc=place.rpc,
        accounts=accounts,
        seed=live.settings.seed,
        contract=place.contract,
        confirmations=place.confirmations,
    )
    with client:
        yield LiveLedger(folder, live, client)


class LiveLedger(Listener):
    """What a judged live run puts on its ledger, and when."""

    def __init__(self, folder: RunFolder, live: Live, client: LedgerClient) -> None:
        super().__init__()
        self._folder, self._live, self._client = folder, live, client
        self._meaning = meaning_of(live.settings)

    def judged(self) -> None:
        """The plan, a round for what was judged, and every cell of the table."""
        folder, client, plan = self._folder, self._client, plan_hash(self._folder)
        if client.plan(plan).block_number:
            raise UserError(
                f"the contract {client.address} has this very plan already, of another run",
                where="--contract",
                remedy="results are recorded once under a plan: use another seed (--seed) or "
                "another contract",
            )
        client.register_plan(plan)
        client.fund(BUDGET)
        number = int(client.view("round_count"))
        folder.write_json(SETUP, {"clients": [], "register": [], "first_round": number})
        client.open_round(number, judged_hash(folder), BUDGET)
        client.end_submissions(number)
        client.close_round(number, scores_hash(folder))
        digest = bytes.fromhex(file_sha256(folder.file(RECORDS)))
        entries = entries_of(self._live.records, self._meaning)
        receipts = client.record_audits(number, plan, digest, entries, name="records")
        events = [event for receipt in receipts for event in client.events(receipt)]
        folder.write_lines(AUDITS, audit_rows(events, self._meaning))

    def reported(self) -> None:
        """The hash of the manifest, which covers the report."""
        folder, client = self._folder, self._client
        files = files_entry(len(read_manifest(folder)), self._meaning)
        number = live_round(folder)
        digest = manifest_sha256(folder)
        client.record_audits(number, plan_hash(folder), digest, [files], name="manifest")
        client.finish()
        self.facts = facts_of(client)


def live_round(folder: RunFolder) -> int:
    """Number of the run's round on its ledger.

    Raises:
        UserError: the set-up of the ledger cannot be read.
    """
    setup = folder.read_json(SETUP)
    number = setup.get("first_round") if isinstance(setup, dict) else None
    if not isinstance(number, int):
        raise UserError("names no round", where=str(folder.file(SETUP)))
    return number
