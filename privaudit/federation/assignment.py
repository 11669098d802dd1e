"""One deal of the records that suits every number of participants of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from privaudit.data.dataset import Dataset
from privaudit.errors import UserError
from privaudit.federation.partition import Partition, PartitionPlan, make_partition
from privaudit.federation.schedule import Others, property_pools
from privaudit.randomness import Seed

ATTEMPTS = 50
"""A deal by groups is drawn anew this often until the roles hold what the experiment needs."""


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
) -> Deal:
    """Partitions for training and for the audited rounds, both from one order of the records.

    Where few groups carry a property (18 left-handed writers, say), a random deal by groups may
    leave the target without any; such a deal is drawn again, from the next child of ``seed``. The
    condition looks only at how many records of each value the roles hold.

    Raises:
        UserError: the last deal's reason, when no deal of :data:`ATTEMPTS` would do.
    """
    attempts = ATTEMPTS if plan.kind == "by-group" else 1
    for attempt in range(attempts):
        child = seed.child("deal", attempt)
        training, largest = (
            make_partition(dataset, participants, plan, child)
            for participants in (train_participants, max(audit_participants))
        )
        try:
            for name in properties:
                property_pools(dataset, largest, name, batch_size, others)
            return Deal(training, largest)
        except UserError as error:
            reason = error
    raise reason
