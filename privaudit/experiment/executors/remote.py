"""Tasks on the machines of a cluster, through one process that talks to its engine."""

from __future__ import annotations

import pickle
import queue
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, get_type_hints

from privaudit.errors import MachineError, UserError
from privaudit.experiment.executors.cluster import Call, Cluster, Machine
from privaudit.experiment.executors.parcel import GONE
from privaudit.experiment.executors.process import Answers, WorkerProcess, raised
from privaudit.experiment.executors.protocol import (
    Executor,
    Item,
    Node,
    Result,
    Then,
    Vanished,
    nothing,
)

BROKER = "broker"
LOOK = 0.5
"""Seconds after which a wait looks around."""
PATIENCE = 60.0
"""Seconds until an engine that does not answer is taken for none."""
SIGNS = {
    "InvalidAuthToken": ("lets nobody in with this token", "use the token the cluster began with"),
    "Failed to connect to GCS": ("does not answer", "start it, or give another --address"),
}
"""What an engine writes when it cannot connect, some of them long before it gives up."""


class Remote(Executor):
    """The block's tasks go to a cluster; what they had begun is cancelled when it ends.

    Args:
        cluster: which, and how.
    """

    elsewhere: bool = True

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._answers: Answers = queue.SimpleQueue()
        self._broker: WorkerProcess | None = None
        self._machines: list[Machine] = []

    def __enter__(self) -> Self:
        self._cluster.refuse()
        self._begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Cancel what is left, and let go of the cluster."""
        if self._broker is not None:
            self._broker.dismiss()
            self._broker = None
            self._said.close()
        self._machines = []

    @property
    def slots(self) -> int:
        """Tasks that all its machines have room for at once."""
        return sum(machine.slots for machine in self._connected())

    def each(
        self,
        task: Callable[[Any, Item], Result],
        job: Any,
        items: Iterable[Item],
        *,
        workers: int = 1,
        then: Then[Item, Result] = nothing,
    ) -> Iterator[tuple[Item, Result | Vanished]]:
        """As :meth:`.protocol.Executor.each`."""
        every, meaning = list(items), _meaning_of(task)
        while every:
            following: list[Item] = []
            for number, how, what in self._carried_out(_call(task, job, every, workers)):
                result = meaning(how, what)
                following += then(every[number], result)
                yield every[number], result
            every = following

    def on_each_node(
        self, task: Callable[[Any, int], Result], job: Any, workers: int
    ) -> Iterator[tuple[Node, Result | Vanished]]:
        """As :meth:`.protocol.Executor.on_each_node`; of a machine that is gone nothing is heard.

        Raises:
            MachineError: they are all gone.
        """
        machines = self._connected()
        nodes = [Node(machine.name, min(machine.slots, workers)) for machine in machines]
        call = _call(task, job, [node.processes for node in nodes], len(nodes))
        meaning = _meaning_of(task)
        keys = [machine.key for machine in machines]
        for number, how, what in self._carried_out(replace(call, machines=keys)):
            if how == GONE:
                self._machines = [left for left in self._machines if left != machines[number]]
                if not self._machines:
                    raise MachineError("all its nodes are gone", where=self._cluster.flag)
                continue
            try:
                yield nodes[number], meaning(how, what)
            except UserError as error:
                raise _of_node(nodes[number].name, error) from error

    def _carried_out(self, call: Call) -> Iterator[tuple[int, str, Any]]:
        """Which item, how its task ended, and what goes with that."""
        if not call.requests:
            return
        self._connected()
        assert self._broker is not None
        self._broker.give(call)
        ended = False
        try:
            while True:
                kind, content = self._next()
                if kind == "answer":
                    yield tuple(content)
                    continue
                ended = kind != "vanished"
                if kind == "end":
                    return
                raise raised(kind, content) if ended else self._lost()
        finally:
            if not ended:  # left in the middle: what is still done is of no use to anybody
                self.close()

    def _begin(self) -> None:
        # What an engine writes is for whoever looks into why it failed, and there is a lot of it.
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        self._broker = WorkerProcess(
            self._answers,
            module=BROKER,
            environment=self._cluster.environment(),
            stderr=self._said,
        )
        self._broker.give(self._cluster)

    def _connected(self) -> list[Machine]:
        """The machines; waits until the engine has said which."""
        if self._machines:
            return self._machines
        if self._broker is None:
            self._begin()
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            self._refuse_signs()
            with suppress(queue.Empty):
                kind, content = self._next(timeout=LOOK)
                if kind == "machines":
                    self._machines = [Machine(*row) for row in content]
                    return self._machines
                if kind != "vanished":
                    raise raised(kind, content)
                self._refuse_signs()
                break
        raise UserError(
            "does not answer",
            where=self._cluster.flag,
            remedy="start it, or give another --address",
        )

    def _refuse_signs(self) -> None:
        self._said.seek(0)
        written = self._said.read().decode(errors="replace")
        for sign, (what, remedy) in SIGNS.items():
            if sign in written:
                assert self._broker is not None
                self._broker.kill()
                raise UserError(what, where=self._cluster.flag, remedy=remedy)

    def _next(self, timeout: float | None = None) -> tuple[str, Any]:
        """What the process says next; of one that is closed nothing is of interest."""
        until = None if timeout is None else time.monotonic() + timeout
        while until is None or time.monotonic() < until:
            with suppress(queue.Empty):
                said_by, kind, content = self._answers.get(timeout=LOOK)
                if said_by is self._broker:
                    return kind, content
        raise queue.Empty

    def _lost(self) -> MachineError:
        return MachineError("the connection to the cluster was lost", where=self._cluster.flag)


def _meaning_of(task: Callable[..., Any]) -> Callable[[str, Any], Any]:
    """What an answer to a task means: its result, or the error it ended with is raised."""
    from pydantic import TypeAdapter

    returned: TypeAdapter[Any] = TypeAdapter(get_type_hints(task)["return"])

    def meaning(how: str, what: Any) -> Any:
        if how == "vanished":
            return Vanished(what)
        if how != "done":
            raise raised(how, what)
        return returned.validate_python(what)

    return meaning


def _call(task: Callable[..., Any], job: Any, items: Sequence[Any], workers: int) -> Call:
    named = getattr(task, "reads", None)
    return Call(
        requests=[pickle.dumps((task, job, item)) for item in items],
        reads=[list(named(job, item)) if named else [] for item in items],
        home=str(getattr(job, "folder", "")),
        workers=workers,
        quick=getattr(task, "quick", False),
    )


def _of_node(name: str, error: UserError) -> UserError:
    if not name:  # Slurm's machines have none before it chooses them
        return error
    where = f"node {name}" + (f": {error.where}" if error.where else "")
    if isinstance(error, MachineError):
        return MachineError(error.what, where=where, remedy=error.remedy)
    return UserError(error.what, where=where, remedy=error.remedy)
