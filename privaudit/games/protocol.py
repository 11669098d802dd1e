"""What a game is: what is secret, who trains on what, what the adversary is given.

The vocabulary is that of A. Salem et al., "SoK: Let the Privacy Games Begin!", IEEE S&P 2023. What
one trial is, and the secret of each, is :func:`privaudit.scenario.truth.presence`: a function of
the scenario and of the data's checksum, computed where it is needed, so that it lies nowhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from privaudit.custody.evidence import EvidenceCollector
from privaudit.custody.folder import RunFolder, trace_folder
from privaudit.observation.public import Seen
from privaudit.observation.trace import Trace
from privaudit.scenario.grid import Cell
from privaudit.world import World


class Game(ABC):
    """One question about the target's records."""

    name: ClassVar[str]

    def check(self, world: World) -> None:  # noqa: B027 - a game may have nothing of its own
        """What of this game alone a user can get wrong, before anything is trained.

        Raises:
            UserError: in one line.
        """

    @abstractmethod
    def observe(
        self, world: World, folder: RunFolder, cells: Sequence[Cell]
    ) -> dict[Cell, EvidenceCollector]:
        """Run the federations of some cells of one run under the tap; leave their traces.

        Returns:
            The evidence for the ledger, where there is one: to be kept when the attacks are done.
        """

    def view(self, folder: RunFolder, cell: Cell) -> Iterable[Seen]:
        """What the adversary of a cell sees, round by round: mostly the trace.

        No iterator: it is read again from the start when an attack has ended its process.
        """
        return Trace.open(trace_folder(folder, cell)).view()

    def facts(self, world: World, folder: RunFolder, cell: Cell) -> dict[str, float]:
        """What a reader needs beside the result, by name; asked when the attacks are done."""
        return {}

    @abstractmethod
    def given(self, world: World, cells: Sequence[Cell]) -> dict[Cell, Any]:
        """What the adversary of each cell has besides the trace; never the ground truth."""
