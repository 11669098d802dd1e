"""``[ledger]``: what is paid, and what is hidden."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from privaudit.federation.rewards import rule_named

from .values import Section


def _known_reward(name: str) -> str:
    rule_named(name)
    return name


class LedgerSection(Section):
    """``[ledger]``: what clients earn for their deltas, recorded beside the results."""

    enabled: bool = Field(
        True, description="keep a reward ledger in the run folder, or on the chain of --rpc"
    )
    reward: Annotated[str, AfterValidator(_known_reward)] = Field(
        "equal",
        description="equal, samples, size-classes, contribution, novelty, aligned-novelty or "
        "leave-one-out (docs/ledger.md)",
    )
    budget: int | None = Field(
        None,
        ge=1,
        lt=2**96,
        description="wei a federated round may pay; unset = 200,000 for each client of its cohort",
        examples=[1_000_000],
    )
    salted: bool = Field(
        False,
        description="hide the names of the properties on the ledger behind a salt kept in the run "
        "folder",
    )
