"""Gas limits per function: explicit, because estimating a large batch takes a node seconds.

About a tenth above the worst case (first credit, new property) of the gas table in
``contracts/README.md``; what is not used is not paid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .chain import GAS_CAP

DEPLOY = 5_300_000
FIXED = {
    "offer_admin": 90_000,
    "accept_admin": 90_000,
    "set_coordinator": 90_000,
    "set_auditor": 90_000,
    "deposit": 90_000,
    "release_treasury": 130_000,
    "withdraw": 150_000,
    "withdraw_for": 150_000,
    "open_round": 190_000,
    "submit": 100_000,
    "end_submissions": 90_000,
    "post_commitments": 110_000,
    "post_rewards": 170_000,
    "claim": 180_000,
    "close_round": 140_000,
    "expire_round": 120_000,
    "sweep_rewards": 90_000,
    "sweep_forced": 90_000,
    "register_plan": 220_000,
    "supersede_audit": 140_000,
}
PER_ITEM = {
    "register_clients": (90_000, 28_000),
    "submit_signed": (90_000, 37_000),
    "settle": (110_000, 36_000),
    "record_audits": (250_000, 110_000),
}
"""Base and amount per item of the batch, which is the function's last argument."""


def limit(function: str, arguments: Sequence[Any]) -> int:
    """The gas limit of a call, at most :data:`.chain.GAS_CAP`."""
    if function in FIXED:
        return FIXED[function]
    base, each = PER_ITEM[function]
    return min(base + each * len(arguments[-1]), GAS_CAP)
