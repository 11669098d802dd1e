"""The tap: a round observer that writes what the threat model lets the adversary see."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from privaudit.federation.aggregation import Submission, Verdict
from privaudit.federation.rounds import RoundOutcome
from privaudit.observation.trace import TraceWriter


class Tap:
    """Listens as one client (``server=False``), with others who collude, or as the server.

    The ground truth of a round never passes through here: an observer is not told who drew what.
    """

    def __init__(
        self,
        writer: TraceWriter,
        *,
        adversary: int,
        colluders: Sequence[int] = (),
        server: bool = False,
    ) -> None:
        self._writer = writer
        self._adversary = adversary
        self._colluders = colluders
        self._server = server
        self._own: Tensor | None = None
        self._own_buffers: Tensor | None = None
        self._clients: dict[int, Tensor] = {}

    def begin(self, round_number: int, before: Tensor, cohort: Sequence[int]) -> None:
        """Forget the round before."""
        self._own, self._own_buffers, self._clients = None, None, {}

    def submitted(self, submission: Submission, verdict: Verdict) -> None:
        """Keep the adversary's own delta and its colluders'; the server keeps everybody's."""
        if submission.client == self._adversary and verdict.accepted:
            self._own, self._own_buffers = submission.delta, submission.buffers
        if (self._server or submission.client in self._colluders) and verdict.accepted:
            self._clients[submission.client] = submission.delta

    def end(self, outcome: RoundOutcome) -> None:
        """Write the round.

        Of the cohort only those count whose deltas the server took: the others are in no average,
        and the rewards on the ledger tell everybody who was refused.
        """
        self._writer.append(
            outcome.delta,
            self._own if self._own is not None else torch.zeros_like(outcome.delta),
            own_weight=outcome.weights.get(self._adversary, 0.0),
            participants=max(1, outcome.metrics.accepted),
            step=outcome.step,
            told=outcome.told,
            buffers=outcome.buffers,
            own_buffers=self._own_buffers,
            client_deltas=self._clients,
            client_weights=outcome.weights
            if self._server
            else {client: outcome.weights[client] for client in self._clients},
        )
