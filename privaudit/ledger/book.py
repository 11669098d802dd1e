"""From evidence to the rounds of the ledger: what is committed, what is paid, under which number.

Ordinary training puts every federated round on the ledger as a round of its own. The audited rounds
of a run go there one *cell* at a time: one ledger round stands for the whole federation of a cell.
There each client commits once to all its deltas (:func:`delta_list_hash`), the model hash is that
of the parameters the federation started from, the result hash covers the parameters after every
round (:func:`result_of`), and budget and payments are the sums over the federated rounds, each of
which is split by the reward rule on its own.

The book (``ledger/book.jsonl``) is a pure function of evidence, scenario and round numbers; it is
what tables are made from, and ``privaudit verify`` compares it with evidence and chain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from privaudit.custody.evidence import RoundEvidence, parse_evidence
from privaudit.custody.folder import RunFolder
from privaudit.errors import UserError
from privaudit.federation.rewards import Delivery
from privaudit.federation.settling import Settlement, settle
from privaudit.scenario.grid import cells_of
from privaudit.scenario.schema import LedgerSection, Scenario

BOOK = "ledger/book.jsonl"


@dataclass(frozen=True)
class Payment:
    """What one client committed to in one ledger round, and what it earned.

    Attributes:
        client: its id.
        delta_sha256: of its delta, or of the list of its deltas (:func:`delta_list_hash`).
        amount: wei.
        outcome: the contract's code: 1 accepted; of a cell, accepted at least once.
        deltas: how many it sent.
        rejected: how many of them were rejected.
        reason: the first reason, empty when there was none.
    """

    client: int
    delta_sha256: str
    amount: int
    outcome: int
    deltas: int
    rejected: int
    reason: str


@dataclass(frozen=True)
class Page:
    """One ledger round; hashes are hexadecimal.

    Attributes:
        label: ``training/run-0/round-3`` or ``audit/run-0/CELL``.
        number: the round's id on the ledger.
        rounds: federated rounds it stands for.
        model_hash: of the global parameters before.
        result_hash: of the global parameters after.
        budget: wei.
        payments: one per client, in client order.
    """

    label: str
    number: int
    rounds: int
    model_hash: str
    result_hash: str
    budget: int
    payments: tuple[Payment, ...]

    @property
    def paid(self) -> int:
        """Wei paid to all clients."""
        return sum(payment.amount for payment in self.payments)

    def row(self) -> dict[str, Any]:
        """As a JSON object; wei as text, which no JSON reader rounds."""
        row = asdict(self) | {"budget": str(self.budget)}
        row["payments"] = [p | {"amount": str(p["amount"])} for p in row["payments"]]
        return row


def training_evidence(folder: RunFolder, run: int) -> list[RoundEvidence]:
    """Evidence of the ordinary training of a run; empty when it had no rounds."""
    return _evidence(folder, f"evidence/run-{run}/training.jsonl")


def cell_evidence(folder: RunFolder, cell: str) -> list[RoundEvidence]:
    """Evidence of the audited rounds of a cell, ``run-0/CELL``."""
    return _evidence(folder, f"evidence/{cell}.jsonl")


def expected_labels(folder: RunFolder, scenario: Scenario, *, audited: bool) -> list[str]:
    """Labels of all rounds there is evidence of, in the order they go on the ledger.

    A cell that failed before its federation was over left no evidence and has no round.
    """
    if not audited:
        return [
            f"training/run-{run}/round-{evidence.round}"
            for run in range(scenario.runs)
            for evidence in training_evidence(folder, run)
        ]
    cells = [f"run-{cell.run}/{cell.name}" for cell in cells_of(scenario)]
    return [f"audit/{c}" for c in cells if folder.file("evidence", f"{c}.jsonl").is_file()]


def pages(folder: RunFolder, ledger: LedgerSection, numbers: dict[str, int]) -> Iterator[Page]:
    """The page of every label in ``numbers`` (label -> ledger round), in the same order."""
    training: dict[str, list[RoundEvidence]] = {}
    for label, number in numbers.items():
        kind, run, name = label.split("/")
        if kind == "audit":
            yield page(label, number, cell_evidence(folder, f"{run}/{name}"), ledger)
            continue
        if run not in training:
            training[run] = training_evidence(folder, int(run.removeprefix("run-")))
        chosen = training[run][int(name.removeprefix("round-"))]
        yield page(label, number, [chosen], ledger)


def page(label: str, number: int, evidence: Sequence[RoundEvidence], ledger: LedgerSection) -> Page:
    """One ledger round out of the federated rounds it stands for, at least one."""
    settled = settle(ledger.reward, ledger.budget, [item.cohort for item in evidence])
    sent: dict[int, list[tuple[int, Delivery]]] = {}
    for item in evidence:
        for delivery in item.cohort:
            sent.setdefault(delivery.client, []).append((item.round, delivery))
    return Page(
        label=label,
        number=number,
        rounds=len(evidence),
        model_hash=evidence[0].before,
        result_hash=result_of(evidence, whole=label.startswith("audit/")),
        budget=settled.budget,
        payments=tuple(
            _payment(client, sent[client], settled, whole=label.startswith("audit/"))
            for client in sorted(sent)
        ),
    )


def result_of(evidence: Sequence[RoundEvidence], *, whole: bool) -> str:
    """The result hash: after one round that of the parameters, hexadecimal.

    Of a ``whole`` federation SHA-256 over the hashes of the parameters after each of its rounds.
    """
    if not whole:
        return evidence[-1].after
    return hashlib.sha256(b"".join(bytes.fromhex(e.after) for e in evidence)).hexdigest()


def delta_list_hash(deltas: Sequence[tuple[int, str]]) -> str:
    """SHA-256 over (round as 8 bytes, big-endian, and SHA-256 of the delta) of each delta."""
    listed = hashlib.sha256()
    for number, sha256 in deltas:
        listed.update(number.to_bytes(8, "big") + bytes.fromhex(sha256))
    return listed.hexdigest()


def read_book(folder: RunFolder) -> list[Page]:
    """The pages of ``ledger/book.jsonl``; empty when the run has none.

    Raises:
        UserError: a line is not a page.
    """
    if not folder.file(BOOK).is_file():
        return []
    try:
        return [_parse_page(row) for row in folder.read_lines(BOOK)]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"not the book of a reward ledger: {error}", where=str(folder.file(BOOK))
        ) from error


def _payment(
    client: int, sent: Sequence[tuple[int, Delivery]], settled: Settlement, *, whole: bool
) -> Payment:
    reasons = [delivery.reason for _, delivery in sent if not delivery.accepted]
    hashes = [(number, delivery.sha256) for number, delivery in sent]
    return Payment(
        client=client,
        delta_sha256=delta_list_hash(hashes) if whole else hashes[0][1],
        amount=settled.amounts[client],
        outcome=settled.outcomes[client],
        deltas=len(sent),
        rejected=len(reasons),
        reason=reasons[0] if reasons else "",
    )


def _parse_page(row: dict[str, Any]) -> Page:
    payments = (Payment(**(p | {"amount": int(p["amount"])})) for p in row["payments"])
    return Page(**(row | {"budget": int(row["budget"]), "payments": tuple(payments)}))


def _evidence(folder: RunFolder, name: str) -> list[RoundEvidence]:
    return parse_evidence(folder.read_lines(name), where=str(folder.file(name)))
