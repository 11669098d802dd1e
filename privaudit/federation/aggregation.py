"""The server: verify each delta as it arrives, average the accepted ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Submission:
    """What one client sends in one round: its delta [P] and how many records it trained on.

    And the model's buffers [B], where clients share them.
    """

    client: int
    delta: Tensor
    samples: int
    buffers: Tensor | None = None


@dataclass(frozen=True)
class Verdict:
    """The server's decision on one submission; ``reason`` is empty when it was accepted.

    ``norm`` is the L2 norm of the delta, NaN where it has none.
    """

    client: int
    accepted: bool
    reason: str
    norm: float
    samples: int


def verify(submission: Submission, size: int, norm_bound: float | None) -> Verdict:
    """Right shape, finite, L2 norm at most ``norm_bound`` (None = no bound)."""
    delta, norm = submission.delta, math.nan
    reason = ""
    if delta.shape != (size,):
        reason = f"shape {tuple(delta.shape)}, not ({size},)"
    else:
        norm = float(torch.linalg.vector_norm(delta))
        if not math.isfinite(norm):
            reason = "not finite"
        elif norm_bound is not None and norm > norm_bound:
            reason = f"norm {norm:.4g} over {norm_bound:g}"
    return Verdict(submission.client, not reason, reason, norm, submission.samples)


class Aggregator:
    """Equation (2) of the seed paper: the mean of the accepted deltas with weights c_n / c.

    With ``fixed`` all weights are one over that number instead, whoever was refused or stayed away:
    then no client changes what another counts.

    Deltas are added up as they arrive, so memory does not grow with the number of clients. They
    arrive in client order: the result is the same bytes every time.
    """

    def __init__(
        self, size: int, norm_bound: float | None = None, fixed: int | None = None
    ) -> None:
        self._sum = torch.zeros(size)
        self._norm_bound = norm_bound
        self._fixed = fixed
        self._buffers: Tensor | None = None
        self.verdicts: list[Verdict] = []

    def add(self, submission: Submission) -> Verdict:
        """Verify one submission and, if accepted, add it; a rejected one changes nothing."""
        verdict = verify(submission, len(self._sum), self._norm_bound)
        self.verdicts.append(verdict)
        if verdict.accepted:
            self._sum.add_(
                submission.delta, alpha=1.0 if self._fixed else float(submission.samples)
            )
            if submission.buffers is not None:
                part = submission.buffers * float(submission.samples)
                self._buffers = part if self._buffers is None else self._buffers + part
        return verdict

    def weights(self) -> dict[int, float]:
        """c_n / c of each accepted client; they sum to one, or there are none.

        Under ``fixed`` they are equal, and sum to less where fewer clients were accepted.
        """
        accepted = [v for v in self.verdicts if v.accepted]
        if self._fixed:
            return {v.client: 1 / self._fixed for v in accepted}
        total = sum(v.samples for v in accepted)
        return {v.client: v.samples / total for v in accepted}

    def buffers(self) -> Tensor | None:
        """[B] mean over the records of the accepted clients; None where nobody sent any."""
        total = sum(v.samples for v in self.verdicts if v.accepted)
        return None if self._buffers is None else self._buffers / total

    def delta(self) -> Tensor:
        """The [P] weighted mean; zero when nothing was accepted."""
        total = self._fixed or sum(v.samples for v in self.verdicts if v.accepted)
        return self._sum / total if total else self._sum.clone()
