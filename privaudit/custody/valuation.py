"""What deltas were worth, by the reward rules that ask: whole millionths of 1, the server's view.

``contribution``
    :func:`alignment`: the cosine with what the others sent. Needs no data.
``novelty``
    The same of what is new in a delta: what the global model has moved by before is taken out of
    it first (:class:`Novelty`), for anybody could send that who trained nothing. A little dearer.
``aligned-novelty``
    The two of them multiplied (:class:`AlignedNovelty`): nothing where either finds nothing.
``leave-one-out``
    By how much less the others' average lowers the loss on held-out records
    (:func:`leave_one_out`). Needs such records, and as many evaluations a round as there are
    clients, and one more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from privaudit.engine.engine import Engine, Samples
from privaudit.errors import UserError
from privaudit.federation.rewards import MILLION

STEPS_KNOWN = 50
"""Steps of the global model, the last ones, that are nothing new."""
NOTHING_NEW = 1e-3
"""Part of a delta's length that rounding alone can leave of it."""
MOST_RECORDS = 300
"""Held-out records that worth is told by."""


@dataclass(frozen=True)
class Sent:
    """What the server knows of a round when it says what deltas were worth.

    Attributes:
        before: [P] the global parameters that the round began with.
        deltas: client -> accepted delta [P].
        weights: client -> w_k = c_k / c.
        aggregate: [P], the average: the sum of w_k d_k.
    """

    before: Tensor
    deltas: Mapping[int, Tensor]
    weights: Mapping[int, float]
    aggregate: Tensor


Valuation = Callable[[Sent], dict[int, int]]
"""Client -> what its delta was worth in millionths, in 0..1,000,000; asked of rounds in order."""


def valuation_of(rule: str, judge: Callable[[], tuple[Engine, Samples]]) -> Valuation | None:
    """What a reward rule pays by; None where it asks for no values.

    Args:
        rule: name of a reward rule.
        judge: gives an engine with the model, and records nobody trains on; asked by
            ``leave-one-out`` alone.

    Raises:
        UserError: it needs held-out records, and there are none.
    """
    if rule in WITHOUT_DATA:
        return WITHOUT_DATA[rule]()
    if rule != "leave-one-out":
        return None
    engine, held_out = judge()
    if not len(held_out):
        raise UserError(
            "reward rule 'leave-one-out' needs held-out records, and there are none",
            where="ledger.reward",
            remedy="set federation.test_share, or use contribution or novelty",
        )
    return LeaveOneOut(engine, held_out)


class Novelty:
    """By :func:`alignment` of what is new: deltas without their part along the model's last steps.

    Own. What the global model moved by is known to all: a free rider that sends any mixture of the
    last 50 steps has nothing left, and is worth nothing. Of an older step a part is left.
    """

    def __init__(self) -> None:
        self._last: Tensor | None = None
        self._steps: list[Tensor] = []

    def __call__(self, sent: Sent) -> dict[int, int]:
        """As :data:`Valuation`."""
        if self._last is not None:
            self._steps = [*self._steps, sent.before - self._last][-STEPS_KNOWN:]
        self._last = sent.before.clone()
        known = _directions(self._steps)
        new = {client: _without(delta, known) for client, delta in sent.deltas.items()}
        there = {
            client: delta
            for client, delta in new.items()
            if float(delta.norm()) > NOTHING_NEW * float(sent.deltas[client].norm())
        }
        left = replace(sent, deltas=there, aggregate=_without(sent.aggregate, known))
        return dict.fromkeys(sent.deltas, 0) | alignment(left)


class AlignedNovelty:
    """By :func:`alignment` of the whole delta times that of what is new in it; rounded down.

    Own. Each keeps down what the other pays for: a step sent once more is nothing new, and harm
    points elsewhere than what the others sent.
    """

    def __init__(self) -> None:
        self._novelty = Novelty()

    def __call__(self, sent: Sent) -> dict[int, int]:
        """As :data:`Valuation`."""
        whole, new = alignment(sent), self._novelty(sent)
        return {client: whole[client] * new[client] // MILLION for client in sent.deltas}


class LeaveOneOut:
    """By :func:`leave_one_out` on held-out records: nats of mean loss, at most 1.

    Args:
        engine: with the model.
        held_out: records nobody trains on; the first 300 are used.
    """

    def __init__(self, engine: Engine, held_out: Samples) -> None:
        self._engine = engine
        self._held_out = held_out.chosen(np.arange(min(MOST_RECORDS, len(held_out))))

    def __call__(self, sent: Sent) -> dict[int, int]:
        """As :data:`Valuation`."""
        found = leave_one_out(self._loss, sent.before, sent.deltas, sent.weights)
        return {client: _millionths(value) for client, value in found.items()}

    def _loss(self, parameters: Tensor) -> float:
        loss, _ = self._engine.evaluate(parameters, self._held_out)
        return loss


def leave_one_out(
    loss: Callable[[Tensor], float],
    before: Tensor,
    deltas: Mapping[int, Tensor],
    weights: Mapping[int, float],
) -> dict[int, float]:
    """By how much more the average lowers a loss than the average without one delta.

    The first term of what A. Ghorbani and J. Zou, "Data Shapley", ICML 2019, average over all
    coalitions.

    Args:
        loss: of parameters [P].
        before: [P].
        deltas: client -> delta [P]; of a single one nothing can be left out.
        weights: client -> weight in the average, above 0; of those who are left, they are scaled
            to a sum of 1.
    """
    if len(deltas) < 2:
        return dict.fromkeys(deltas, 0.0)

    def reached(clients: set[int]) -> float:
        total = sum(weights[client] for client in clients)
        mean = sum(deltas[client] * (weights[client] / total) for client in sorted(clients))
        return loss(before + mean)

    everybody = reached(set(deltas))
    return {client: reached(set(deltas) - {client}) - everybody for client in deltas}


def alignment(sent: Sent) -> dict[int, int]:
    """As :data:`Valuation`: the direction of each accepted delta against that of the others.

    The cosine of a delta d_k with the average without it, aggregate - w_k d_k, at least 0: a
    first-order leave-one-out value (how far a step along d_k goes where everybody else wants to go)
    that needs no data and cannot be raised by sending a larger delta. A client alone is worth 1.
    """
    if len(sent.deltas) == 1:
        return dict.fromkeys(sent.deltas, MILLION)
    whole = sent.aggregate.double()
    square = float(whole @ whole)
    values = {}
    for client, delta in sent.deltas.items():
        own, weight = delta.double(), sent.weights[client]
        inner, norm2 = float(own @ whole), float(own @ own)
        others2 = max(0.0, square - 2 * weight * inner + weight**2 * norm2)
        scale = math.sqrt(norm2 * others2)
        cosine = (inner - weight * norm2) / scale if scale > 0 else 0.0
        values[client] = _millionths(cosine)
    return values


WITHOUT_DATA: dict[str, Callable[[], Valuation]] = {
    "contribution": lambda: alignment,
    "novelty": Novelty,
    "aligned-novelty": AlignedNovelty,
}
"""Reward rule -> makes the valuation of one federation, for rules that need no records."""


def _millionths(value: float) -> int:
    return round(MILLION * min(1.0, max(0.0, value))) if math.isfinite(value) else 0


def _directions(steps: list[Tensor]) -> Tensor | None:
    """[P, n] orthonormal directions that these steps span; None where there are none.

    Steps are scaled to length 1 first: what is left of one beside the others is told by its angle.
    """
    moved = [step.double() for step in steps if float(step.norm()) > 0]
    if not moved:
        return None
    rows = torch.stack([step / step.norm() for step in moved])
    return torch.linalg.qr(rows.T).Q


def _without(vector: Tensor, known: Tensor | None) -> Tensor:
    """What is left beside some directions."""
    if known is None:
        return vector
    exact = vector.double()
    return exact - known @ (known.T @ exact)
