"""Checks of a judged live run against its ledger (:mod:`privaudit.ledger.live`)."""

from __future__ import annotations

from functools import cached_property

from privaudit.ledger.entries import Meaning
from privaudit.ledger.live import judged_hash, live_round, meaning_of, scores_hash
from privaudit.verify.ledger import CLOSED, LedgerSubject, unequal
from privaudit.verify.live import LiveSubject

MEANINGS = {
    "journal": "it is the chain's: replayed, or compared, transaction by transaction",
    "round": "traces and truths, and the scores, are those that the ledger has the hashes of",
    "registered": "the plan was on the ledger before the results were",
    "results": "the ledger has every cell of the table and the hash of every file",
    "head": "the hash chain over plan and results ends in the ledger's head",
}
"""Check -> what it means when it holds; the checks of a run's ledger that apply, in their order."""


class LiveLedgerSubject(LedgerSubject):
    """A judged live run and its ledger, opened for reading."""

    run: LiveSubject

    @cached_property
    def meaning(self) -> Meaning:
        """What ids and codes of the entries stand for."""
        return meaning_of(self.run.settings)

    @property
    def rounds(self) -> list[int]:
        """The one that what was judged has."""
        return [live_round(self.run.folder)]


def check_round(subject: LiveLedgerSubject) -> list[str]:
    """What was judged, and the scores, are those of the ledger's round; nobody was paid."""
    folder, (number,) = subject.run.folder, subject.rounds
    found = subject.ledger.round(number)
    expected = {
        "state": CLOSED,
        "model_hash": judged_hash(folder),
        "result_hash": scores_hash(folder),
        "submitted": 0,
        "spent": 0,
    }
    wrong = unequal(f"round {number}", found, expected)
    opened = {event.args["round_id"] for event in subject.of("RoundOpened")}
    return wrong + [f"round {one} was opened, too" for one in sorted(opened - {number})]
