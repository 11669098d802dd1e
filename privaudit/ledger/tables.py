"""Who earned what, as tables made from the book; the adversary is one of the clients."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pandas as pd

from privaudit.federation.partition import ADVERSARY, TARGET, coalition
from privaudit.ledger.book import Page

ROLES = {ADVERSARY: "adversary", TARGET: "target"}
NOTE = (
    "The adversary is an ordinary client to the ledger: it is paid for its deltas by the same rule "
    "as everybody else while it listens."
)


def payments_table(pages: Sequence[Page], colluders: int = 0) -> pd.DataFrame:
    """One row per ledger round and client; amounts in wei, as Python integers."""
    rows = [
        {
            "round": page.number,
            "label": page.label,
            "federated_rounds": page.rounds,
            "client": payment.client,
            "role": role_of(payment.client, colluders),
            "deltas": payment.deltas,
            "rejected": payment.rejected,
            "reason": payment.reason,
            "outcome": payment.outcome,
            "earned_wei": payment.amount,
            "budget_wei": page.budget,
        }
        for page in pages
        for payment in page.payments
    ]
    return pd.DataFrame(rows, dtype=object)


def payments_csv(pages: Sequence[Page], colluders: int = 0) -> str:
    """The payments as CSV."""
    buffer = io.StringIO()
    payments_table(pages, colluders).to_csv(buffer, index=False, lineterminator="\n")
    return buffer.getvalue()


def client_rows(pages: Sequence[Page], colluders: int = 0) -> list[dict[str, Any]]:
    """What each client sent and earned over all rounds."""
    totals: dict[int, dict[str, Any]] = {}
    for page in pages:
        for payment in page.payments:
            start = {"client": payment.client, "role": role_of(payment.client, colluders)}
            row = totals.setdefault(
                payment.client,
                start | {"deltas": 0, "rejected": 0, "training_wei": 0, "audited_wei": 0},
            )
            row["deltas"] += payment.deltas
            row["rejected"] += payment.rejected
            kind = "training_wei" if page.label.startswith("training/") else "audited_wei"
            row[kind] += payment.amount
    paid = sum(page.paid for page in pages)
    for row in totals.values():
        row["earned_wei"] = row["training_wei"] + row["audited_wei"]
        row["share"] = row["earned_wei"] / paid if paid else 0.0
    return [totals[client] for client in sorted(totals)]


def round_rows(pages: Sequence[Page]) -> list[dict[str, Any]]:
    """What each ledger round had, paid and gave back."""
    return [
        {
            "round": page.number,
            "label": page.label,
            "federated_rounds": page.rounds,
            "clients": len(page.payments),
            "rejected": sum(payment.rejected for payment in page.payments),
            "budget_wei": page.budget,
            "paid_wei": page.paid,
            "returned_wei": page.budget - page.paid,
            "adversary_wei": sum(p.amount for p in page.payments if p.client == ADVERSARY),
        }
        for page in pages
    ]


def client_table(pages: Sequence[Page], colluders: int = 0) -> pd.DataFrame:
    """The totals by client as text, with a last row for all of them."""
    rows = client_rows(pages, colluders)
    whole = {"client": "all", "role": "", "share": sum(row["share"] for row in rows)}
    whole |= {k: sum(row[k] for row in rows) for k in rows[0] if k not in whole} if rows else {}
    return pd.DataFrame(
        [
            {
                "client": str(row["client"]),
                "role": row["role"],
                "deltas": str(row["deltas"]),
                "rejected": str(row["rejected"]),
                "earned in training (wei)": f"{row['training_wei']:,}",
                "in audited rounds (wei)": f"{row['audited_wei']:,}",
                "in all (wei)": f"{row['earned_wei']:,}",
                "share": f"{100 * row['share']:.1f} %",
            }
            for row in ([*rows, whole] if rows else [])
        ]
    )


def round_table(pages: Sequence[Page]) -> pd.DataFrame:
    """The ledger rounds as text."""
    return pd.DataFrame(
        [
            {
                "round": str(row["round"]),
                "what": row["label"],
                "federated rounds": str(row["federated_rounds"]),
                "clients": str(row["clients"]),
                "rejected": str(row["rejected"]),
                "budget (wei)": f"{row['budget_wei']:,}",
                "paid": f"{row['paid_wei']:,}",
                "returned": f"{row['returned_wei']:,}",
                "adversary": f"{row['adversary_wei']:,}",
            }
            for row in round_rows(pages)
        ]
    )


def role_of(client: int, colluders: int = 0) -> str:
    """``adversary``, ``target``, ``honest`` or, of the first so many others, ``colluder``."""
    colludes = client in coalition(colluders)
    return ROLES.get(client, "colluder" if colludes else "honest")


def rewards_summary(pages: Sequence[Page], rule: str) -> str:
    """One sentence: what was paid, to whom, and what the adversary got."""
    budget, paid = sum(page.budget for page in pages), sum(page.paid for page in pages)
    federated = sum(page.rounds for page in pages)
    own = next((row for row in client_rows(pages) if row["client"] == ADVERSARY), None)
    share = f"{100 * own['share']:.1f} %" if own else "nothing"
    return (
        f"Rewards (rule: {rule}): {paid:,} of {budget:,} wei paid for {federated} federated rounds "
        f"in {len(pages)} ledger rounds; the adversary earned {share} of it while it listened."
    )
