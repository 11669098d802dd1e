"""How alike the records of a target are: two numbers that depend on the model.

How much of the variance of a record's score its group explains, and how the other clients' variance
compares with the target's. Measured on the gradients of single records at the trained parameters,
projected on the direction that an adversary would learn: the difference of its own mean gradients
with and without the property.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from privaudit.custody.folder import RunFolder
from privaudit.custody.models import trained_parameters
from privaudit.experiment.executors.protocol import Executor, reads
from privaudit.experiment.holdings import Alikeness, Target, is_measured, pools_of, targets_of
from privaudit.experiment.tasks import Job, reads_of_rounds, whole
from privaudit.federation.partition import ADVERSARY
from privaudit.world import World

MOST_TARGET, MOST_OTHER, MOST_OTHERS, MOST_OWN = 400, 50, 8, 256
"""Records of the target, of each other client; other clients; own records of each kind."""


def measured(
    executor: Executor, job: Job, world: World, *, workers: int
) -> dict[Target, Alikeness]:
    """Of every target of a run whose federations have been trained; none where it cannot matter.

    The model's code runs where models are trained, not in the process that asks.

    Raises:
        UserError: a worker process did not live to the end.
    """
    found = executor.each(alikeness_task, job, targets_measured(world), workers=workers)
    return {target: whole(result, f"records of run {target[0]}") for target, result in found}


def targets_measured(world: World) -> list[Target]:
    """Whose records are looked at."""
    if not is_measured(world):
        return []
    return [
        (run, name, target)
        for run in range(world.scenario.runs)
        for name in world.scenario.audit.properties
        for target in targets_of(world, max(world.scenario.participants))
    ]


@reads(lambda job, target: reads_of_rounds(target[0]))
def alikeness_task(job: Job, target: Target) -> Alikeness:
    """At the parameters that the audited rounds start from."""
    return alikeness(job.world(), trained_parameters(RunFolder(job.folder), target[0]), target)


def alikeness(world: World, parameters: Tensor, target: Target) -> Alikeness:
    """Of one target at [P] parameters; unknown where a model has diverged or mixes its records."""
    try:
        return _measure(world, parameters, target)
    except (RuntimeError, ValueError):  # batch normalisation, for one
        return Alikeness(None, 1.0)


def _measure(world: World, parameters: Tensor, of: Target) -> Alikeness:
    run, name, target = of
    audit, dataset, engine = world.scenario.audit, world.dataset, world.engine(run)
    rng = world.run_seed(run).generator("alikeness", name)
    seed = world.run_seed(run).child("alikeness", name)
    pools = pools_of(world, run, name)

    def some(records: np.ndarray, most: int) -> np.ndarray:
        return rng.permutation(records)[:most]

    own = [some(pool[ADVERSARY], MOST_OWN) for pool in (pools.present, pools.absent)]
    means = engine.gradients(parameters, world.samples, own, seed)
    direction = means[0] - means[1]

    def scores(records: np.ndarray) -> np.ndarray:
        found = engine.slopes(parameters, world.samples, records, direction, seed)
        return found.double().numpy()

    targets = len(targets_of(world, max(world.scenario.participants)))
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
        return Alikeness(icc, 1.0)
    return Alikeness(icc, float(np.mean(spreads)) / own_variance)


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
