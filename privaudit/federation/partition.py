"""Who holds which records.

Every partition first sets a test set aside, then gives the adversary and the target their shares,
then splits the rest among the other honest clients. The adversary's share is its auxiliary data; it
is disjoint from everybody else's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from privaudit.data.dataset import Dataset
from privaudit.errors import UserError
from privaudit.randomness import Seed

PartitionKind = Literal["iid", "by-group", "dirichlet"]

ADVERSARY, TARGET = 0, 1
"""Client ids of the two roles; every other client is an honest bystander."""


@dataclass(frozen=True)
class PartitionPlan:
    """How to split: kind, shares of the records (None = an equal part), Dirichlet concentration."""

    kind: PartitionKind = "iid"
    test_share: float = 0.15
    adversary_share: float | None = None
    target_share: float | None = None
    dirichlet_alpha: float = 0.5


@dataclass(frozen=True)
class Partition:
    """Sorted record indices: the held-out ``test`` records and one array per client."""

    test: np.ndarray
    clients: tuple[np.ndarray, ...]


def make_partition(
    dataset: Dataset, participants: int, plan: PartitionPlan, seed: Seed
) -> Partition:
    """Deal the records to ``participants`` clients.

    ``iid`` deals records, ``by-group`` whole groups (writer, author, state), ``dirichlet`` records
    with class proportions drawn per client from Dirichlet(alpha).

    Raises:
        UserError: K < 2, shares that leave nothing, more clients than records or groups, or
            ``by-group`` on a data set without groups.
    """
    if participants < 2:
        raise UserError(
            f"participants must be at least 2 (adversary and target), got {participants}",
            where="participants",
        )
    units = _units(dataset, plan)
    rng = seed.generator("partition")
    order = rng.permutation(len(units))
    shares = _shares(participants, plan)
    total = len(dataset)
    if len(units) < participants + 1:
        what = f"{dataset.group_kind}s" if plan.kind == "by-group" else "records"
        raise UserError(
            f"{participants} clients but only {len(units)} {what} in '{dataset.name}'",
            where="participants",
            remedy="use fewer clients or more data",
        )
    dealt = _deal([units[i] for i in order], [share * total for share in shares])
    test, clients = dealt[0], dealt[1:]
    if plan.kind == "dirichlet":
        clients = _dirichlet(dataset, np.concatenate(clients), shares[1:], plan, rng)
    for number, part in enumerate(clients):
        if not len(part):
            raise UserError(
                f"client {number} of {participants} would hold no record of '{dataset.name}' "
                f"({total} records)",
                where="participants",
                remedy="use fewer clients, a larger dirichlet_alpha or more data",
            )
    return Partition(np.sort(test), tuple(np.sort(part) for part in clients))


def _units(dataset: Dataset, plan: PartitionPlan) -> list[np.ndarray]:
    """What is dealt out whole: single records, or all records of a group."""
    if plan.kind != "by-group":
        return list(np.arange(len(dataset)).reshape(-1, 1))
    if dataset.groups is None:
        raise UserError(
            f"data set '{dataset.name}' has no groups to partition by",
            where="federation.partition",
            remedy="use iid or dirichlet",
        )
    order = np.argsort(dataset.groups, kind="stable")
    _, starts = np.unique(dataset.groups[order], return_index=True)
    return np.split(order, starts[1:])


def _shares(participants: int, plan: PartitionPlan) -> list[float]:
    """Shares of all records: test, adversary, target, then the others; they sum to one."""
    rest = 1.0 - plan.test_share
    fixed = {ADVERSARY: plan.adversary_share, TARGET: plan.target_share}
    given = {client: share for client, share in fixed.items() if share is not None}
    left, others = 1.0 - sum(given.values()), participants - len(given)
    if left < 0 or (others and left <= 0):
        raise UserError(
            f"adversary_share and target_share take {sum(given.values()):g} of the records",
            where="federation",
            remedy="leave some for the other clients",
        )
    return [plan.test_share] + [
        rest * given.get(client, left / others if others else 0.0)
        for client in range(participants)
    ]


def _deal(units: list[np.ndarray], sizes: list[float]) -> list[np.ndarray]:
    """Give each unit to whoever is furthest below the wanted size, relative to it.

    Every taker gets one unit first, so that nobody is left without when units are few and large.
    """
    wanted = np.array(sizes)
    held: list[list[np.ndarray]] = [[] for _ in sizes]
    counts = np.zeros(len(sizes))
    if all(len(unit) == 1 for unit in units):  # records: cut the shuffled list, same sizes
        bounds = np.floor(np.cumsum(wanted)[:-1] + 0.5).astype(int)
        return np.split(np.concatenate(units), bounds)
    takers = [i for i in range(len(sizes)) if wanted[i] > 0]
    for position, unit in enumerate(units):
        if position < len(takers):
            taker = takers[position]
        else:
            taker = int(np.argmin(np.where(wanted > 0, (counts + len(unit) / 2) / wanted, np.inf)))
        held[taker].append(unit)
        counts[taker] += len(unit)
    return [np.concatenate(part) if part else np.empty(0, int) for part in held]


def _dirichlet(
    dataset: Dataset,
    pool: np.ndarray,
    shares: list[float],
    plan: PartitionPlan,
    rng: np.random.Generator,
) -> list[np.ndarray]:
    """Split the pool so that each class is spread over the clients by Dirichlet(alpha * share).

    T.-M. H. Hsu, H. Qi and M. Brown, Measuring the Effects of Non-Identical Data Distribution for
    Federated Visual Classification, 2019; the concentration is scaled by the clients' shares.
    """
    weights = np.array(shares) / sum(shares)
    parts: list[list[np.ndarray]] = [[] for _ in shares]
    for label in range(dataset.num_classes):
        members = rng.permutation(pool[dataset.labels[pool] == label])
        proportions = rng.dirichlet(plan.dirichlet_alpha * weights * len(shares))
        cuts = np.floor(np.cumsum(proportions)[:-1] * len(members)).astype(int)
        for part, piece in zip(parts, np.split(members, cuts), strict=True):
            part.append(piece)
    return [np.concatenate(part) for part in parts]
