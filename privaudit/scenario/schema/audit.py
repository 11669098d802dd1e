"""``[audit]``: what the adversary asks, of which rounds, and by which attacks."""

from __future__ import annotations

import re
from fractions import Fraction as Exact
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from privaudit.attack.adversary import MOST_SHADOWS
from privaudit.federation.schedule import (
    FEWEST_ROUNDS,
    LEAST_STRETCH,
    MOST_ROUNDS,
    Others,
    Schedule,
)
from privaudit.observation.rules import MOST_RECORDS

from .values import (
    MOST_PARTICIPANTS,
    MOST_VALUES,
    Attacks,
    BatchSize,
    Fraction,
    Norm,
    Participants,
    Rate,
    Rounds,
    Rule,
    Section,
    SomeValues,
    Steps,
    ascending,
    distinct,
)

NO_DEFENCE = "none"
"""In a list of defences."""


def _count_or_share(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_PARTICIPANTS:
        return value
    found = re.fullmatch(r"(\d{1,2}(?:\.\d{1,9})?) ?%", value) if isinstance(value, str) else None
    if found and float(found[1]) > 0:
        return f"{found[1]}%"
    raise ValueError("must be a number of clients, or a share of K such as '25%'")


def colluding(colluders: int | str, participants: int) -> int:
    """How many of so many participants collude: the number, or that share of them."""
    if isinstance(colluders, int):
        return colluders
    return int(Exact(colluders.removesuffix("%")) * participants / 100)


class AuditSection(Section):
    """``[audit]``: the rounds the adversary listens to, for every cell of the grid.

    ``episode``, ``auxiliary_held_out``, ``colluders``, ``alpha``, ``boost`` and ``defences`` are
    not written where there are none.
    """

    properties: Annotated[list[str], Field(max_length=MOST_VALUES), AfterValidator(distinct)] = (
        Field(
            [],
            description="private properties to infer; each must have both values. The name of one "
            "with each = true in [data] stands for all its values that can be dealt. Empty where "
            "only another game is played",
        )
    )
    fractions: Annotated[list[Fraction], SomeValues, AfterValidator(distinct)] = Field(
        [0.1, 0.5, 1.0], description="shared fractions, each in (0, 1]"
    )
    rules: Annotated[list[Rule], SomeValues, AfterValidator(distinct)] = Field(
        ["largest"], description="sharing rules, crossed with the fractions"
    )
    defences: Annotated[list[str], SomeValues, AfterValidator(distinct)] = Field(
        ["none"],
        description="names of defences, crossed with the rest: those of [defences], kinds that "
        "need no settings, and none",
    )
    participants: Annotated[
        list[Participants], Field(max_length=MOST_VALUES), AfterValidator(ascending)
    ] = Field(
        [],
        description="numbers of participants; empty = federation.participants. A smaller "
        "federation is the first clients of the largest, with their records",
    )
    rounds: Rounds = Field(
        60, ge=4, description="audited rounds per cell and run; half of them hold the property"
    )
    protocol: Literal["fedavg", "fedsgd"] = Field(
        "fedsgd", description="fedsgd (one batch per client and round) or fedavg (local_steps)"
    )
    local_steps: Steps = Field(1, description="batches per client and round under fedavg")
    batch_size: BatchSize = Field(32, description="records per batch")
    lr: Rate | None = Field(
        None, description="learning rate; unset = that of the federation", examples=[0.1]
    )
    momentum: float = Field(0.0, ge=0, lt=1, description="of the clients' optimiser under fedavg")
    norm_bound: Norm | None = Field(
        None,
        description="the server rejects a delta of an audited round with a larger L2 norm; unset = "
        "federation.norm_bound",
        examples=[0.1],
    )
    schedule: Schedule = Field(
        "single-batch",
        description="single-batch (the property comes and goes by the round, Melis et al. VI-B) or "
        "dataset (each federation is run twice: it holds it in every round, or in none) or "
        "episodes (in half of the runs it appears on the way, to the end or for episode rounds, in "
        "the others never; VI-D)",
    )
    episode: Annotated[int, Field(ge=LEAST_STRETCH, le=MOST_ROUNDS // 2)] | None = Field(
        None,
        description="rounds that the property is there for under episodes; unset = to the end",
        examples=[10],
    )
    targets: Literal["fixed", "rotate"] = Field(
        "fixed",
        description="fixed (client 1 in every round) or rotate (round t is about honest client "
        "1 + t mod (K - 1)): several pools of records instead of one (docs/statistics.md)",
    )
    property_share: Fraction = Field(
        1.0,
        description="share of the target's records that have the property when it is present",
    )
    others: Others = Field(
        "without",
        description="whether bystanders draw records without the property, or natural ones",
    )
    trajectory: Literal["common", "own"] = Field(
        "common",
        description="common (all cells of a run are observed at the parameters of one federation "
        "that goes on as usual, each round set beside it) or own (a federation per cell, whose "
        "model moves by what is sent in it; many times the work)",
    )
    auxiliary_overlap: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the target's own records that the adversary also holds, in [0, 1]: 0 "
        "is the honest setting, more shows what an overlapping corpus would explain",
    )
    auxiliary_held_out: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of its own records that the adversary does not train on, in [0, 1): "
        "above 0 it learns from these alone, as a model is another one to what it was trained on",
    )
    colluders: Annotated[int | str, BeforeValidator(_count_or_share)] = Field(
        0,
        description="other clients that pool with the adversary what they own and see: a number, "
        'or a share of K such as "25%", rounded down; at most K - 2',
    )
    threat_model: Literal["participant", "server"] = Field(
        "participant",
        description="participant, or server (sees single deltas; to compare); with colluders "
        "others pool with a participant what they own and see",
    )
    alpha: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None,
        description="an active participant: weight of the property in the loss that the adversary "
        "trains on, in [0, 1) (Melis et al., IV-E); 0 sends what an ordinary client sends; needs "
        "trajectory own; unset = it only listens",
        examples=[0.7],
    )
    boost: float = Field(
        1.0,
        ge=1,
        le=MOST_PARTICIPANTS,
        description="what an active participant's delta is multiplied by, at least 1: K makes up "
        "for the average over K clients, where no norm bound refuses it",
    )
    shadows: int = Field(
        8,
        ge=2,
        le=MOST_SHADOWS,
        description="shadow batches with and without the property per round, each",
    )
    attacks: Attacks = Field(
        ["melis-rf", "linear", "magnitude-stack"], description="attacks to run"
    )
    trace_precision: Literal["single", "half"] = Field(
        "single", description="single, or half for smaller traces (docs/trace.md)"
    )
    keep_traces: bool = Field(True, description="keep the traces in the run folder after scoring")

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        table: dict[str, Any] = handler(self)
        if self.episode is None:
            del table["episode"]
        if not self.auxiliary_held_out:
            del table["auxiliary_held_out"]
        if not self.colluders:
            del table["colluders"]
        if self.alpha is None:
            del table["alpha"]
        if self.norm_bound is None:
            del table["norm_bound"]
        if self.boost == 1:
            del table["boost"]
        if self.defences == [NO_DEFENCE]:
            del table["defences"]
        return table

    def colluding(self, participants: int) -> int:
        """How many of so many participants collude with the adversary."""
        return colluding(self.colluders, participants)

    @model_validator(mode="after")
    def _episodes(self) -> AuditSection:
        if self.schedule != "episodes":
            if self.episode is not None:
                raise ValueError("episode goes with schedule 'episodes'")
            return self
        if not FEWEST_ROUNDS <= self.rounds <= MOST_ROUNDS:
            raise ValueError(
                f"schedule 'episodes' takes {FEWEST_ROUNDS} to {MOST_ROUNDS} rounds, "
                f"got {self.rounds}"
            )
        if self.episode is not None and self.episode > self.rounds // 2:
            raise ValueError(
                f"an episode is at most half of the {self.rounds} rounds, got {self.episode}"
            )
        return self

    @model_validator(mode="after")
    def _active(self) -> AuditSection:
        if self.alpha is None:
            if self.boost != 1:
                raise ValueError("boost goes with an active participant: set alpha")
            return self
        for wrong, remedy in (
            (self.trajectory != "own", "set trajectory = 'own', as what it sends moves the model"),
            (not self.properties, "name properties, as it is for them that it crafts its deltas"),
            (self.threat_model == "server", "set threat_model = 'participant'"),
        ):
            if wrong:
                raise ValueError(f"alpha is that of an active participant: {remedy}")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> AuditSection:
        if self.protocol == "fedsgd" and (self.momentum or self.local_steps != 1):
            raise ValueError("fedsgd takes one plain step: momentum must be 0, local_steps 1")
        if self.rules == ["all"] and self.fractions != [1.0]:
            raise ValueError("rule 'all' shares everything: fractions must be [1.0]")
        if "all" in self.rules and len(self.rules) > 1:
            raise ValueError(
                "rule 'all' equals any rule at fraction 1.0: do not mix it with others"
            )
        if self.batch_size * self.local_steps > MOST_RECORDS:
            raise ValueError(
                f"batch_size x local_steps is {self.batch_size * self.local_steps:,} records a "
                f"client and round, more than {MOST_RECORDS:,}"
            )
        if round(self.property_share * self.batch_size * self.local_steps) < 1:
            raise ValueError(
                f"property_share {self.property_share:g} of {self.batch_size} records is none"
            )
        return self
