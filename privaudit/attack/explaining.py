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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from privaudit.attack.auxiliary import GROUPS, LABELS, is_input, read_own_records
from privaudit.attack.own_trace import OwnTrace, engine_of, open_trace
from privaudit.attack.reading import SURE, Reading, read
from privaudit.attack.replicas import CLOSE, Look, pools_of, rows_of
from privaudit.data.archive import array_names
from privaudit.data.user_checks import user_file
from privaudit.errors import UserError
from privaudit.observation.rules import Rules
from privaudit.randomness import Seed

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
        likely: smallest p-value of anything after all changes.
    """

    rounds: int
    replicas: int
    reading: Reading
    changes: tuple[Change, ...]
    left: bool
    likely: float

    @property
    def explained(self) -> bool:
        """Whether the stated rules explain what was sent."""
        return not self.changes


def explain(case: OwnTrace, look: Look = CLOSE) -> Explanation:
    """Hold the adversary's own deltas against the rules.

    Args:
        case: a trace of a participant with its records, model and rules.
        look: how closely; a briefer one is faster, and sees less.

    Raises:
        UserError: it is a server's trace, or the adversary took part in fewer than 2 rounds.
    """
    look = look.at(case.engine.layout.size)
    seen = _rounds(case, look.rounds)
    found = []
    # What the adversary drew is not stated: records of either kind, or those without a property.
    for records in pools_of(case.records).values():
        found.append(_explain(case, seen, records, look))
        if found[-1].explained:
            break
    return min(found, key=lambda one: (len(one.changes), one.left, -one.likely))


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


def _explain(
    case: OwnTrace, numbers: Sequence[int], records: np.ndarray, look: Look
) -> Explanation:
    rules, changes = case.rules, list[Change]()
    first = reading = read(rows_of(case, numbers, records, rules, look))
    while len(changes) < MOST_STEPS:
        change = _what_is_off(reading, rules)
        if change is None:
            break
        changes.append(change)
        if not change.explains:
            break
        rules = _with(rules, change.rules)
        negated = any(one.sign for one in changes)
        reading = read(rows_of(case, numbers, records, rules, look), negated=negated)
    left = _what_is_off(reading, rules) is not None
    likely = min(one.p for one in reading.all())
    return Explanation(len(numbers), look.replicas, first, tuple(changes), left, likely)


def _with(rules: Rules, settings: Mapping[str, Any]) -> Rules:
    """The rules with these settings; those of the table ``local`` as ``local.name``."""
    local = {n.removeprefix("local."): v for n, v in settings.items() if n.startswith("local.")}
    flat = {n: v for n, v in settings.items() if not n.startswith("local.")}
    return rules.model_copy(update={**flat, "local": rules.local.model_copy(update=local)})


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
        f"{proposed:g}{instead}, or it trained on other records than these",
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
