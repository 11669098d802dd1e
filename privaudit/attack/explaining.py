"""Do the rules explain what the adversary sent itself?

Whoever writes a trace by hand, or with a tap, may state a rule that is not the federation's: the
wrong sign, a client that trains with Adam, a sum in place of the mean. Every score is then void,
and nothing shows. But the adversary knows one client: itself. Its own deltas must look like those
that its own records give under the stated rules.

For each round, *replicas* are made: deltas of batches of its own records. Statistics over all
rounds are taken of the own deltas and, round by round, of the first replicas, the second ones and
so on: under the right rules these are exchangeable, so that Student's t over replicas says how far
off the own ones are. What is usual is learned from further replicas, alike for all. What is off
beyond chance and by an amount that matters is named, with the setting that would explain it; the
explanation is applied and everything looked at again, as one fault hides another.

What others sent is not known; of the aggregate only what no other data explain is called off.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import f as f_distribution
from scipy.stats import t as student_t
from torch import Tensor

from privaudit.attack.asked import TRAINED
from privaudit.attack.auxiliary import (
    GROUPS,
    LABELS,
    OwnRecords,
    is_input,
    read_own_records,
)
from privaudit.attack.own_trace import OwnTrace, engine_of, open_trace
from privaudit.data.archive import array_names
from privaudit.data.user_checks import user_file
from privaudit.errors import UserError
from privaudit.observation.rules import Rules
from privaudit.observation.views import Observation
from privaudit.randomness import Seed

MOST_ROUNDS = 16
"""That are looked at, evenly spaced; half of them before an attack."""

REPLICAS = 32
"""Of each round, that the own deltas are set beside."""

LEARNED = 64
"""Of each round, more of them, that say what is usual: mean, and directions with their spread."""

MOST_NUMBERS = 200_000_000
"""In the replicas of a round; fewer are made of a large model."""

LEAST_REPLICAS = 8

SURE = 1e-5
"""Two-sided p-value below which something is off beyond chance."""

FACTOR = 1.25
"""By less than this factor off is as good as right."""

MOST_UNLIKELY = 36.0
"""Chi-squared of one degree beyond which a rule does not explain scale and spread."""

AS_LIKELY = 12.0
"""By so much less likely, another rule may be the one."""

LEAST_PULL = 0.05
"""Of a step: a smaller part that shrinks the parameters changes no score."""

MOST_STEPS = 4
"""Explanations that are tried one on the other."""


@dataclass(frozen=True)
class Rows:
    """What is known of a round: vectors in the adversary's own terms.

    Attributes:
        number: of the round.
        own: [P] what it sent.
        rest: [P] what is left of the aggregate, for one of its clients; None where nothing is.
        honest: clients in ``rest``.
        before: [P] parameters.
        steps: batches of a client.
        replicas: [n, P] what it would have sent.
        learned: [m, P] more of them.
    """

    number: int
    own: Tensor
    rest: Tensor | None
    honest: int
    before: Tensor
    steps: int
    replicas: Tensor
    learned: Tensor


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


@dataclass(frozen=True)
class Change:
    """What would make the deltas look like those of other rules.

    Attributes:
        what: is off, and by how much, in a sentence.
        remedy: what to do.
        rules: settings that explain it, by the names of ``--set``.
        sign: own deltas are negated.
        explains: whether the rest can be looked at after it.
    """

    what: str
    remedy: str
    rules: dict[str, float | int | str] = field(default_factory=dict)
    sign: bool = False
    explains: bool = True


@dataclass(frozen=True)
class Explanation:
    """What was found.

    Attributes:
        rounds: that were looked at.
        replicas: of each.
        reading: under the stated rules.
        changes: what is off, the first thing first; empty where the rules explain the deltas.
        left: whether something stays off after all changes.
    """

    rounds: int
    replicas: int
    reading: Reading
    changes: tuple[Change, ...]
    left: bool

    @property
    def explained(self) -> bool:
        """Whether the stated rules explain what was sent."""
        return not self.changes


def explain(case: OwnTrace, *, rounds: int = MOST_ROUNDS) -> Explanation:
    """Hold the adversary's own deltas against the rules.

    Args:
        case: a trace of a participant with its records, model and rules.
        rounds: to look at, at most; fewer are faster, and less is seen.

    Raises:
        UserError: it is a server's trace, or the adversary took part in fewer than 2 rounds.
    """
    seen = _rounds(case, rounds)
    found = []
    # What the adversary drew is not stated: records of either kind, or those without a property.
    for records in _pools(case.records).values():
        found.append(_explain(case, seen, records))
        if found[-1].explained:
            break
    return min(found, key=lambda one: (len(one.changes), one.left, _off(one.reading)))


def rounds_sent(case: OwnTrace) -> list[int]:
    """Numbers of the rounds in which the adversary sent something; none of a server."""
    if case.trace.manifest.target is not None:
        return []
    return [o.round for o in case.trace if o.own_weight > 0 and bool(o.own_delta.any())]


def _rounds(case: OwnTrace, most: int) -> list[int]:
    """Numbers of the rounds to look at."""
    if case.trace.manifest.target is not None:
        raise UserError(
            "a server sends nothing that could be held against the rules",
            where=str(case.trace.path),
            remedy="check a participant's trace of the same federation",
        )
    if case.rules.transforms.has_memory:
        raise UserError(
            "what a defence kept from earlier rounds is in what the adversary sent: it cannot be "
            "held against the rules",
            where=str(case.trace.path),
            remedy="check a federation without that step",
        )
    sent = rounds_sent(case)
    if len(sent) < 2:
        raise UserError(
            f"the adversary took part in {len(sent)} rounds: there is nothing to hold against "
            "the rules",
            where=str(case.trace.path),
            remedy="write own_delta and own_weight of the rounds that it took part in",
        )
    at = np.unique(np.linspace(0, len(sent) - 1, min(most, len(sent))).round().astype(int))
    return [sent[number] for number in at]


def _pools(records: OwnRecords) -> dict[str, np.ndarray]:
    """What the adversary may have drawn from: all of its records, or those without a property.

    Where it is said which records it trained on, those.
    """
    trained = records.properties.get(TRAINED)
    if trained is not None and bool((trained == 1).any()):
        return {TRAINED: np.flatnonzero(trained == 1)}
    pools = {"all": np.arange(len(records.samples))}
    for name, present in records.properties.items():
        without = np.flatnonzero(present == 0)
        if 0 < len(without) < len(present):
            pools[name] = without
    return pools


def _explain(case: OwnTrace, numbers: Sequence[int], records: np.ndarray) -> Explanation:
    most = max(1.0, case.engine.layout.size * (REPLICAS + LEARNED) / MOST_NUMBERS)
    count = max(LEAST_REPLICAS, int(REPLICAS / most))
    rules, changes = case.rules, list[Change]()
    first = reading = _read(_rows(case, numbers, records, rules, count), changes)
    while len(changes) < MOST_STEPS:
        change = _what_is_off(reading, rules)
        if change is None:
            return Explanation(len(numbers), count, first, tuple(changes), left=False)
        changes.append(change)
        if not change.explains:
            break
        rules = _with(rules, change.rules)
        reading = _read(_rows(case, numbers, records, rules, count), changes)
    left = _what_is_off(reading, rules) is not None
    return Explanation(len(numbers), count, first, tuple(changes), left)


def _with(rules: Rules, settings: Mapping[str, Any]) -> Rules:
    """The rules with these settings; those of the table ``local`` as ``local.name``."""
    local = {n.removeprefix("local."): v for n, v in settings.items() if n.startswith("local.")}
    flat = {n: v for n, v in settings.items() if not n.startswith("local.")}
    return rules.model_copy(update={**flat, "local": rules.local.model_copy(update=local)})


def _off(reading: Reading) -> int:
    return sum(one.sure for one in reading.all())


# ------------------------------------------------------------------------------------ the replicas


def _rows(
    case: OwnTrace, numbers: Sequence[int], records: np.ndarray, rules: Rules, count: int
) -> Iterator[Rows]:
    wanted, seed = set(numbers), case.seed.child("explain")
    told_apart = not any(step.at_server for step in rules.transforms.steps)
    for seen in case.trace:
        if seen.round not in wanted:
            continue
        made = _sent(case, seen, records, rules, count * (REPLICAS + LEARNED) // REPLICAS, seed)
        honest = seen.contributors
        yield Rows(
            seen.round,
            seen.own_delta,
            seen.signal / honest if honest > 0 and told_apart else None,
            honest,
            seen.before,
            _steps(records, rules),
            made[:count],
            made[count:],
        )


def _sent(
    case: OwnTrace, seen: Observation, records: np.ndarray, rules: Rules, count: int, seed: Seed
) -> Tensor:
    """[count, P] what a client would have sent that draws from these records."""
    seed = seed.child(seen.round)
    rng, samples = seed.generator("draw"), case.records.samples
    engine = case.engine.under(rules.transforms.in_training)
    clients = [_batches(records, rules, rng) for _ in range(count)]
    rule = rules.local_rule
    if all(len(batches) == 1 for batches in clients):  # faster, and the same
        only = [batches[0] for batches in clients]
        deltas = engine.single_steps(seen.before, samples, only, rule, seed, seen.round)
    else:
        seeds = [seed.child("train", number) for number in range(count)]
        updates = engine.train_clients(seen.before, samples, clients, rule, seeds, seen.round)
        deltas = torch.stack([update.delta for update in updates])
    if rules.transforms == rules.transforms.of_training:
        return deltas
    sent = [
        rules.transforms.apply(delta, engine.layout, seed.child("sent", number), told=seen.told)
        for number, delta in enumerate(deltas)
    ]
    return torch.stack(sent)


def _batches(records: np.ndarray, rules: Rules, rng: np.random.Generator) -> list[np.ndarray]:
    """What a client trains on in a round."""
    size = rules.batch_size
    if rules.local_epochs is not None:
        passes = [rng.permutation(records) for _ in range(rules.local_epochs)]
        return [one[i : i + size] for one in passes for i in range(0, len(one), size)]
    drawn = rng.choice(records, size * rules.local_steps, replace=_again(records, rules))
    return list(drawn.reshape(rules.local_steps, size))


def _steps(records: np.ndarray, rules: Rules) -> int:
    """Batches of a client in a round."""
    if rules.local_epochs is None:
        return rules.local_steps
    return rules.local_epochs * -(-len(records) // rules.batch_size)


def _again(records: np.ndarray, rules: Rules) -> bool:
    return rules.batch_size * rules.local_steps > len(records)


# ---------------------------------------------------------------------------------- the statistics


def _read(rows: Iterator[Rows], changes: Sequence[Change]) -> Reading:
    """Statistics over all rounds: column 0 of the own deltas, the others of replicas."""
    sums, spreads, by_round = np.zeros(1), np.zeros(1), list[np.ndarray]()
    numbers, rests, rest_flat = list[int](), list[np.ndarray](), list[np.ndarray]()
    typical, steps = list[float](), 1
    for row in rows:
        every = torch.cat([_undone(row.own, changes)[None], row.replicas]).double()
        mean, before = row.learned.double().mean(0), row.before.double()
        sums = sums + _products(every, mean, before)
        at = _directions(row.learned.double() - mean)
        spreads = spreads + _products(every @ at, mean @ at, before @ at)
        by_round.append(_alone(every))
        numbers.append(row.number)
        steps, used = row.steps, row.own[row.own != 0].abs()
        typical.append(float(used.median()) if len(used) else 0.0)
        if row.rest is not None:
            rest = _undone(row.rest, changes)
            both = torch.cat([rest[None], _stand_ins(row)]).double()
            rests.append(torch.linalg.vector_norm(both, dim=1).numpy())
            rest_flat.append(_flatness(both))
    pull = _pulled(sums)
    mm, mw, ww, xm, xw, xx = spreads
    # In directions by their deviations: what varies much among replicas counts little.
    scale = (xm - pull * mw) / np.maximum(mm, 1e-300)
    left = xx + scale**2 * mm + pull**2 * ww - 2 * (scale * xm + pull * xw - scale * pull * mw)
    size, flat, support = np.moveaxis(np.stack(by_round), 2, 0)
    logs = _log(size)
    logs = logs - logs[:, 1:].mean(axis=1, keepdims=True)
    when = np.array(numbers, dtype=float) - np.mean(numbers)
    return Reading(
        steps=steps,
        typical=float(np.median(typical)),
        scale=_statistic("scale", scale / np.mean(scale[1:])),
        pull=_statistic("pull", pull),
        reach=float(np.sqrt(sums[2, 0] / max(1e-300, float(sums[5, 1:].mean())))),
        spread=_ratio("spread", _log(left)),
        together=_together(np.stack([scale / np.mean(scale[1:]), _log(left)])),
        size=_ratio("size", logs.mean(axis=0)),
        trend=_ratio("trend", when @ logs / max(1e-300, float(when @ when))),
        flatness=_ratio("flatness", _log(flat).mean(axis=0)),
        support=_statistic("support", support.mean(axis=0)),
        rest=_ratio("rest", _log(rests).mean(axis=0)) if rests else None,
        rest_flatness=_ratio("rest flatness", _log(rest_flat).mean(axis=0)) if rests else None,
    )


def _undone(delta: Tensor, changes: Sequence[Change]) -> Tensor:
    """[P] a delta as it would be without what was found already."""
    return -delta if any(change.sign for change in changes) else delta


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
    """[P, d] directions in which replicas differ, by their deviations: half of those there are."""
    values, vectors = torch.linalg.eigh(centred @ centred.T)
    count = max(1, len(centred) // 2)
    values, vectors = values[-count:], vectors[:, -count:]
    used = values > 1e-9 * values[-1].clamp(min=1e-300)
    # Projections on unit vectors (centred.T @ vector / root of value), in deviations.
    return centred.T @ (vectors[:, used] / values[used]) * np.sqrt(len(centred) - 1)


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


# ------------------------------------------------------------------------------------ what is off


def _what_is_off(found: Reading, rules: Rules) -> Change | None:
    """The first thing that is off, or None."""
    for look in (_support, _astray, _sign, _pull, _flat, _trend, _factor, _direction, _aggregate):
        change = look(found, rules)
        if change is not None:
            return change
    return None


def _support(found: Reading, rules: Rules) -> Change | None:
    own, made = found.support.own, found.support.expected
    if not found.support.sure or abs(own - made) < 0.05:
        return None
    return Change(
        f"{100 * own:.0f} % of the coordinates of the own deltas are not zero, by the rules "
        f"{100 * made:.0f} %: another share is sent, or another rule of sharing",
        f"state sharing_rule and shared_fraction (here {rules.sharing_rule}, "
        f"{rules.shared_fraction:g}) as they were",
        explains=False,
    )


def _astray(found: Reading, rules: Rules) -> Change | None:
    """Hardly any of the own deltas is what the rules give, and much is not."""
    spread, scale = found.spread, found.scale
    if spread.sure and spread.own > 4 and scale.sure and scale.own < 0.5 and not _is_flat(found):
        return _elsewhere(found)
    return None


def _sign(found: Reading, rules: Rules) -> Change | None:
    if not found.scale.sure or found.scale.own >= 0:
        return None
    return Change(
        f"own deltas are {found.scale.own:.2f} times what the rules give: the sign is the other "
        "way round",
        "write what was added to the parameters, w_local - w_global, of all deltas",
        sign=True,
    )


def _is_flat(found: Reading) -> bool:
    return found.flatness.sure and found.flatness.own > 1.15


def _flat(found: Reading, rules: Rules) -> Change | None:
    if not _is_flat(found):
        return None
    if rules.local.optimiser == "adam":
        return _elsewhere(found)
    # A fresh Adam moves a coordinate whose slopes agree by the learning rate in each step.
    lr = float(f"{found.typical / found.steps:.3g}")
    return Change(
        f"the coordinates of the own deltas are more alike in size than those of SGD "
        f"({found.flatness.own:.2f} times by mean absolute value over root mean square): an "
        "optimiser that scales each of them, like Adam, or a quantised delta",
        f"say --set local.optimiser=adam --set lr={lr:g}, or the optimiser, its settings and the "
        "learning rate that it was",
        rules={"local.optimiser": "adam", "lr": lr, "momentum": 0.0},
        explains=lr > 0,
    )


def _pull(found: Reading, rules: Rules) -> Change | None:
    decay = -found.pull.own / (rules.lr * found.steps)
    known = rules.local.weight_decay or 0.0
    if not found.pull.sure or -found.pull.own * found.reach < LEAST_PULL:
        return None
    return Change(
        f"the own deltas also shrink the parameters, by {-found.pull.own:.2g} of themselves a "
        f"round: weight decay of about {known + decay:.2g}",
        f"say --set local.weight_decay={known + decay:.2g}, or the exact value",
        rules={"local.weight_decay": float(f"{known + decay:.4g}")},
    )


def _trend(found: Reading, rules: Rules) -> Change | None:
    if not found.trend.sure or abs(np.log(found.trend.own)) < 0.002:
        return None
    decay = rules.local.decay * found.trend.own
    return Change(
        f"own deltas change by a factor of {found.trend.own:.3g} from round to round: a schedule "
        "of the learning rate",
        f"say --set local.decay={decay:.4g}, or its factors round by round with local.rates",
        rules={"local.decay": float(f"{decay:.4g}")},
    )


def _factor(found: Reading, rules: Rules) -> Change | None:
    """Scale and spread tell the learning rate, the batch and the number of steps apart."""
    if found.together > SURE:
        return None
    possible = dict[str, tuple[float, float | int]]()
    for name, unlikely, factor in _ways(found):
        stated = getattr(rules, name)
        proposed = float(f"{stated * factor:.3g}") if name == "lr" else round(stated * factor)
        if proposed > 0 and proposed != stated and not 1 / FACTOR < factor < FACTOR:
            possible[name] = unlikely, proposed
    likeliest = min((unlikely for unlikely, _ in possible.values()), default=MOST_UNLIKELY)
    if likeliest >= MOST_UNLIKELY:
        return None
    most = likeliest + AS_LIKELY
    said = {name: proposed for name, (unlikely, proposed) in possible.items() if unlikely <= most}
    (name, proposed), *others = said.items()
    instead = "".join(f", or {other} about {value:g}" for other, value in others)
    return Change(
        f"own deltas are {found.scale.own:.2f} times what the rules give, their spread "
        f"{np.sqrt(found.spread.own):.2f} times: {name} is not {getattr(rules, name):g} but about "
        f"{proposed:g}{instead}",
        f"say --set {name}={proposed:g}, or the exact value",
        rules={name: proposed},
    )


def _ways(found: Reading) -> list[tuple[str, float, float]]:
    """Rule, how unlikely (chi-squared), by what factor: each has its own effect on both.

    A learning rate k times as large: scale k and spread k^2. A batch: scale 1, spread 1/k. Steps:
    both k. The more usual mistake first.
    """
    scale = max(found.scale.own, 0.05)
    a, q = np.log(scale), np.log(found.spread.own)
    # Deltas that are k times as large vary k times as much: of a logarithm as those of replicas.
    va, vq = found.scale.deviation**2 + 1e-4, found.spread.deviation**2 + 1e-4
    ways = []
    for name, on_scale, on_spread in (("lr", 1, 2), ("batch_size", 0, -1), ("local_steps", 1, 1)):
        weight = on_scale**2 / va + on_spread**2 / vq
        log = (on_scale * a / va + on_spread * q / vq) / weight
        unlikely = (a - on_scale * log) ** 2 / va + (q - on_spread * log) ** 2 / vq
        ways.append((name, float(unlikely), float(np.exp(log))))
    return ways


def _direction(found: Reading, rules: Rules) -> Change | None:
    spread, scale = found.spread, found.scale
    wide = spread.sure and not 1 / FACTOR**2 < spread.own < FACTOR**2
    short = scale.sure and not 1 / FACTOR < scale.own < FACTOR
    if not wide and not short:
        return None
    return _elsewhere(found)


def _elsewhere(found: Reading) -> Change:
    return Change(
        f"own deltas go elsewhere: {found.scale.own:.2f} times what the rules give, and "
        f"{np.sqrt(found.spread.own):.2f} times as far off it as they should be: another model "
        "(its frozen part, its base weights), other data or preparation, or another loss",
        "give the model and the records as they were trained",
        explains=False,
    )


def _aggregate(found: Reading, rules: Rules) -> Change | None:
    """Others hold other data: only a factor that no data explain is called off."""
    rest, flat, count = found.rest, found.rest_flatness, rules.participants
    if flat is not None and flat.sure and flat.own > 1.15:
        return Change(
            "the coordinates of the aggregate are more alike in size than those of any mean of "
            f"deltas ({flat.own:.2f} times): the step of a server optimiser was written for it",
            "write the mean of the deltas as global_delta, and the server's step as step",
            explains=False,
        )
    if rest is not None and rest.sure and max(2.0, count / 2) < rest.own < 3 * count:
        return Change(
            f"what is left of the aggregate is {rest.own:.1f} times what a client's delta is: the "
            f"sum of {count} deltas was written for their mean, or the step of a server optimiser",
            f"divide global_delta by {count}; of a server optimiser write the mean as global_delta "
            "and its step as step",
            explains=False,
        )
    if rest is not None and rest.sure and not 1 / 3 < rest.own < 3:
        return Change(
            f"what is left of the aggregate is {rest.own:.2f} times what a client's delta is: a "
            "server learning rate or optimiser, or another weight of one's own",
            "write the mean of the deltas as global_delta, the server's step as step, and "
            "own_weight as it was",
            explains=False,
        )
    return None


def open_own(
    trace_path: Path,
    auxiliary: Path,
    *,
    model: str | None = None,
    model_options: Mapping[str, Any] | None = None,
    rules: Mapping[str, Any] | None = None,
    seed: int = 1,
) -> OwnTrace:
    """Read a trace and the adversary's records, of which no property need be known.

    Args:
        trace_path: folder of the trace (docs/trace.md).
        auxiliary: .npz file (:func:`.auxiliary.read_own_records`).
        model: as in :func:`.standalone.open_case`, and so the others.
        model_options: arguments of its constructor.
        rules: of the federation.
        seed: of everything that is drawn.

    Raises:
        UserError: as there.
    """
    trace, resolved, stated = open_trace(trace_path, rules or {}, model, model_options or {}, seed)
    path = user_file(str(auxiliary))
    known = {LABELS, GROUPS}
    more = [n for n in array_names(path) if n not in known and not is_input(n)]
    records = read_own_records(path, needs_property=bool(more), loss=resolved.local.loss)
    return OwnTrace(
        trace, records, engine_of(records, resolved, trace), resolved, stated, Seed(seed)
    )
