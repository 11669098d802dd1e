"""What the targets of a scenario draw from, so that a test can allow for their finite pools."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_array

from privaudit.data.dataset import Dataset
from privaudit.experiment.world import World
from privaudit.federation.partition import TARGET
from privaudit.federation.phases import AuditedPhase
from privaudit.federation.schedule import PropertyPools, property_pools
from privaudit.scenario.schema import Scenario
from privaudit.statistics.pools import Holdings

Key = tuple[int, str, int]
"""Run, property, participants."""


def holdings_of(world: World) -> dict[Key, Holdings]:
    """Of every run, property and number of participants, from the deals alone."""
    return dict(_each(world))


def _each(world: World) -> Iterator[tuple[Key, Holdings]]:
    scenario, dataset = world.scenario, world.dataset
    audit = scenario.audit
    for name in audit.properties:
        pools = [
            property_pools(dataset, world.deal(run).largest, name, audit.batch_size, audit.others)
            for run in range(scenario.runs)
        ]
        weights = _weights(pools, len(dataset))
        overlaps = _overlaps(weights @ weights.T)
        grouped = None if dataset.groups is None else _by_group(weights, dataset.groups)
        agreement = label_agreement(dataset, name)
        for run, pool in enumerate(pools):
            here, there = pool.present[TARGET], pool.absent[TARGET]
            for participants in scenario.participants:
                phase = world.audited_phase("all", 1.0, participants)
                others, records = _others(scenario, phase, pool)
                yield (
                    (run, name, participants),
                    Holdings(
                        present=len(here),
                        absent=len(there),
                        batch=phase.batch_size * phase.local_steps,
                        share=phase.property_share,
                        others=others,
                        other_records=records,
                        overlap=overlaps[run],
                        groups=_groups(dataset, here, there),
                        group_weight=None if grouped is None else float(grouped[run]),
                        label_agreement=agreement,
                    ),
                )


def label_agreement(dataset: Dataset, name: str) -> float:
    """How well the label alone tells a property: balanced accuracy of the best guess from it."""
    values, labels = dataset.properties[name], dataset.labels
    shares = [
        np.bincount(labels[values == value], minlength=dataset.num_classes)
        / (values == value).sum()
        for value in (1, 0)
    ]
    return float(0.5 + np.abs(shares[0] - shares[1]).sum() / 4)


def _weights(pools: list[PropertyPools], records: int) -> csr_array:
    """[R, N] what each record counts in the difference of the means of a run's two pools."""
    signed = [((p.present[TARGET], 1.0), (p.absent[TARGET], -1.0)) for p in pools]
    parts = [(run, part, sign) for run, pair in enumerate(signed) for part, sign in pair]
    data = np.concatenate([np.full(len(part), sign / len(part)) for _, part, sign in parts])
    rows = np.concatenate([np.full(len(part), run) for run, part, _ in parts])
    columns = np.concatenate([part for _, part, _ in parts])
    return csr_array((data, (rows, columns)), shape=(len(pools), records))


def _overlaps(products: csr_array) -> list[float]:
    """For each run the mean correlation with the others; 0 where there are none."""
    covariance = products.toarray()
    deviation = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(deviation, deviation)
    runs = len(correlation)
    means = (correlation.sum(axis=1) - 1) / max(runs - 1, 1)
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


def _others(scenario: Scenario, phase: AuditedPhase, pools: PropertyPools) -> tuple[int, float]:
    """How many other honest deltas are in what the adversary sees, and of how many records."""
    inside = min(phase.cohort or phase.participants, phase.participants) - 2
    if scenario.audit.threat_model == "server" or inside < 1:
        return 0, 0.0
    own = pools.absent if phase.others == "without" else pools.every
    return inside, float(1 / np.mean([1 / len(part) for part in own[2 : phase.participants]]))
