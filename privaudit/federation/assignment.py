"""One deal of the records that suits every number of participants of a run."""

from __future__ import annotations

from collections.abc import Sequence

from privaudit.data.dataset import Dataset
from privaudit.errors import UserError
from privaudit.federation.partition import Partition, PartitionPlan, make_partition
from privaudit.federation.schedule import Others, property_pools
from privaudit.randomness import Seed

ATTEMPTS = 50
"""A deal by groups is drawn anew this often until the roles hold what the experiment needs."""


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
) -> dict[int, Partition]:
    """K -> partition, for training and for every audited K, all from one deal.

    Where few groups carry a property (18 left-handed writers, say), a random deal by groups may
    leave the target without any; such a deal is drawn again, from the next child of ``seed``. The
    condition looks only at how many records of each value the roles hold.

    Raises:
        UserError: the last deal's reason, when no deal of :data:`ATTEMPTS` would do.
    """
    attempts = ATTEMPTS if plan.kind == "by-group" else 1
    for attempt in range(attempts):
        child = seed.child("deal", attempt)
        numbers = sorted({train_participants, *audit_participants})
        deal = {k: make_partition(dataset, k, plan, child) for k in numbers}
        try:
            for participants in audit_participants:
                for name in properties:
                    property_pools(dataset, deal[participants], name, batch_size, others)
            return deal
        except UserError as error:
            reason = error
    raise reason
