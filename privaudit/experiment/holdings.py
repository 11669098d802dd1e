"""What the targets of a scenario draw from, so that a test can allow for their finite pools.

Counts and overlaps come from the deals. Two more numbers say how alike records are, and depend on
the model: how much of the variance of a record's score its group explains, and how the other
clients' variance compares with the target's. They are measured where they can matter (there are
groups; clients are not dealt alike), on gradients of single records at the trained parameters,
projected on the direction that an adversary would learn: the difference of its own mean gradients
with and without the property.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from scipy.sparse import csr_array
from torch import Tensor

from privaudit.data.dataset import Dataset
from privaudit.federation.partition import ADVERSARY, TARGET
from privaudit.federation.phases import AuditedPhase
from privaudit.federation.schedule import PropertyPools, property_pools
from privaudit.scenario.schema import Scenario
from privaudit.statistics.pools import Holdings
from privaudit.world import World

Key = tuple[int, str, int]
"""Run, property, participants."""


CHUNK = 64
MOST_TARGET, MOST_OTHER, MOST_OTHERS, MOST_OWN = 400, 50, 8, 256
"""Records of the target, of each other client; other clients; own records of each kind."""


def holdings_of(
    world: World, trained: Callable[[int], Tensor] | None = None
) -> dict[Key, list[Holdings]]:
    """Of every run, property and number of participants: of each target, in their order.

    Args:
        world: the scenario with its data.
        trained: run -> [P] parameters that the audited rounds start from; None = the initial ones.
    """
    found = dict(counted(world))
    if not is_measured(world):
        return found
    for run in range(world.scenario.runs):
        parameters = trained(run) if trained else world.engine(run).initial
        for name in world.scenario.audit.properties:
            for place, target in enumerate(_targets(world, max(world.scenario.participants))):
                icc, ratio = _measured(world, run, name, parameters, target)
                for participants in world.scenario.participants:
                    held = found[run, name, participants]
                    if place < len(held):
                        held[place] = replace(held[place], icc=icc, other_variance=ratio)
    return found


def is_measured(world: World) -> bool:
    """Whether ``icc`` and ``other_variance`` are: where records may differ by group or client."""
    return world.dataset.groups is not None or world.scenario.federation.partition != "iid"


def _targets(world: World, participants: int) -> range:
    rotate = world.scenario.audit.targets == "rotate"
    return range(TARGET, participants if rotate else TARGET + 1)


def _pools(world: World, run: int, name: str) -> PropertyPools:
    audit, largest = world.scenario.audit, world.deal(run).largest
    return property_pools(world.dataset, largest, name, audit.batch_size, audit.others)


def counted(world: World) -> Iterator[tuple[Key, list[Holdings]]]:
    """What follows from scenario and data alone: all but ``icc`` and ``other_variance``."""
    scenario, dataset = world.scenario, world.dataset
    for name in scenario.audit.properties:
        pools = [_pools(world, run, name) for run in range(scenario.runs)]
        agreement = label_agreement(dataset, name)
        for participants in scenario.participants:
            phase = world.audited_phase("all", 1.0, participants)
            places = [(r, t) for r in range(scenario.runs) for t in _targets(world, participants)]
            pairs = [(pools[run].present[at], pools[run].absent[at]) for run, at in places]
            weights = _weights(pairs, len(dataset))
            # Two states of a federation have one pool, two targets of a run one each.
            same = [(world.federation(run), target) for run, target in places]
            overlaps = _overlaps((weights @ weights.T).toarray(), same)
            grouped = None if dataset.groups is None else _by_group(weights, dataset.groups)
            found: dict[int, list[Holdings]] = {}
            for place, (run, target) in enumerate(places):
                here, there = pairs[place]
                own = world.coalition(participants)
                others, records = _others(scenario, phase, pools[run], target, own)
                held = Holdings(
                    present=len(here),
                    absent=len(there),
                    batch=phase.batch_size * phase.local_steps,
                    share=phase.property_share,
                    others=others,
                    other_records=records,
                    overlap=overlaps[place],
                    groups=_groups(dataset, here, there),
                    group_weight=None if grouped is None else float(grouped[place]),
                    label_agreement=agreement,
                )
                found.setdefault(run, []).append(held)
            for run, of_run in found.items():
                yield (run, name, participants), of_run


def label_agreement(dataset: Dataset, name: str) -> float:
    """How well the label alone tells a property: balanced accuracy of the best guess from it."""
    values, labels = dataset.properties[name], dataset.labels
    if not {0, 1} <= set(np.unique(values).tolist()):
        return 0.5  # there is nothing to tell
    shares = [
        np.bincount(labels[values == value], minlength=dataset.num_classes)
        / (values == value).sum()
        for value in (1, 0)
    ]
    return float(0.5 + np.abs(shares[0] - shares[1]).sum() / 4)


def _weights(pools: Sequence[tuple[np.ndarray, np.ndarray]], records: int) -> csr_array:
    """[R, N] what each record counts in the difference of the means of two pools."""
    signed = [((here, 1.0), (there, -1.0)) for here, there in pools]
    parts = [(run, part, sign) for run, pair in enumerate(signed) for part, sign in pair]
    data = np.concatenate([np.full(len(part), sign / len(part)) for _, part, sign in parts])
    rows = np.concatenate([np.full(len(part), run) for run, part, _ in parts])
    columns = np.concatenate([part for _, part, _ in parts])
    return csr_array((data, (rows, columns)), shape=(len(pools), records))


def _overlaps(covariance: np.ndarray, same: Sequence[tuple[int, int]]) -> list[float]:
    """For each target the mean correlation with all others; 0 where there are none."""
    _, number = np.unique(np.array(same), axis=0, return_inverse=True)
    deviation = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(deviation, deviation)
    other = np.not_equal.outer(number.ravel(), number.ravel())
    means = (correlation * other).sum(axis=1) / np.maximum(other.sum(axis=1), 1)
    return [float(mean) for mean in np.clip(means, 0.0, 1.0)]


def _by_group(weights: csr_array, groups: np.ndarray) -> np.ndarray:
    """[R] variance of the pools' difference if the records of a group were all equal."""
    _, group = np.unique(groups, return_inverse=True)
    member = csr_array((np.ones(len(group)), (np.arange(len(group)), group)))
    return np.asarray((weights @ member).power(2).sum(axis=1)).ravel()


def _groups(dataset: Dataset, *parts: np.ndarray) -> tuple[int, int] | None:
    if dataset.groups is None:
        return None
    here, there = (len(np.unique(dataset.groups[part])) for part in parts)
    return here, there


def _others(
    scenario: Scenario,
    phase: AuditedPhase,
    pools: PropertyPools,
    target: int,
    coalition: Sequence[int],
) -> tuple[int, float]:
    """How many other honest deltas are in what the adversary sees, and of how many records."""
    inside = min(phase.cohort or phase.participants, phase.participants) - 1 - len(coalition)
    if scenario.audit.threat_model == "server" or inside < 1:
        return 0, 0.0
    own = pools.absent if phase.others == "without" else pools.every
    known = {target, *coalition}
    rest = [own[client] for client in range(phase.participants) if client not in known]
    return inside, float(1 / np.mean([1 / len(part) for part in rest]))


def _measured(
    world: World, run: int, name: str, parameters: Tensor, target: int
) -> tuple[float | None, float]:
    """:func:`_alikeness`, or nothing where a model takes no single records or has diverged."""
    try:
        icc, ratio = _alikeness(world, run, name, parameters, target)
    except (RuntimeError, ValueError):  # batch normalisation, for one
        return None, 1.0
    return icc, ratio


def _alikeness(
    world: World, run: int, name: str, parameters: Tensor, target: int
) -> tuple[float, float]:
    """What a group explains of a target's record, and the others' variance in units of its own."""
    audit, dataset, engine = world.scenario.audit, world.dataset, world.engine(run)
    rng = world.run_seed(run).generator("alikeness", name)
    seed = world.run_seed(run).child("alikeness", name)
    pools = _pools(world, run, name)

    def some(records: np.ndarray, most: int) -> np.ndarray:
        return rng.permutation(records)[:most]

    own = [some(pool[ADVERSARY], MOST_OWN) for pool in (pools.present, pools.absent)]
    means = engine.gradients(parameters, world.samples, own, seed)
    direction = (means[0] - means[1]).double()

    def scores(records: np.ndarray) -> np.ndarray:
        parts = np.array_split(records, range(CHUNK, len(records), CHUNK))
        return np.concatenate(
            [
                (
                    engine.gradients(
                        parameters, world.samples, [r[None] for r in part], seed
                    ).double()
                    @ direction
                ).numpy()
                for part in parts
            ]
        )

    targets = len(_targets(world, max(world.scenario.participants)))
    most = max(MOST_TARGET // targets, MOST_OTHER) // 2
    held = [some(pool[target], most) for pool in (pools.present, pools.absent)]
    values = [scores(part) for part in held]
    if not np.isfinite(np.concatenate(values)).all():
        raise ValueError("gradients are not finite")
    icc = 0.0
    if dataset.groups is not None:
        icc = intraclass(values, [dataset.groups[part] for part in held])
    of_others = pools.absent if audit.others == "without" else pools.every
    spreads: list[float] = [
        scores(some(part, MOST_OTHER)).var(ddof=1)
        for part in [p for client, p in enumerate(of_others) if client not in (0, target)][
            :MOST_OTHERS
        ]
        if len(part) > 1
    ]
    own_variance = float(np.mean([part.var(ddof=1) for part in values if len(part) > 1] or [0]))
    if not spreads or own_variance <= 0 or not np.isfinite(spreads).all():
        return icc, 1.0
    return icc, float(np.mean(spreads)) / own_variance


def intraclass(values: Sequence[np.ndarray], groups: Sequence[np.ndarray]) -> float:
    """Share of the variance within a kind that groups explain, by analysis of variance, in [0, 1].

    Args:
        values: of each kind [n] numbers.
        groups: of each kind [n] group of each.
    """
    between = within = 0.0
    degrees, left, sizes, squares = 0, 0, 0, 0.0
    for kind, group in zip(values, groups, strict=True):
        _, where, counts = np.unique(group, return_inverse=True, return_counts=True)
        means = np.bincount(where, kind) / counts
        between += float((counts * (means - kind.mean()) ** 2).sum())
        within += float(((kind - means[where]) ** 2).sum())
        degrees += len(counts) - 1
        left += len(kind) - len(counts)
        sizes += len(kind)
        squares += float((counts**2).sum()) / len(kind)
    if degrees < 1 or left < 1:
        return 0.0
    typical = (sizes - squares) / degrees
    mean_between, mean_within = between / degrees, within / left
    total = mean_between + (typical - 1) * mean_within
    return float(np.clip((mean_between - mean_within) / total, 0.0, 1.0)) if total > 0 else 0.0
