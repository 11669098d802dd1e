"""Where a ledger is and how it stands: what a seal repeats, and an auditor notes elsewhere."""

from __future__ import annotations

from typing import Any

from privaudit.chain.client import LedgerClient


def facts_of(client: LedgerClient) -> dict[str, Any]:
    """Kind and id of the chain, contract, head of the audit chain, state root.

    The root is None on a chain that others write on, too.
    """
    root = client.chain.state_root() if client.chain.instant else None
    pins = client.journal.pins()
    return {
        "kind": pins["kind"],
        "chain_id": client.chain.chain_id,
        "genesis": pins["genesis"],
        "contract": client.address,
        "code_hash": pins["code_hash"],
        "audit_head": client.audit_head().hex(),
        "state_root": root.hex() if root else None,
    }
