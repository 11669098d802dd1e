"""One deal of the records that suits every number of participants of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from privaudit.data.dataset import Dataset
from privaudit.errors import UserError
from privaudit.federation.partition import (
    Partition,
    PartitionPlan,
    UnevenDealError,
    make_partition,
)
from privaudit.federation.schedule import Others, property_pools
from privaudit.randomness import Seed

ATTEMPTS = 50
"""A deal is drawn anew this often until everybody holds what the experiment needs."""

LARGER_ALPHAS = (0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Tried in this order where none can be dealt, to name one that can."""


@dataclass(frozen=True)
class Deal:
    """Who holds which records in a run: in the ordinary training, and in the audited rounds.

    ``largest`` is the partition of the largest audited federation. A smaller one is its first
    clients (:meth:`audited`): whoever joins brings records along, and whoever is there keeps its
    own. So what changes with the number of participants is the number of participants alone.
    """

    training: Partition
    largest: Partition

    def audited(self, participants: int) -> Partition:
        """The first ``participants`` clients of the largest audited federation."""
        return Partition(self.largest.test, self.largest.clients[:participants])

    def training_without(self, records: np.ndarray) -> Deal:
        """The same, but that the adversary does not train on some of its records.

        Raises:
            UserError: none is left.
        """
        if not len(records):
            return self
        own, *others = self.training.clients
        kept = own[~np.isin(own, records)]
        if not len(kept):
            raise UserError(
                f"leaves the adversary none of its {len(own)} records to train on",
                where="audit.auxiliary_held_out",
                remedy="hold out fewer, or let it have more (federation.adversary_share)",
            )
        return replace(self, training=Partition(self.training.test, (kept, *others)))


def assign(
    dataset: Dataset,
    plan: PartitionPlan,
    *,
    train_participants: int,
    audit_participants: Sequence[int],
    properties: Sequence[str],
    batch_size: int,
    others: Others,
    seed: Seed,
    rotate: bool = False,
) -> Deal:
    """Partitions for training and for the audited rounds, both from one order of the records.

    Where few groups carry a property (18 left-handed writers, say), a random deal by groups may
    leave the target without any, and a Dirichlet deal of small concentration leaves some client
    without a record; such a deal is drawn again, from the next child of ``seed``. The condition
    looks only at how many records of each value everybody holds.

    Raises:
        UserError: the last deal's reason, when no deal of :data:`ATTEMPTS` would do; for
            ``dirichlet`` with the smallest concentration that would.
    """

    def dealt(plan: PartitionPlan, attempt: int) -> Deal:
        child = seed.child("deal", attempt)
        training, largest = (
            make_partition(dataset, participants, plan, child)
            for participants in (train_participants, max(audit_participants))
        )
        for name in properties:
            property_pools(dataset, largest, name, batch_size, others, rotate=rotate)
        return Deal(training, largest)

    for attempt in range(1 if plan.kind == "iid" else ATTEMPTS):
        try:
            return dealt(plan, attempt)
        except UnevenDealError as error:
            reason = error
    if plan.kind != "dirichlet":
        raise reason
    raise _too_uneven(plan, reason, _larger_alpha(plan, dealt))


def _larger_alpha(plan: PartitionPlan, dealt: Callable[[PartitionPlan, int], Deal]) -> str:
    """The smallest concentration above the plan's that can be dealt in any run, in words."""
    for alpha in LARGER_ALPHAS:
        if alpha > plan.dirichlet_alpha:
            succeeded = 0
            for attempt in range(ATTEMPTS):
                with contextlib.suppress(UnevenDealError):
                    dealt(replace(plan, dirichlet_alpha=alpha), attempt)
                    succeeded += 1
            if succeeded >= ATTEMPTS // 10:  # else another run may find none (0.9^50 = 0.5 %)
                return f"{alpha:g} can be dealt"
    return "no larger one helps"


def _too_uneven(plan: PartitionPlan, reason: UserError, other: str) -> UserError:
    return UserError(
        f"with dirichlet_alpha {plan.dirichlet_alpha:g} none of {ATTEMPTS} deals gave everybody "
        f"enough; in the last, {reason.what}",
        where="federation.dirichlet_alpha",
        remedy=f"{other}; or use a smaller audit.batch_size, fewer participants, others = "
        "'natural' or more data",
    )
