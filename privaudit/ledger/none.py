"""A run without a ledger: nothing is recorded, its files are fixed by hash all the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from privaudit.custody.folder import RunFolder
from privaudit.custody.manifest import write_seal

if TYPE_CHECKING:
    from privaudit.audit import Progress


class WithoutLedger:
    """Takes the place of :class:`privaudit.ledger.recording.RunLedger` and does nothing."""

    def record_training(self, show: Progress) -> None:
        """Nothing."""

    def record_cells(self, show: Progress) -> None:
        """Nothing."""

    @property
    def has_results(self) -> bool:
        """Nothing is recorded."""
        return False

    def record_results(self) -> None:
        """Nothing."""

    def conclude(self) -> None:
        """Nothing."""


@contextmanager
def without_ledger(folder: RunFolder) -> Iterator[WithoutLedger]:
    """Until the block ends, then the seal of a run without a ledger."""
    yield WithoutLedger()
    write_seal(folder, {"kind": "none"})
