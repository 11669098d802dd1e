"""What an engine that reaches other machines must do; :mod:`.on_ray` and :mod:`.on_slurm` do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from privaudit.experiment.executors.parcel import Answer, Parcel, pack


@dataclass(frozen=True)
class Machine:
    """One of a cluster.

    Attributes:
        key: by which the engine knows it.
        name: by which people know it.
        slots: tasks it has room for at once.
    """

    key: str
    name: str
    slots: int


@dataclass(frozen=True)
class Call:
    """Tasks to carry out.

    Attributes:
        requests: each with its job and its item, in a pickle.
        reads: for each, what it reads of the run folder.
        home: the run folder; empty where there is none.
        workers: how many at a time.
        machines: the key of the machine for each; empty where any will do.
        quick: whether it is a matter of seconds.
    """

    requests: Sequence[bytes]
    reads: Sequence[Sequence[str]]
    home: str
    workers: int
    machines: Sequence[str] = ()
    quick: bool = False

    def parcel(self, number: int) -> Parcel:
        """One of them, packed."""
        return pack(self.requests[number], self.reads[number], self.home)


class Cluster(Protocol):
    """An engine, as the process has it that talks to it (:mod:`.broker`).

    It is made where keys may be, and sent there: it holds settings and no connection.
    """

    @property
    def flag(self) -> str:
        """The option that names it, for errors."""

    def environment(self) -> dict[str, str]:
        """Variables of the process that talks to it, on top of what holds no secret."""

    def refuse(self) -> None:
        """What can be seen at once.

        Raises:
            UserError: it is not installed, or not to be had here.
        """

    def connect(self) -> list[Machine]:
        """The machines that compute.

        Raises:
            UserError: there is no cluster, it lets nobody in, or has not what is asked for.
        """

    def warm_up(self, path: Sequence[str]) -> None:
        """Start what tasks will need, and do not wait for it."""

    def carry_out(self, call: Call) -> Iterator[tuple[int, Answer]]:
        """Which item, and what came of it, as they come.

        Raises:
            MachineError: the machines, or the engine, did not live to the end.
        """

    def abandon(self) -> None:
        """Whoever asked is gone: cancel what is left."""
