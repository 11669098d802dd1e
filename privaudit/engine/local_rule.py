"""How a client makes a delta of its batches: one rule for clients, for shadows, for the check.

Plain SGD is what the fast steppers do (:mod:`.stepper`); everything else goes one step after the
other through the optimiser of torch that is named here. An optimiser starts anew in every round, as
it does in the clients of the frameworks.

Sources: the proximal term is that of T. Li et al., "Federated Optimization in Heterogeneous
Networks" (FedProx), MLSys 2020, equation 2.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from pydantic import Field, field_validator, model_validator
from torch import nn

from privaudit.engine.losses import CROSS_ENTROPY, LOSSES, loss_named
from privaudit.errors import UserError, unknown_name
from privaudit.options import Options

SGD = "sgd"
KEPT, SHARED = "kept", "shared"

LEFT_OUT = ("optimizer", "lbfgs", "sparseadam", "muon")
"""The base class; calls the loss several times a step; sparse gradients only; matrices only."""

OPTIMISERS: dict[str, type[torch.optim.Optimizer]] = {
    name.lower(): found
    for name, found in vars(torch.optim).items()
    if isinstance(found, type)
    and issubclass(found, torch.optim.Optimizer)
    and name.lower() not in LEFT_OUT
}
"""Those of ``torch.optim``, by the name of their class in small letters."""

OF_THEIR_OWN = ("params", "lr", "momentum", "weight_decay")
"""Arguments of an optimiser that are settings by themselves."""


class LocalOptions(Options):
    """Local training beyond learning rate and momentum: the table ``local``."""

    optimiser: str = Field(
        SGD, description=f"of torch.optim: {', '.join(sorted(OPTIMISERS))}", examples=["adam"]
    )
    settings: dict[str, Any] = Field(
        {},
        description="a table of the optimiser's other arguments, by torch's names, such as "
        "{betas = [0.9, 0.99]} or {nesterov = true}",
    )
    weight_decay: float | None = Field(
        None,
        ge=0,
        allow_inf_nan=False,
        description="of the optimiser, at least 0; unset = torch's default (0; of adamw 0.01)",
        examples=[0.01],
    )
    rates: list[float] = Field(
        [],
        max_length=1_000_000,
        description="a list of factors on the learning rate, one for each round, step or epoch; "
        "empty = none",
    )
    decay: float = Field(
        1.0,
        gt=0,
        le=10,
        description="factor on the learning rate from one of them to the next, in (0, 10]",
    )
    schedule_by: Literal["round", "step", "epoch"] = Field(
        "round",
        description="what rates and decay count: round, or step or epoch within a client's round",
    )
    first_round: int = Field(
        0, ge=0, description="rounds that went before the first one that is counted here"
    )
    proximal: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="weight mu of FedProx: mu / 2 times the squared distance from the global "
        "parameters is added to the loss",
    )
    clip_gradient: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="L2 norm to which a larger gradient is scaled down in each step; unset = off",
        examples=[1.0],
    )
    loss: str = Field(
        CROSS_ENTROPY,
        description=f"{', '.join(LOSSES)} (docs/trace.md says what labels each takes), or "
        "package.module:function of outputs and labels",
    )
    client_update: str | None = Field(
        None,
        description="package.module:function (model, batches, round, rng) that trains the model in "
        "place, instead of all of the above but first_round and loss; unset = off",
        examples=["my_training:update"],
    )

    statistics: Literal["kept", "shared"] = Field(
        "kept",
        description="running statistics of batch normalisation, and whatever else a model has in "
        "its state_dict beside parameters: kept (never leave a client; test sets are normalised by "
        "their own batches) or shared (sent, averaged by the server by records, handed out)",
    )

    @field_validator("optimiser")
    @classmethod
    def _known_optimiser(cls, name: str) -> str:
        if name not in OPTIMISERS:
            raise unknown_name("optimiser", name, OPTIMISERS)
        return name

    @field_validator("loss")
    @classmethod
    def _known_loss(cls, name: str) -> str:
        if ":" not in name and name not in LOSSES:  # code of others is loaded when it is trusted
            loss_named(name)
        return name

    @field_validator("rates")
    @classmethod
    def _finite_rates(cls, rates: list[float]) -> list[float]:
        if not all(0 <= rate <= 1e6 for rate in rates):
            raise ValueError("factors must be in 0 to 1,000,000")
        return rates

    @model_validator(mode="after")
    def _makes_an_optimiser(self) -> Self:
        takes = "momentum" in inspect.signature(OPTIMISERS[self.optimiser]).parameters
        self.try_out(lr=0.1, momentum=0.5 if takes else 0.0)  # nesterov wants some
        return self

    def try_out(self, *, lr: float, momentum: float) -> None:
        """Make one for nothing.

        Raises:
            ValueError: it takes no such argument, or not this value.
        """
        settled = self.optimiser == SGD and not self.settings and self.weight_decay is None
        if settled and min(lr, momentum) >= 0:
            return  # there is nothing to get wrong, and torch takes two seconds for its first one
        self.make([nn.Parameter(torch.zeros(2, 2))], lr=lr, momentum=momentum)

    def make(
        self, parameters: Iterable[nn.Parameter], *, lr: float, momentum: float
    ) -> torch.optim.Optimizer:
        """The optimiser, fresh.

        Raises:
            ValueError: it takes no such argument, or not this value.
        """
        kind = OPTIMISERS[self.optimiser]
        known = [n for n in inspect.signature(kind).parameters if n not in OF_THEIR_OWN]
        for name in self.settings:
            if name in OF_THEIR_OWN:
                raise ValueError(f"'{name}' is a setting by itself, not one of 'settings'")
            if name not in known:
                raise unknown_name(f"setting of {self.optimiser}", name, known)
        given: dict[str, Any] = {n: _as_tuple(value) for n, value in self.settings.items()}
        given["lr"] = lr
        if self.weight_decay is not None:
            given["weight_decay"] = self.weight_decay
        if momentum:
            given["momentum"] = momentum
        for name in given:
            if name not in inspect.signature(kind).parameters:
                raise ValueError(f"optimiser '{self.optimiser}' has no {name}")
        try:
            return kind(parameters, **given)
        except UserError:
            raise
        except (TypeError, ValueError, RuntimeError, AssertionError) as error:
            raise ValueError(f"optimiser '{self.optimiser}' cannot be made: {error}") from error


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


PLAIN = LocalOptions()
"""SGD and cross-entropy."""


@dataclass(frozen=True)
class LocalRule:
    """How a client trains in a round.

    Attributes:
        lr: learning rate before any schedule.
        momentum: of the optimiser, where it has one.
        options: the rest.
        epochs: passes over its records that its batches of a round are; for ``schedule_by`` epoch.
    """

    lr: float
    momentum: float = 0.0
    options: LocalOptions = PLAIN
    epochs: int = 1

    @property
    def is_plain(self) -> bool:
        """Whether every step of a round is one of SGD with one learning rate and momentum."""
        o = self.options
        return (
            o.optimiser == SGD
            and not (o.settings or o.weight_decay or o.proximal or o.clip_gradient)
            and o.client_update is None
            and (o.schedule_by == "round" or not (o.rates or o.decay != 1))
        )

    def rate(self, number: int, step: int = 0, steps: int = 1) -> float:
        """The learning rate of step ``step`` of ``steps`` in round ``number``, all from 0.

        Raises:
            UserError: ``rates`` ends before.
        """
        o = self.options
        at = {
            "round": o.first_round + number,
            "step": step,
            "epoch": step * self.epochs // steps,
        }[o.schedule_by]
        if not o.rates:
            return self.lr if o.decay == 1 else float(self.lr * o.decay**at)
        if at >= len(o.rates):
            raise UserError(
                f"rates has {len(o.rates)} factors, and there is a {o.schedule_by} {at} (from 0)",
                where="local.rates",
                remedy=f"give a factor for every {o.schedule_by}",
            )
        return float(self.lr * o.rates[at] * o.decay**at)

    def check(self, *, rounds: int, steps: int | None = None) -> None:
        """Refuse what would end in the middle of a federation.

        Args:
            rounds: that there are.
            steps: of a client in a round, the most there are; None where that is not known.

        Raises:
            UserError: the optimiser has no momentum; a schedule is not as long as what it is for.
        """
        o = self.options
        try:
            o.try_out(lr=self.lr, momentum=self.momentum)
        except ValueError as error:
            raise UserError(str(error), where="local") from error
        wanted = {"round": o.first_round + rounds, "step": steps, "epoch": self.epochs}
        count = wanted[o.schedule_by]
        if o.rates and count is not None and len(o.rates) < count:
            raise UserError(
                f"rates has {len(o.rates)} factors for {count} {o.schedule_by}s",
                where="local.rates",
                remedy=f"give a factor for every {o.schedule_by}",
            )


def foreign_code(options: Mapping[str, Any]) -> list[str]:
    """Keys of a ``local`` table that name code of somebody's own."""
    named = {name: options.get(name) for name in ("loss", "client_update")}
    return [name for name, value in named.items() if isinstance(value, str) and ":" in value]
