"""Who wants to hear of the stages of a run; the reward ledger does."""

from __future__ import annotations

from typing import Any


class Listener:
    """Told when a stage is done and its files are written; this one does nothing with it.

    What it raises ends the run. A run that goes on from there announces its stages again, so a
    listener must bear to hear of one twice.
    """

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {"kind": "none"}
        """What the seal of the run repeats; final after :meth:`reported`."""

    @property
    def has_records(self) -> bool:
        """Whether it has put the records that lie there where they can no longer be changed."""
        return False

    def trained(self) -> None:
        """Ordinary training is done, in all runs."""

    def attacked(self) -> None:
        """Every cell has its scores, or the reason why it has none."""

    def judged(self) -> None:
        """The records are written."""

    def reported(self) -> None:
        """The report and the manifest are written."""
