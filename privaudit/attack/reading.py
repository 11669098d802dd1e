"""Statistics of what the adversary sent, beside those of what the rules give.

Each is taken over all rounds of the own deltas and, round by round, of the first replicas, the
second ones and so on: under the right rules these are exchangeable, so that Student's t over
replicas says how far off the own ones are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.stats import f as f_distribution
from scipy.stats import t as student_t
from torch import Tensor

from privaudit.attack.replicas import Rows

SURE = 1e-5
"""Two-sided p-value below which something is off beyond chance."""

LEAST_VARIANCE = 1e-3
"""Of the largest one: directions of less are left out. What was learned of them is mostly the
chance of these replicas: in their own deviations others, and the own deltas, scatter far too much.
"""


@dataclass(frozen=True)
class Statistic:
    """One number of the own deltas beside that of replicas.

    Attributes:
        name: what it is.
        own: of the own deltas.
        expected: mean over replicas.
        deviation: of a replica; of a ratio, of its logarithm.
        p: two-sided p-value of "as the replicas".
    """

    name: str
    own: float
    expected: float
    deviation: float
    p: float

    @property
    def sure(self) -> bool:
        """Off beyond chance."""
        return self.p < SURE


@dataclass(frozen=True)
class Reading:
    """How the own deltas are made up, beside replicas; each beyond chance or not.

    Attributes:
        steps: batches of a client in a round.
        typical: size of a coordinate of the own deltas that are not zero, the median.
        scale: coefficient on the mean replica: 1.
        pull: coefficient on the parameters: 0; weight decay makes it negative.
        reach: norm of the parameters, in norms of a replica.
        spread: what neither explains, every direction in its own deviations, as a share of what it
            is of replicas: 1.
        together: p-value of scale and spread being as of replicas, both at once.
        size: ratio of norms: 1.
        trend: by what factor the size changes from round to round: 1.
        flatness: ratio of mean absolute value to root mean square, as a share of that of replicas.
        support: share of the coordinates that are not zero; of replicas.
        rest: size of what is left of the aggregate, for one client, beside that of replicas.
        rest_flatness: as ``flatness``, of it.
    """

    steps: int
    typical: float
    scale: Statistic
    pull: Statistic
    reach: float
    spread: Statistic
    together: float
    size: Statistic
    trend: Statistic
    flatness: Statistic
    support: Statistic
    rest: Statistic | None
    rest_flatness: Statistic | None

    def all(self) -> list[Statistic]:
        """Those that are there."""
        return [found for found in vars(self).values() if isinstance(found, Statistic)]


def read(rows: Iterable[Rows], *, negated: bool = False) -> Reading:
    """Statistics over all rounds: column 0 of the own deltas, the others of replicas.

    Args:
        rows: at least one round.
        negated: what was sent is taken the other way round.
    """
    sign = -1.0 if negated else 1.0
    sums, spreads, by_round = np.zeros(1), np.zeros(1), list[np.ndarray]()
    numbers, rests, rest_flat = list[int](), list[np.ndarray](), list[np.ndarray]()
    typical, steps = list[float](), 1
    for row in rows:
        every = torch.cat([sign * row.own[None], row.replicas]).double()
        mean, before = row.learned.double().mean(0), row.before.double()
        sums = sums + _products(every, mean, before)
        across = row.learned.double() - mean
        at = _directions(across)
        seen = [(vectors @ across.T) @ at for vectors in (every, mean, before)]
        spreads = spreads + _products(*seen)
        by_round.append(_alone(every))
        numbers.append(row.number)
        steps, used = row.steps, row.own[row.own != 0].abs()
        typical.append(float(used.median()) if len(used) else 0.0)
        if row.rest is not None:
            rest = sign * row.rest
            both = torch.cat([rest[None], _stand_ins(row)]).double()
            rests.append(torch.linalg.vector_norm(both, dim=1).numpy())
            rest_flat.append(_flatness(both))
    pull = _pulled(sums)
    mm, mw, ww, xm, xw, xx = spreads
    # In directions by their deviations: what varies much among replicas counts little.
    scale = (xm - pull * mw) / np.maximum(mm, 1e-300)
    left = xx + scale**2 * mm + pull**2 * ww - 2 * (scale * xm + pull * xw - scale * pull * mw)
    usual = np.mean(scale[1:]) or 1.0  # replicas that never move have none
    size, flat, support = np.moveaxis(np.stack(by_round), 2, 0)
    logs = _log(size)
    logs = logs - logs[:, 1:].mean(axis=1, keepdims=True)
    when = np.array(numbers, dtype=float) - np.mean(numbers)
    return Reading(
        steps=steps,
        typical=float(np.median(typical)),
        scale=_statistic("scale", scale / usual),
        pull=_statistic("pull", pull),
        reach=float(np.sqrt(sums[2, 0] / max(1e-300, float(sums[5, 1:].mean())))),
        spread=_ratio("spread", _log(left)),
        together=_together(np.stack([scale / usual, _log(left)])),
        size=_ratio("size", logs.mean(axis=0)),
        trend=_ratio("trend", when @ logs / max(1e-300, float(when @ when))),
        flatness=_ratio("flatness", _log(flat).mean(axis=0)),
        support=_statistic("support", support.mean(axis=0)),
        rest=_ratio("rest", _log(rests).mean(axis=0)) if rests else None,
        rest_flatness=_ratio("rest flatness", _log(rest_flat).mean(axis=0)) if rests else None,
    )


def _pulled(sums: np.ndarray) -> np.ndarray:
    """[1 + n] coefficients on the parameters beside the mean replica, by least squares."""
    (mm, mw, ww), (xm, xw, _) = sums[:3, 0], sums[3:]
    across = mm * ww - mw**2
    if across <= 1e-12 * mm * ww:  # one of them is zero, or they are parallel
        return np.zeros_like(xm)
    return np.asarray((xw * mm - xm * mw) / across)


def _products(every: Tensor, mean: Tensor, before: Tensor) -> np.ndarray:
    """[6, 1 + n] mean·mean, mean·before, before·before, and of each x·mean, x·before, x·x."""
    alone = [float(a @ b) for a, b in ((mean, mean), (mean, before), (before, before))]
    of_each = [(every @ mean).numpy(), (every @ before).numpy(), (every**2).sum(1).numpy()]
    return np.stack([np.full(len(every), one) for one in alone] + of_each)


def _directions(centred: Tensor) -> Tensor:
    """[m, d] of [m, P] replicas: directions in which they differ, half of those there are.

    As sums of replicas, in deviations: nothing of the size of P times d is made.
    """
    known = centred.numpy()
    gram = known @ known.T  # numpy sees that this is symmetric: half the work
    values, vectors = torch.linalg.eigh(torch.from_numpy(gram))
    count = max(1, len(centred) // 2)
    values, vectors = values[-count:], vectors[:, -count:]
    used = values > LEAST_VARIANCE * values[-1].clamp(min=1e-300)
    # Projections on unit vectors (centred.T @ vector / root of value), in deviations.
    return vectors[:, used] / values[used] * np.sqrt(len(centred) - 1)


def _alone(every: Tensor) -> np.ndarray:
    """[1 + n, 3] norm, flatness and share of coordinates that are not zero."""
    norm = torch.linalg.vector_norm(every, dim=1).numpy()
    used = (every != 0).double().mean(dim=1).numpy()
    return np.stack([norm, _flatness(every), used], axis=1)


def _log(values: Any) -> np.ndarray:
    return np.asarray(np.log(np.maximum(values, 1e-300)))


def _flatness(rows: Tensor) -> np.ndarray:
    """[n] mean absolute value by root mean square, of what is not zero: 1 where all are alike."""
    used = (rows != 0).double().sum(dim=1).clamp(min=1)
    norm = torch.linalg.vector_norm(rows, dim=1).clamp(min=1e-300)
    return np.asarray((rows.abs().sum(dim=1) / used.sqrt() / norm).numpy())


def _stand_ins(row: Rows) -> Tensor:
    """[n, P] means of as many replicas as clients are in what is left: of each other ones."""
    count = len(row.replicas)
    steps = range(min(row.honest, count))
    return torch.stack([torch.roll(row.replicas, step, 0) for step in steps]).mean(0)


def _together(rows: np.ndarray) -> float:
    """P-value of column 0 of [2, 1 + n] beside the others: Hotelling's T-squared."""
    own, made = rows[:, 0], rows[:, 1:]
    count = made.shape[1]
    gap = own - made.mean(axis=1)
    t2 = float(gap @ np.linalg.pinv(np.cov(made)) @ gap) * count / (count + 1)
    return float(f_distribution.sf(t2 * (count - 2) / (2 * (count - 1)), 2, count - 2))


def _statistic(name: str, values: np.ndarray) -> Statistic:
    own, made = float(values[0]), values[1:]
    count, spread = len(made), float(np.std(made, ddof=1))
    t = (own - float(np.mean(made))) / max(spread * float(np.sqrt(1 + 1 / count)), 1e-12)
    p = float(2 * student_t.sf(abs(t), count - 1))
    return Statistic(name, own, float(np.mean(made)), spread, p)


def _ratio(name: str, logs: np.ndarray) -> Statistic:
    """The same on a logarithmic scale: own and expected as ratios to the expected one."""
    found = _statistic(name, logs)
    ratio = float(np.exp(np.clip(found.own - found.expected, -700, 700)))
    return replace(found, own=ratio, expected=1.0)
