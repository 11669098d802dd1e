"""What every participant of a federation knows of it beforehand, in one type.

The simulator writes it whole into a trace, other writers what they know of it (docs/trace.md);
``privaudit attack`` reads it there, and the adversary's shadows are made by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from privaudit.defences.registry import Step
from privaudit.defences.sharing import SHARING_RULES, Sharing
from privaudit.defences.transforms import Transforms
from privaudit.engine.local_rule import PLAIN, LocalOptions, LocalRule
from privaudit.errors import UserError
from privaudit.federation.server import AVERAGE, ServerOptions
from privaudit.options import Options, parse_options

MOST_RECORDS = 10**7
"""That a client may draw in one round."""


class Rules(Options):
    """The rules of a federation, ``property_share`` and ``others`` as far as known or assumed.

    ``defences``, ``local``, ``server`` and ``frozen`` are not written where nothing is in them.
    """

    model_config = ConfigDict(protected_namespaces=())

    model: str | None = Field(
        None, description="a bundled model or package.module:Class; unset: --model must say"
    )
    model_options: dict[str, Any] = Field({}, description="arguments of the model's constructor")
    frozen: str | None = Field(
        None,
        pattern="^[0-9a-f]{64}$",
        description="SHA-256 of the model's parameters that are not trained "
        "(privaudit.engine.frozen); an attack compares",
    )
    participants: int = Field(ge=1, description="clients, the adversary included")
    cohort: int | None = Field(None, ge=1, description="clients in a round, where not all are")
    weights: list[float] | None = Field(
        None, description="a list of the clients' shares c_n / c in the average, where not equal"
    )
    batch_size: int = Field(ge=1, le=10**6, description="records per batch, 1 to 1,000,000")
    local_steps: int = Field(
        1, ge=1, le=10**5, description="batches per client and round, 1 to 100,000"
    )
    local_epochs: int | None = Field(
        None,
        ge=1,
        le=10**5,
        description="whole passes of a client over its records in a round; unset: batches are "
        "drawn",
    )
    lr: float = Field(
        gt=0, allow_inf_nan=False, description="learning rate of the clients, above 0"
    )
    momentum: float = Field(0.0, ge=0, lt=1, description="of the clients' optimiser, in [0, 1)")
    local: LocalOptions = Field(
        PLAIN,
        description="local training beyond plain SGD and cross-entropy: a table of the keys of "
        "[local] (docs/settings.md), such as --set local.optimiser=adam",
    )
    server: ServerOptions = Field(
        AVERAGE,
        description="the server's optimiser: a table of the keys of [server] (docs/settings.md)",
    )
    sharing_rule: str = Field(
        "all",
        description=f"which coordinates of a delta are shared: {', '.join(SHARING_RULES)}",
    )
    shared_fraction: float = Field(1.0, gt=0, le=1, description="how many of them, in (0, 1]")
    clip_norm: float | None = Field(
        None, gt=0, description="L2 norm to which clients scale a larger delta down"
    )
    noise: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="deviation of the Gaussian noise clients add to each coordinate",
    )
    defences: list[Step] = Field(
        [],
        description="what else is done to deltas, before it is chosen what is shared: a list of "
        "steps (docs/defences.md)",
    )
    norm_bound: float | None = Field(
        None, gt=0, description="L2 norm above which the server refuses a delta"
    )
    property_share: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of the target's batch that has the property when it is present",
    )
    others: Literal["without", "natural"] = Field(
        "natural",
        description="without (the other honest clients never hold the property) or natural",
    )
    persistent: bool = Field(
        False,
        description="true where the property stays: in every round, in none, or for a stretch; "
        "false where it comes and goes by the round",
    )

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        table: dict[str, Any] = handler(self)
        if not self.defences:
            table.pop("defences", None)
        if self.local == PLAIN:
            table.pop("local", None)
        if self.server == AVERAGE:
            table.pop("server", None)
        if self.frozen is None:
            table.pop("frozen", None)
        return table

    @model_validator(mode="after")
    def _known_sharing(self) -> Self:
        if self.transforms.in_training is not None and self.local.client_update is not None:
            raise ValueError("dp-sgd does not go with local.client_update, whose steps are its own")
        if self.batch_size * self.local_steps > MOST_RECORDS:
            raise ValueError(
                f"batch_size x local_steps is {self.batch_size * self.local_steps:,} records a "
                f"client and round, more than {MOST_RECORDS:,}"
            )
        return self

    @property
    def local_rule(self) -> LocalRule:
        """How a client trains in a round."""
        return LocalRule(self.lr, self.momentum, self.local, self.local_epochs or 1)

    @property
    def transforms(self) -> Transforms:
        """What a client does to its delta before sending it."""
        sharing = Sharing(self.sharing_rule, self.shared_fraction)
        return Transforms(self.clip_norm, self.noise, sharing, tuple(self.defences))


Speaker = Literal["trace", "option", "default"]
"""Who stated a rule."""


def check_stated(stated: Mapping[str, Any], *, where: str) -> None:
    """Rules by name, as far as they are known.

    Raises:
        UserError: one does not exist or is out of range.
    """
    needed = [name for name, field in Rules.model_fields.items() if field.is_required()]
    parse_options(Rules, dict.fromkeys(needed, 1) | dict(stated), where=where)


def resolve_rules(
    stated: Mapping[str, Any], given: Mapping[str, Any], *, where: str
) -> tuple[Rules, dict[str, Speaker]]:
    """Rules from what a trace states and what the user gives, which goes first.

    Args:
        stated: rules by name, as far as known; unknown names and values out of range are refused.
        given: the same, of the user.
        where: the file that ``stated`` is from.

    Returns:
        The rules, and who stated each.

    Raises:
        UserError: a rule that does not exist, is out of range, or must be stated and is not.
    """
    check_stated(stated, where=where)
    check_stated({**stated, **given}, where="--set")
    for name, field in Rules.model_fields.items():
        if not field.is_required():
            continue
        if name not in stated and name not in given:
            raise UserError(
                f"the trace does not state '{name}' ({field.description})",
                where=where,
                remedy=f"say it with --set {name}=...",
            )
    said: dict[str, Speaker] = {
        name: "option" if name in given else "trace" if name in stated else "default"
        for name in Rules.model_fields
    }
    return parse_options(Rules, {**stated, **given}, where=where), said
