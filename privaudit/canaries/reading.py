"""From a record of canaries to its line of the table: pure."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from privaudit.accounting.canary_bound import FAULT, ceiling, count_right, lower_bound, power
from privaudit.accounting.canary_estimate import (
    Estimate,
    arrived,
    estimated_mu,
    readable_mu,
)
from privaudit.accounting.gaussian import epsilon_at, mu_of
from privaudit.canaries.record import CanaryRecord

REFUTED, ABOVE, CONSISTENT = "refuted", "estimate above the claim", "consistent"
UNSEEN, UNCLAIMED, VOID = "cannot say", "nothing claimed", "void"

LOST, TOO_MUCH = 0.5, 2.0
"""Of what should have come through of a canary; outside, something was not added, or not scaled."""


@dataclass(frozen=True)
class Reading:
    """What a record says.

    Attributes:
        record: of one reader.
        mu: deviations between canaries in and out.
        epsilon: the same as ε at the record's δ: an estimate for this reader.
        cap: the ε that this reader would find if the claim were exactly true (without a claim, of
            the noise that is stated); None where it has no limit.
        sight: the largest ε it could find, if there were no noise at all; None likewise.
        bound: ε is at least this, at 95 %.
        right: guesses that are.
        ceiling: the bound if all were.
        power: how often this reader would refute a mechanism with a quarter of the claimed noise;
            None where nothing is claimed.
        came: share of a canary's length that came through, of what should have.
        verdict: ``refuted`` (by the bound), ``estimate above the claim``, ``consistent``, ``cannot
            say`` (this reader sees less than is claimed), ``nothing claimed``, or ``void``.
    """

    record: CanaryRecord
    mu: Estimate
    epsilon: Estimate
    cap: float | None
    sight: float | None
    bound: float
    right: int
    ceiling: float
    power: float | None
    came: Estimate
    verdict: str

    @property
    def found(self) -> bool:
        """Whether more leaks than is claimed."""
        return self.verdict in (REFUTED, ABOVE)

    @property
    def excluded(self) -> bool:
        """Whether, for this reader, no more leaks than is claimed: the whole interval is below."""
        claimed = self.record.claimed_epsilon
        return self.verdict == CONSISTENT and claimed is not None and self.epsilon.high <= claimed

    def as_json(self) -> dict[str, Any]:
        """As a JSON object: null where something has no limit; without scores and coins."""
        table = asdict(self) | {"record": self.record.model_dump(exclude={"scores", "inserted"})}
        found = table.pop("record")
        table |= {"found": self.found, "excluded": self.excluded}
        found["canaries"] = len(self.record.scores)
        return found | _finite(table)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_record(record: CanaryRecord) -> Reading:
    """Estimate, bound and verdict.

    Raises:
        UserError: fewer than two canaries are in, or out.
    """
    scores, inserted = np.array(record.scores), np.array(record.inserted)
    claimed, delta, count = record.claimed_epsilon, record.delta, len(scores)
    mu = estimated_mu(scores, inserted)
    epsilon = mu.epsilon(delta)
    claim = math.inf if claimed is None else mu_of(claimed, delta)
    others = _disturbance(record, claim)
    real = record.carried / math.sqrt(record.noise) if record.noise else math.inf
    cap, sight = (
        epsilon_at(readable_mu(one, record.carried, others), delta)
        for one in (claim if claimed is not None else real, math.inf)
    )
    right = count_right(scores, inserted, record.guesses)
    bound = lower_bound(right, record.guesses, count, delta)
    came = _share(arrived(scores, inserted), record.carried)
    return Reading(
        record=record,
        mu=mu,
        epsilon=epsilon,
        cap=cap if math.isfinite(cap) else None,
        sight=sight if math.isfinite(sight) else None,
        bound=bound,
        right=right,
        ceiling=ceiling(record.guesses, count, delta),
        power=None
        if claimed is None
        else power(
            record.guesses,
            count,
            claimed,
            delta,
            readable_mu(FAULT * claim, record.carried, others),
        ),
        came=came,
        verdict=_verdict(claimed, epsilon, bound, sight, came),
    )


def _disturbance(record: CanaryRecord, claim: float) -> float:
    """Variance of scores by other canaries and by honest deltas.

    Where no noise is stated, what lies above the noise claimed may be more noise. Then honest
    deltas count as far as so many clients can reach, all in one direction.
    """
    if record.noise is not None:
        return max(0.0, record.spread - record.noise)
    canaries = record.rounds * sum(record.inserted) / record.size
    most = canaries + record.rounds * (record.clients or 0) ** 2 / record.size
    return max(
        min(canaries, record.spread), min(most, record.spread - (record.carried / claim) ** 2)
    )


def _share(found: Estimate, expected: float) -> Estimate:
    if expected == 0.0:  # nothing of a canary is ever shared
        return Estimate(0.0, 0.0, 0.0)
    return Estimate(*(one / expected for one in (found.value, found.low, found.high)))


def _verdict(
    claimed: float | None, epsilon: Estimate, bound: float, sight: float, came: Estimate
) -> str:
    if claimed is not None and bound > claimed:
        return REFUTED
    if came.high < LOST or came.low > TOO_MUCH:
        return VOID
    if claimed is None:
        return UNCLAIMED
    if epsilon.low > claimed:
        return ABOVE
    return CONSISTENT if sight > claimed else UNSEEN
