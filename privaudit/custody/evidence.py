"""What a federated round leaves for the ledger, on disk, while it happens in a worker process.

One JSON line a round: hashes of the global model before and after, and for each client the hash of
its delta, its number of records, the verdict and what the delta was worth. Written in the worker,
put on the ledger later by the one process that writes there (:mod:`privaudit.ledger.recording`).
The same rounds give the same bytes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from privaudit.custody.valuation import Sent, Valuation
from privaudit.errors import UserError
from privaudit.federation.aggregation import Submission, Verdict
from privaudit.federation.rewards import Delivery
from privaudit.federation.rounds import RoundOutcome

HASHED_AT_ONCE = 1 << 18
"""Numbers."""


@dataclass(frozen=True)
class RoundEvidence:
    """One federated round; hashes are hexadecimal SHA-256 (:func:`digest`).

    Attributes:
        round: 0-based.
        before: of the global parameters the cohort started from.
        delta: of the averaged delta.
        after: of the global parameters it led to.
        cohort: one delivery per client, in client order.
    """

    round: int
    before: str
    delta: str
    after: str
    cohort: tuple[Delivery, ...]


class EvidenceCollector:
    """A round observer that keeps one row a round.

    Args:
        valuation: says what each delta was worth, which keeps the deltas of one round in memory;
            None = nobody asks.
    """

    def __init__(self, valuation: Valuation | None = None) -> None:
        self.rounds: list[RoundEvidence] = []
        self._valuation = valuation
        self._before = ""
        self._cohort: list[tuple[Verdict, str]] = []
        self._deltas: dict[int, Tensor] = {}

    def begin(self, round_number: int, before: Tensor, cohort: Sequence[int]) -> None:
        """Forget the round before."""
        self._before = digest(before)
        self._cohort, self._deltas = [], {}

    def submitted(self, submission: Submission, verdict: Verdict) -> None:
        """Hash the delta as it was sent."""
        self._cohort.append((verdict, digest(submission.delta)))
        if self._valuation and verdict.accepted:
            self._deltas[submission.client] = submission.delta

    def end(self, outcome: RoundOutcome) -> None:
        """Write the row."""
        values: dict[int, int] = {}
        if self._valuation:
            values = self._valuation(
                Sent(outcome.before, self._deltas, outcome.weights, outcome.delta)
            )
        cohort = tuple(
            Delivery(
                client=verdict.client,
                sha256=sha256,
                samples=verdict.samples,
                norm=verdict.norm if math.isfinite(verdict.norm) else None,
                reason=verdict.reason,
                value=values.get(verdict.client, 0),
            )
            for verdict, sha256 in self._cohort
        )
        self.rounds.append(
            RoundEvidence(
                outcome.round, self._before, digest(outcome.delta), digest(outcome.after), cohort
            )
        )

    def rows(self) -> list[dict[str, Any]]:
        """One JSON object per round."""
        return [asdict(evidence) for evidence in self.rounds]


def parse_evidence(rows: Sequence[dict[str, Any]], *, where: str) -> list[RoundEvidence]:
    """The rounds of an evidence file.

    Raises:
        UserError: a line is not one; names the line.
    """
    rounds = []
    for number, row in enumerate(rows, start=1):
        try:
            cohort = tuple(Delivery(**delivery) for delivery in row["cohort"])
            rounds.append(RoundEvidence(**(row | {"cohort": cohort})))
        except (KeyError, TypeError) as error:
            raise UserError(
                f"line {number} is not evidence of a round: {error}", where=where
            ) from error
    return rounds


def digest(vector: Tensor) -> str:
    """SHA-256 of a vector as little-endian float32, hexadecimal; -0 counts as 0.

    A sparse vector comes back from a trace with 0 where it had -0, which no sum can tell apart.
    """
    found = hashlib.sha256()
    for part in vector.split(HASHED_AT_ONCE):  # a copy of all of it would take as much memory again
        canonical = (part + 0.0).to(torch.float32).contiguous().numpy().astype("<f4", copy=False)
        found.update(canonical.data)
    return found.hexdigest()
