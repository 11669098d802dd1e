"""``[federation]``: who trains, and how, before the audited rounds."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from privaudit.defences.sharing import SHARING_RULES, Sharing
from privaudit.federation.partition import PartitionPlan

from .values import (
    Above0,
    BatchSize,
    Fraction,
    Norm,
    Participants,
    Rate,
    Rounds,
    Rule,
    Section,
    Share,
    Steps,
)


class FederationSection(Section):
    """``[federation]``: the participants and their ordinary training before the audited rounds.

    ``defence`` and ``sampler`` are not written where they are as ever.
    """

    participants: Participants = Field(5, description="K, the adversary included")
    rounds: Rounds = Field(
        10, ge=0, description="training rounds; 0 starts the audit at the initial weights"
    )
    protocol: Literal["fedavg", "fedsgd"] = Field(
        "fedavg", description="fedavg (local epochs) or fedsgd (one batch, one step, no momentum)"
    )
    cohort: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        None, description="clients per round, drawn anew each round; unset = all", examples=[3]
    )
    sampler: Literal["fixed", "poisson"] = Field(
        "fixed",
        description="how a cohort is drawn: fixed (that many clients) or poisson (each client by "
        "itself, that many on average, over whom a defence that counts deltas alike averages)",
    )
    partition: Literal["iid", "by-group", "dirichlet"] = Field(
        "iid", description="how records are dealt: iid, by-group or dirichlet"
    )
    dirichlet_alpha: Annotated[float, Field(gt=0, le=1e6), Above0] = Field(
        0.5,
        description="concentration; smaller = more uneven classes. A deal that leaves somebody too "
        "little is drawn again, up to 50 times",
    )
    test_share: Share = Field(0.15, description="share of the records held out for test accuracy")
    adversary_share: Share | None = Field(
        None,
        description="share of the rest that is the adversary's; unset = an equal part (of the "
        "largest audited federation)",
        examples=[0.2],
    )
    target_share: Share | None = Field(None, description="likewise for the target", examples=[0.2])
    local_epochs: Steps = Field(1, description="passes over its own records per client and round")
    batch_size: BatchSize = Field(32, description="records per batch")
    lr: Rate = Field(0.1, description="learning rate of the clients' optimiser")
    momentum: float = Field(0.0, ge=0, lt=1, description="of the clients' optimiser, in [0, 1)")
    norm_bound: Norm | None = Field(
        None,
        description="the server rejects a delta with a larger L2 norm; unset = no bound",
        examples=[10.0],
    )
    clip_norm: Norm | None = Field(
        None,
        description="clients scale a larger delta down to this L2 norm, in training and audited "
        "rounds; short for a step of a defence; unset = off",
        examples=[1.0],
    )
    noise: float = Field(
        0.0,
        ge=0,
        le=1e12,
        description="deviation of the Gaussian noise clients add to each coordinate, likewise",
    )
    defence: str | None = Field(
        None,
        description="name of the defence while training, one of [defences] or a kind that needs no "
        "settings; unset = none",
        examples=["sign"],
    )
    sharing_rule: Rule = Field(
        "all",
        description="which coordinates of a delta are shared while training: "
        f"{', '.join(SHARING_RULES)}",
    )
    shared_fraction: Fraction = Field(1.0, description="how many of them, in (0, 1]")

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        table: dict[str, Any] = handler(self)
        if self.defence is None:
            del table["defence"]
        if self.sampler == "fixed":
            del table["sampler"]
        return table

    @model_validator(mode="after")
    def _consistent(self) -> FederationSection:
        if self.sampler == "poisson" and self.cohort is None:
            raise ValueError("sampler 'poisson' needs the clients of a round on average: cohort")
        Sharing(self.sharing_rule, self.shared_fraction)
        if self.protocol == "fedsgd" and (self.momentum or self.local_epochs != 1):
            raise ValueError("fedsgd takes one plain step: momentum must be 0, local_epochs 1")
        if self.cohort is not None and self.cohort > self.participants:
            raise ValueError(
                f"cohort {self.cohort} is larger than participants {self.participants}"
            )
        return self

    @property
    def plan(self) -> PartitionPlan:
        """How the records are dealt."""
        return PartitionPlan(
            self.partition,
            self.test_share,
            self.adversary_share,
            self.target_share,
            self.dirichlet_alpha,
        )
