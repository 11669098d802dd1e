"""What the targets of a scenario draw from, so that a test can allow for their finite pools.

Counts and overlaps come from the deals. How alike records are is measured (:mod:`.alikeness`)
where it can matter: there are groups, or clients are not dealt alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array

from privaudit.data.dataset import Dataset
from privaudit.federation.partition import TARGET
from privaudit.federation.phases import AuditedPhase
from privaudit.federation.schedule import PropertyPools, property_pools
from privaudit.scenario.schema import Scenario
from privaudit.statistics.pools import Holdings
from privaudit.world import World

Key = tuple[int, str, int]
"""Run, property, participants."""

Target = tuple[int, str, int]
"""Run, property, and which client is the target."""


@dataclass(frozen=True)
class Alikeness:
    """Of a target's records, and of the others' beside them.

    Attributes:
        icc: share of the variance of a record's score that its group explains; None = unknown.
        other_variance: variance of another client's record in units of the target's.
    """

    icc: float | None
    other_variance: float


def holdings_of(
    world: World, alike: Mapping[Target, Alikeness] | None = None
) -> dict[Key, list[Holdings]]:
    """Of every run, property and number of participants: of each target, in their order.

    Args:
        world: the scenario with its data.
        alike: what was measured (:func:`.alikeness.measured`).
    """
    found = dict(counted(world))
    for (run, name, target), measured in (alike or {}).items():
        place = target - TARGET
        for participants in world.scenario.participants:
            held = found[run, name, participants]
            if place < len(held):
                held[place] = replace(
                    held[place], icc=measured.icc, other_variance=measured.other_variance
                )
    return found


def is_measured(world: World) -> bool:
    """Whether ``icc`` and ``other_variance`` are: where records may differ by group or client."""
    return world.dataset.groups is not None or world.scenario.federation.partition != "iid"


def targets_of(world: World, participants: int) -> range:
    """Which clients are the target of one cell after the other."""
    rotate = world.scenario.audit.targets == "rotate"
    return range(TARGET, participants if rotate else TARGET + 1)


def pools_of(world: World, run: int, name: str) -> PropertyPools:
    """What each client of a run can draw batches with and without a property from."""
    audit, largest = world.scenario.audit, world.deal(run).largest
    return property_pools(world.dataset, largest, name, audit.batch_size, audit.others)


def counted(world: World) -> Iterator[tuple[Key, list[Holdings]]]:
    """What follows from scenario and data alone: all but ``icc`` and ``other_variance``."""
    scenario, dataset = world.scenario, world.dataset
    for name in scenario.audit.properties:
        pools = [pools_of(world, run, name) for run in range(scenario.runs)]
        agreement = label_agreement(dataset, name)
        for participants in scenario.participants:
            phase = world.audited_phase("all", 1.0, participants)
            places = [(r, t) for r in range(scenario.runs) for t in targets_of(world, participants)]
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
