"""Ray: plain tasks, by value, on whatever machines its cluster has.

Source: Moritz et al. (2018), "Ray: A Distributed Framework for Emerging AI Applications", OSDI.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from privaudit.errors import MachineError, UserError
from privaudit.experiment.executors import carrying
from privaudit.experiment.executors.cluster import Call, Machine
from privaudit.experiment.executors.parcel import GONE, Answer

AUTO = "auto"
"""The cluster that this machine is a node of."""
RETRIES = 3
"""Times a task is begun again whose process, or node, is gone."""
LOOK = 0.5
"""Seconds after which a wait looks whether there is still a node to wait for."""
OF_RAY = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_TLS_SERVER_KEY")
"""What Ray needs to be let in, and workers must not have."""
START = "ray start --head (docs/executors.md)"


@dataclass(frozen=True)
class OnRay:
    """A Ray cluster that is up already.

    Attributes:
        address: of its head, ``HOST:PORT``; ``auto`` for the one that this machine is a node of.
        gpus: of each task; may be a part of one.
    """

    address: str = AUTO
    gpus: float = 0.0

    @property
    def flag(self) -> str:
        """For errors."""
        return f"--executor ray, cluster '{self.address}'"

    def environment(self) -> dict[str, str]:
        """Tokens are asked for unless it is said otherwise, and nobody is told of our use."""
        chosen = {"RAY_AUTH_MODE": "token", "RAY_task_oom_retries": "1"}
        if _is_loopback(self.address):
            chosen["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # or nodes are looked for elsewhere
        given = {name: os.environ[name] for name in (*chosen, *OF_RAY) if name in os.environ}
        return chosen | given | {"RAY_USAGE_STATS_ENABLED": "0"}

    def refuse(self) -> None:
        """Ray is not installed, or nobody listens at the address."""
        if find_spec("ray") is None:
            raise UserError(
                "Ray is not installed",
                where="--executor ray",
                remedy="pip install 'privaudit[ray]', here and on every node",
            )
        if self.address == AUTO:
            return
        host, _, port = self.address.rpartition(":")
        if not host or not port.isdecimal():
            raise UserError(
                f"'{self.address}' is no address of a cluster",
                where="--address",
                remedy="give HOST:PORT of its head, e.g. 10.0.0.7:6379, from one of its nodes",
            )
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
        except OSError as error:
            raise UserError(
                f"no cluster at {self.address}: {error.strerror or error}",
                where="--address",
                remedy=f"start one there: {START}",
            ) from error

    def connect(self) -> list[Machine]:
        """Its nodes with CPUs."""
        import ray
        from ray.exceptions import AuthenticationError

        try:
            ray.init(
                address=self.address,
                namespace="privaudit",
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except AuthenticationError as error:
            raise UserError(
                "no token to be let in with",
                where=self.flag,
                remedy="put the cluster's into ~/.ray/auth_token or RAY_AUTH_TOKEN_PATH; without "
                "one anybody's code would run there (RAY_AUTH_MODE=disabled allows it)",
            ) from error
        except ConnectionError as error:
            raise UserError(
                f"no cluster: {_first_line(error)}", where=self.flag, remedy=f"start one: {START}"
            ) from error
        except RuntimeError as error:  # another version of Ray or Python, for one
            raise UserError(_first_line(error), where=self.flag) from error
        return self._machines()

    def warm_up(self, path: Sequence[str]) -> None:
        """Start a worker process on every CPU."""
        import ray

        begin = ray.remote(num_cpus=1, num_gpus=self.gpus, max_retries=0)(_begin)
        for machine in self._machines():
            for _ in range(machine.slots):
                begin.options(scheduling_strategy=_only_on(machine.key)).remote(tuple(path))

    def carry_out(self, call: Call) -> Iterator[tuple[int, Answer]]:
        """See :class:`.cluster.Cluster`."""
        import ray

        options: dict[str, Any] = {"num_cpus": 1, "num_gpus": self.gpus, "max_retries": RETRIES}
        task = ray.remote(**options)(carrying.carry_out)
        waiting = list(range(len(call.requests)))[::-1]
        running: dict[Any, int] = {}
        while waiting or running:
            while waiting and len(running) < call.workers:
                number = waiting.pop()
                where = (
                    {"scheduling_strategy": _only_on(call.machines[number])}
                    if call.machines
                    else {"scheduling_strategy": "SPREAD"}
                )
                running[task.options(**where).remote(call.parcel(number))] = number
            ready, _ = ray.wait(list(running), num_returns=1, timeout=LOOK)
            for found in ready:
                yield running.pop(found), _got(found, bound=bool(call.machines))
            if not ready:
                self._refuse_without_nodes()

    def abandon(self) -> None:
        """Ray ends the tasks of whoever is gone."""

    def _machines(self) -> list[Machine]:
        import ray

        alive = [node for node in ray.nodes() if node["Alive"]]
        names = [node["NodeName"] for node in alive]
        found = [
            Machine(
                node["NodeID"],
                name if names.count(name) == 1 else f"{name} ({node['NodeID'][:8]})",
                self._room(node["Resources"]),
            )
            for node, name in zip(alive, names, strict=True)
        ]
        found = [machine for machine in found if machine.slots]
        if not found:
            what = f"GPU for tasks of {self.gpus:g}" if self.gpus else "CPU"
            raise UserError(
                f"none of its {len(alive)} nodes has a {what}",
                where=self.flag,
                remedy="leave out --gpus-per-task" if self.gpus else "add a node that has one",
            )
        return sorted(found, key=lambda machine: machine.name)

    def _room(self, resources: dict[str, float]) -> int:
        room = int(resources.get("CPU", 0))
        return min(room, int(resources.get("GPU", 0) / self.gpus)) if self.gpus else room

    def _refuse_without_nodes(self) -> None:
        try:
            self._machines()
        except UserError as error:
            raise MachineError("all its nodes are gone", where=self.flag) from error


def _begin(path: tuple[str, ...]) -> None:
    carrying.prepare(path)


def _only_on(key: str) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(key, soft=False)


def _got(found: Any, *, bound: bool) -> Answer:
    """What came of a task, which may have been bound to one machine."""
    import ray
    from ray import exceptions

    try:
        answer: Answer = ray.get(found)
    except exceptions.OutOfMemoryError as error:
        raise MachineError(
            f"a task outgrew the memory of its node: {_first_line(error)}",
            remedy="use fewer workers, or nodes with more memory",
            fewer_workers=True,
        ) from error
    except exceptions.RayTaskError as error:
        if isinstance(error.cause, OSError):
            raise MachineError(f"on a node: {error.cause}") from error
        raise
    except (exceptions.WorkerCrashedError, exceptions.NodeDiedError) as error:
        raise MachineError(
            f"a task was lost with its process or node {RETRIES + 1} times: {_first_line(error)}"
        ) from error
    except exceptions.TaskUnschedulableError as error:
        if not bound:
            raise MachineError(f"Ray: {_first_line(error)}") from error
        answer = Answer(GONE, None, {})
    except exceptions.RayError as error:
        raise MachineError(f"Ray: {_first_line(error)}") from error
    return answer


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{lines[0]}" if lines else type(error).__name__


def _is_loopback(address: str) -> bool:
    return address.rpartition(":")[0] in ("127.0.0.1", "localhost")
