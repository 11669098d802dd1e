"""Where a verb computes: one set of options for all of them that may leave this machine."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

from privaudit.cli.options import Device, Workers, key_values
from privaudit.errors import UserError, unknown_name

if TYPE_CHECKING:
    from privaudit.experiment.executors.local import Local
    from privaudit.experiment.executors.protocol import Executor

LOCAL, RAY, SLURM = "local", "ray", "slurm"


@dataclass(frozen=True)
class Where:
    """What the options say; each field is one of them."""

    executor: Annotated[
        str,
        typer.Option("--executor", help="Who computes: local, ray or slurm (docs/executors.md)."),
    ] = LOCAL
    workers: Workers = None
    device: Device = "cpu"
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="HOST:PORT",
            help="With ray: head of the cluster (default: the one this machine is a node of).",
        ),
    ] = None
    gpus_per_task: Annotated[
        float, typer.Option("--gpus-per-task", help="With --device cuda, on a cluster; e.g. 0.5.")
    ] = 0.0
    slurm: Annotated[
        list[str] | None,
        typer.Option("--slurm", metavar="KEY=VALUE", help="With slurm: e.g. partition=long."),
    ] = None

    def early(self) -> AbstractContextManager[Local | None]:
        """The processes of this machine at once: what they import takes seconds.

        None with a cluster, which has been up for long, and is asked for no more than is needed.

        Raises:
            UserError: the options do not go together.
        """
        self._refuse_mixed()
        if self.executor != LOCAL:
            return nullcontext()
        from privaudit.experiment.executors.local import Local
        from privaudit.machine import cores

        return Local(beforehand=min(self.workers or cores(), cores()))

    def open(self, early: Local | None = None) -> AbstractContextManager[Executor]:
        """Who computes, for as long as the block lasts.

        Args:
            early: who does already (:meth:`early`), and ends with the block, too.

        Raises:
            UserError: the options do not go together, or there is no such cluster.
        """
        if early is not None:
            return closing(early)
        self._refuse_mixed()
        if self.executor == RAY:
            from privaudit.experiment.executors.on_ray import AUTO, OnRay
            from privaudit.experiment.executors.remote import Remote

            return Remote(OnRay(self.address or AUTO, self.gpus_per_task))
        if self.executor == SLURM:
            from privaudit.experiment.executors.on_slurm import OnSlurm
            from privaudit.experiment.executors.remote import Remote

            return Remote(OnSlurm(key_values(self.slurm, "--slurm"), self.gpus_per_task))
        from privaudit.experiment.executors.local import Local

        return Local()

    def __str__(self) -> str:
        """The options again, but for the number of workers; with a space before each."""
        said = "" if self.executor == LOCAL else f" --executor {self.executor}"
        said += f" --address {self.address}" if self.address else ""
        said += f" --device {self.device}" if self.device != "cpu" else ""
        said += f" --gpus-per-task {self.gpus_per_task:g}" if self.gpus_per_task else ""
        return said + "".join(f" --slurm {pair}" for pair in self.slurm or [])

    def _refuse_mixed(self) -> None:
        if self.executor not in (LOCAL, RAY, SLURM):
            raise unknown_name("executor", self.executor, (LOCAL, RAY, SLURM), where="--executor")
        for given, flag, needed in (
            (self.address, "--address", (RAY,)),
            (self.slurm, "--slurm", (SLURM,)),
            (self.gpus_per_task, "--gpus-per-task", (RAY, SLURM)),
        ):
            if given and self.executor not in needed:
                raise UserError(
                    f"says nothing to executor '{self.executor}'",
                    where=flag,
                    remedy=f"use --executor {' or '.join(needed)}, or leave it out",
                )
        if not (math.isfinite(self.gpus_per_task) and self.gpus_per_task >= 0):
            raise UserError(f"{self.gpus_per_task} is no number of GPUs", where="--gpus-per-task")
        if self.gpus_per_task and self.device == "cpu":
            raise UserError(
                "tasks that compute on the CPU would leave their GPU idle",
                where="--gpus-per-task",
                remedy="add --device cuda",
            )


HERE = Where()
"""This machine, as many processes as it has cores."""


def with_where(verb: Callable[..., None]) -> Callable[..., None]:
    """Give a verb the options of :class:`Where` in the place of its argument ``where``."""

    @functools.wraps(verb)
    def command(**given: Any) -> None:
        chosen = {field.name: given.pop(field.name) for field in fields(Where)}
        verb(**given, where=Where(**chosen))

    options = [*inspect.signature(Where, eval_str=True).parameters.values()]
    own = inspect.signature(verb, eval_str=True)
    parameters = [
        option.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in own.parameters.values()
        for option in (options if parameter.name == "where" else [parameter])
    ]
    command.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command
