"""``privaudit ledger``: rewards by client and round beside the audit entries, as the run left them.

Rewards come from the book, audit entries from the receipts in the journal; nothing is replayed, so
this is fast. That both are what the chain holds is for ``privaudit verify`` to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from tabulate import tabulate

from privaudit.chain import artefact
from privaudit.chain.abi import Interface
from privaudit.chain.journal import Journal
from privaudit.custody.folder import RunFolder
from privaudit.custody.manifest import is_sealed, read_seal
from privaudit.custody.plan import read_plan
from privaudit.errors import UserError
from privaudit.evaluation.live import LiveSettings
from privaudit.evaluation.live_folder import is_live
from privaudit.ledger.book import Page, read_book
from privaudit.ledger.commitments import property_salt, read_secret
from privaudit.ledger.entries import Meaning, audit_rows, audit_table, plan_file
from privaudit.ledger.live import meaning_of
from privaudit.ledger.tables import (
    NOTE,
    client_rows,
    client_table,
    rewards_summary,
    round_rows,
    round_table,
)

SHOWN = {
    "kind": "chain",
    "chain_id": "chain id",
    "contract": "contract",
    "audit_head": "audit head",
    "state_root": "state root",
}
"""Facts of the seal -> how they are called in text."""


NOBODY_PAID = (
    "A live run pays nobody. Its one round holds the hashes of what was judged (traces and truths) "
    "and of the scores."
)


@dataclass(frozen=True)
class Statement:
    """What a run's ledger says: pages of the book, audit rows, and where the ledger is.

    Without a rule it is of a live run, which pays nobody.
    """

    rule: str
    colluders: int
    pages: Sequence[Page]
    plan_file: str
    plans: Sequence[str]
    audits: Sequence[dict[str, Any]]
    facts: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """For machines; wei are integers."""
        return {
            "rule": self.rule,
            "ledger": self.facts,
            "plans": list(self.plans),
            "clients": client_rows(self.pages, self.colluders),
            "rounds": round_rows(self.pages),
            "payments": [page.row() for page in self.pages],
            "audits": list(self.audits),
        }

    @property
    def _clients(self) -> pd.DataFrame:
        return client_table(self.pages, self.colluders)

    def text(self) -> str:
        """For people."""
        parts = [] if self.rule else [NOBODY_PAID]
        if self.rule:
            parts = [rewards_summary(self.pages, self.rule), _table(self._clients), NOTE]
            parts += ["Rounds", _table(round_table(self.pages))]
        for plan in self.plans:
            parts.append(f"Audit plan (SHA-256 of {self.plan_file}): {plan}")
        parts += ["Audit entries", _table(audit_table(self.audits))]
        where = [f"{name}: {self.facts[key]}" for key, name in SHOWN.items() if self.facts.get(key)]
        return "\n\n".join([*parts, "\n".join(where)]).rstrip()


def read_statement(folder: RunFolder) -> Statement:
    """The statement of a run.

    Raises:
        UserError: the run keeps no ledger, or it cannot be read.
    """
    live = is_live(folder.path)
    scenario = None if live else folder.scenario()
    enabled = read_plan(folder).ledger != "none" if scenario is None else scenario.ledger.enabled
    if not enabled:
        raise UserError("this run was made without a ledger", where=str(folder.path))
    journal = Journal(folder.file("ledger"), read_only=True, alone=is_sealed(folder))
    try:
        built = artefact.of_code(journal.pins().get("code_hash", "")) or artefact.load()
        interface = Interface(built.abi)
        logs = [log for _, receipt, _ in journal.receipts() for log in receipt.logs]
        events = [event for log in logs if (event := interface.event(log))]
    finally:
        journal.close()
    if scenario is None:
        meaning, rule, colluders = meaning_of(LiveSettings.of(read_plan(folder))), "", 0
    else:
        meaning = Meaning.of(scenario, property_salt(scenario, read_secret(folder)))
        rule = scenario.ledger.reward
        colluders = scenario.audit.colluding(max(scenario.participants))
    return Statement(
        rule=rule,
        colluders=colluders,
        pages=read_book(folder),
        plan_file=plan_file(folder),
        plans=[e.args["plan_hash"].hex() for e in events if e.name == "PlanRegistered"],
        audits=audit_rows(events, meaning),
        facts=read_seal(folder)[1] if is_sealed(folder) else {},
    )


def _table(frame: pd.DataFrame) -> str:
    filled = frame.fillna("").to_dict("list")
    return tabulate(filled, headers="keys", tablefmt="github", disable_numparse=True)
