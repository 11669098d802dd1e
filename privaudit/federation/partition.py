"""Who holds which records.

A partition first sets a test set aside - the same one for every number of participants - and then
deals the rest: to the adversary and the target their shares, to the other honest clients equal
parts of what is left. The adversary's part is its auxiliary data, disjoint from everybody else's.
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
"""Client ids of the two roles; every other client is an honest bystander, or colludes."""


def coalition(colluders: int) -> tuple[int, ...]:
    """The adversary and those who pool with it what they own and see: the first after the target.

    So the clients of a larger federation collude where those of a smaller one do.
    """
    return (ADVERSARY, *range(TARGET + 1, TARGET + 1 + colluders))


class UnevenDealError(UserError):
    """Somebody holds too little in this deal; in another everybody may hold enough."""


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
        UnevenDealError: a client would hold nothing in this deal.
    """
    if participants < 2:
        raise UserError(
            f"participants must be at least 2 (adversary and target), got {participants}",
            where="participants",
        )
    units = _units(dataset, plan)
    if len(units) < participants + 1:
        what = f"{dataset.group_kind}s" if plan.kind == "by-group" else "records"
        raise UserError(
            f"{participants} clients and a test set, but only {len(units)} {what} "
            f"in '{dataset.name}'",
            where="participants",
            remedy="use fewer clients or more data",
        )
    order = seed.generator("test").permutation(len(units))
    reserved = len(units) - participants  # every client can get one unit
    test, rest = _set_aside([units[i] for i in order], plan.test_share * len(dataset), reserved)
    shares = _client_shares(participants, plan)
    if plan.kind == "dirichlet":
        rng = seed.generator("dirichlet", participants)
        clients = _dirichlet(dataset, np.concatenate(rest), shares, plan.dirichlet_alpha, rng)
    else:
        clients = _deal(rest, shares)
    for number, part in enumerate(clients):
        if not len(part):
            raise UnevenDealError(
                f"client {number} of {participants} would hold no record of '{dataset.name}' "
                f"({len(dataset)} records)",
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


def _set_aside(
    units: list[np.ndarray], size: float, most: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """The first units that together hold about ``size`` records, at least one, at most ``most``."""
    ends = np.cumsum([len(unit) for unit in units])
    count = int(np.clip(np.searchsorted(ends, size, side="left") + 1, 1, most))
    return np.concatenate(units[:count]), units[count:]


def _client_shares(participants: int, plan: PartitionPlan) -> np.ndarray:
    """[K] shares that sum to one: the adversary's, the target's, equal parts for the others."""
    fixed = {ADVERSARY: plan.adversary_share, TARGET: plan.target_share}
    given = {client: share for client, share in fixed.items() if share is not None}
    left, others = 1.0 - sum(given.values()), participants - len(given)
    if left < 0 or (others and left <= 1e-9):
        raise UserError(
            f"adversary_share and target_share take {sum(given.values()):g} of the records",
            where="federation",
            remedy="leave some for the other clients",
        )
    shares = np.array([given.get(c, left / others if others else 0.0) for c in range(participants)])
    normalised: np.ndarray = shares / shares.sum()
    return normalised


def _deal(units: list[np.ndarray], shares: np.ndarray) -> list[np.ndarray]:
    """One unit to everybody, then each unit to whoever is furthest below its share.

    Units of one record each are simply cut in proportion.
    """
    if all(len(unit) == 1 for unit in units):
        bounds = np.floor(np.cumsum(shares)[:-1] * len(units) + 0.5).astype(int)
        return np.split(np.concatenate(units), bounds)
    held: list[list[np.ndarray]] = [[unit] for unit in units[: len(shares)]]
    counts = np.array([len(unit) for unit in units[: len(shares)]], dtype=float)
    for unit in units[len(shares) :]:
        taker = int(np.argmin((counts + len(unit) / 2) / shares))
        held[taker].append(unit)
        counts[taker] += len(unit)
    return [np.concatenate(part) for part in held]


def _dirichlet(
    dataset: Dataset,
    pool: np.ndarray,
    shares: np.ndarray,
    alpha: float,
    rng: np.random.Generator,
) -> list[np.ndarray]:
    """Split the pool so that each class is spread over the clients by Dirichlet(alpha K share).

    T.-M. H. Hsu, H. Qi and M. Brown, Measuring the Effects of Non-Identical Data Distribution for
    Federated Visual Classification, 2019; the concentration is scaled by the clients' shares.
    """
    parts: list[list[np.ndarray]] = [[] for _ in shares]
    for label in range(dataset.num_classes):
        members = rng.permutation(pool[dataset.labels[pool] == label])
        proportions = rng.dirichlet(alpha * shares * len(shares))
        cuts = np.floor(np.cumsum(proportions)[:-1] * len(members)).astype(int)
        for part, piece in zip(parts, np.split(members, cuts), strict=True):
            part.append(piece)
    return [np.concatenate(part) for part in parts]
