"""What a scenario may say. Every field has a default, a range and a unit.

The tables follow the main path: ``[data]`` -> ``[model]`` -> ``[federation]`` (ordinary training)
-> ``[audit]`` (the rounds the adversary listens to) -> ``[ledger]`` -> ``[report]``. A scenario
with ``[sweep]`` is several, one per value of one key (:func:`privaudit.scenario.load.variants`).
"""

from __future__ import annotations

import math
import re
from fractions import Fraction as Exact
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from privaudit.attack.adversary import MOST_SHADOWS
from privaudit.defences.sharing import Sharing
from privaudit.defences.transforms import Transforms
from privaudit.federation.partition import PartitionPlan
from privaudit.federation.rewards import check_budget, rule_named
from privaudit.federation.schedule import (
    FEWEST_ROUNDS,
    LEAST_STRETCH,
    MOST_ROUNDS,
    Others,
    Schedule,
)
from privaudit.observation.rules import MOST_RECORDS


def _known_rule(rule: str) -> str:
    Sharing(rule)  # raises UserError with the nearest name
    return rule


def _known_reward(name: str) -> str:
    rule_named(name)
    return name


def _ascending(values: list[int]) -> list[int]:
    if any(later <= earlier for earlier, later in pairwise(values)):
        raise ValueError("must increase from one value to the next")
    return values


def _distinct(values: list[Any]) -> list[Any]:
    if len(set(values)) != len(values):
        raise ValueError("names a value twice")
    return values


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


def _by_fraction(published: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    for by_fraction in published.values():
        for text in by_fraction:
            try:
                sensible = 0 < float(text) <= 1
            except ValueError:
                sensible = False
            if not sensible:
                raise ValueError(f"'{text}' is not a fraction in (0, 1]")
    return published


def _not_tiny(value: float) -> float:
    if 0 < value < LEAST:
        raise ValueError(f"too close to 0, must be at least {LEAST:g}")
    return value


LEAST = 1e-9
"""Of fractions, rates and norms that must be above 0: less is 0 to single precision or to count."""

Above0 = AfterValidator(_not_tiny)
Fraction = Annotated[float, Field(gt=0, le=1), Above0]
Share = Annotated[float, Field(gt=0, lt=1), Above0]
Rule = Annotated[str, AfterValidator(_known_rule)]

# Bounds that no experiment reaches and every slip of the keyboard passes. What a machine has memory
# for is asked when the model is known (privaudit.experiment.memory).
MOST_PARTICIPANTS = 100_000
Participants = Annotated[int, Field(ge=2, le=MOST_PARTICIPANTS)]
Rounds = Annotated[int, Field(le=1_000_000)]
Runs = Annotated[int, Field(le=10_000)]
Steps = Annotated[int, Field(ge=1, le=100_000)]
BatchSize = Annotated[int, Field(ge=1, le=1_000_000)]
Rate = Annotated[float, Field(gt=0, le=1e30), Above0]
Norm = Annotated[float, Field(gt=0, le=1e12), Above0]
MOST_VALUES = 1000
"""In a list."""
SomeValues = Field(min_length=1, max_length=MOST_VALUES)
MOST_CELLS = 100_000
"""In the whole grid of a scenario."""


class Section(BaseModel):
    """A table of the scenario file: unknown keys are refused, and no text is taken for a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class DataSection(BaseModel):
    """``[data]``: the loader's name; every other key is an option of that loader (docs/data.md).

    A relative ``path`` starts at the scenario file's folder, with ``--set`` at the working folder.

    Attributes:
        name: a data set of ``privaudit list``; ``csv`` and ``npz`` read files of your own.
    """

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    name: str = "glyphs"

    @property
    def options(self) -> dict[str, Any]:
        """Options of the loader."""
        return dict(self.model_extra or {})


class ModelSection(BaseModel):
    """``[model]``: a bundled model or ``package.module:Class``; other keys are its arguments."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    name: str = "cnn"

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of the model's constructor."""
        return dict(self.model_extra or {})


class FederationSection(Section):
    """``[federation]``: the participants and their ordinary training before the audited rounds.

    Attributes:
        participants: K, the adversary included.
        rounds: training rounds; 0 starts the audit at the initial weights.
        protocol: ``fedavg`` (local epochs) or ``fedsgd`` (one batch, one step, no momentum).
        cohort: clients per round, drawn anew each round; null = all.
        partition: how records are dealt: ``iid``, ``by-group``, ``dirichlet``.
        dirichlet_alpha: concentration; smaller = more uneven classes. A deal that leaves somebody
            too little is drawn again, up to 50 times.
        test_share: share of the records held out for test accuracy.
        adversary_share: share of the rest that is the adversary's; null = an equal part (of the
            largest audited federation).
        target_share: likewise for the target.
        local_epochs: passes over its own records per client and round.
        batch_size: records per batch.
        lr: learning rate of the clients' SGD.
        momentum: of the clients' SGD, in [0, 1).
        norm_bound: the server rejects a delta with a larger L2 norm; null = no bound.
        clip_norm: clients scale a larger delta down to this L2 norm; null = off.
        noise: deviation of the Gaussian noise clients add to each coordinate.
        sharing_rule: which coordinates of a delta are shared while training.
        shared_fraction: how many of them, in (0, 1].
    """

    participants: Participants = 5
    rounds: Rounds = Field(10, ge=0)
    protocol: Literal["fedavg", "fedsgd"] = "fedavg"
    cohort: Annotated[int, Field(ge=1, le=100_000)] | None = None
    partition: Literal["iid", "by-group", "dirichlet"] = "iid"
    dirichlet_alpha: Annotated[float, Field(gt=0, le=1e6), Above0] = 0.5
    test_share: Share = 0.15
    adversary_share: Share | None = None
    target_share: Share | None = None
    local_epochs: Steps = 1
    batch_size: BatchSize = 32
    lr: Rate = 0.1
    momentum: float = Field(0.0, ge=0, lt=1)
    norm_bound: Norm | None = None
    clip_norm: Norm | None = None
    noise: float = Field(0.0, ge=0, le=1e12)
    sharing_rule: Rule = "all"
    shared_fraction: Fraction = 1.0

    @model_validator(mode="after")
    def _consistent(self) -> FederationSection:
        Sharing(self.sharing_rule, self.shared_fraction)
        if self.protocol == "fedsgd" and (self.momentum or self.local_epochs != 1):
            raise ValueError("fedsgd takes one plain step: momentum must be 0, local_epochs 1")
        if self.cohort is not None and self.cohort > self.participants:
            raise ValueError(
                f"cohort {self.cohort} is larger than participants {self.participants}"
            )
        return self

    @property
    def transforms(self) -> Transforms:
        """What clients do to their deltas while training."""
        sharing = Sharing(self.sharing_rule, self.shared_fraction)
        return Transforms(self.clip_norm, self.noise, sharing)

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


class AuditSection(Section):
    """``[audit]``: the rounds the adversary listens to, for every cell of the grid.

    Attributes:
        properties: private properties to infer; each must have both values. The name of one with
            ``each = true`` in ``[data]`` stands for all its values that can be dealt. Empty where
            only another game is played.
        fractions: shared fractions, each in (0, 1].
        rules: sharing rules, crossed with the fractions.
        participants: numbers of participants; empty = ``federation.participants``. A smaller
            federation is the first clients of the largest, with their records.
        rounds: audited rounds per cell and run; half of them hold the property.
        protocol: ``fedsgd`` (one batch per client and round) or ``fedavg`` (``local_steps``).
        local_steps: batches per client and round under ``fedavg``.
        batch_size: records per batch.
        lr: learning rate; null = that of the federation.
        momentum: of the clients' SGD under ``fedavg``.
        schedule: ``single-batch`` (the property comes and goes by the round, Melis et al. VI-B) or
            ``dataset`` (each federation is run twice: it holds it in every round, or in none) or
            ``episodes`` (in half of the runs it appears on the way, to the end or for ``episode``
            rounds, in the others never; VI-D).
        episode: rounds that the property is there for under ``episodes``; null = to the end. A
            scenario without is written without the key.
        targets: ``fixed`` (client 1 in every round) or ``rotate`` (round t is about honest client
            1 + t mod (K - 1)): several pools of records instead of one (docs/statistics.md).
        property_share: share of the target's records that have the property when it is present.
        others: whether bystanders draw records ``without`` the property, or ``natural`` ones.
        trajectory: ``common`` (all cells of a run are observed at the parameters of one federation
            that goes on as usual, each round set beside it) or ``own`` (a federation per cell,
            whose model moves by what is sent in it; many times the work).
        auxiliary_overlap: share of the target's own records that the adversary also holds, in
            [0, 1]: 0 is the honest setting, more shows what an overlapping corpus would explain.
        colluders: other clients that pool with the adversary what they own and see: a number, or a
            share of K such as "25%", rounded down; at most K - 2. A scenario without is written
            without the key.
        threat_model: ``participant`` (default) or ``server`` (sees single deltas; to compare);
            with ``colluders`` others pool with a participant what they own and see.
        shadows: shadow batches with and without the property per round, each.
        attacks: attacks to run.
        trace_precision: ``single``, or ``half`` for smaller traces (docs/trace.md).
        keep_traces: keep the traces in the run folder after scoring.
    """

    properties: Annotated[list[str], Field(max_length=MOST_VALUES), AfterValidator(_distinct)] = []
    fractions: Annotated[list[Fraction], SomeValues, AfterValidator(_distinct)] = [
        0.1,
        0.5,
        1.0,
    ]
    rules: Annotated[list[Rule], SomeValues, AfterValidator(_distinct)] = ["largest"]
    participants: Annotated[
        list[Participants], Field(max_length=MOST_VALUES), AfterValidator(_ascending)
    ] = []
    rounds: Rounds = Field(60, ge=4)
    protocol: Literal["fedavg", "fedsgd"] = "fedsgd"
    local_steps: Steps = 1
    batch_size: BatchSize = 32
    lr: Rate | None = None
    momentum: float = Field(0.0, ge=0, lt=1)
    schedule: Schedule = "single-batch"
    episode: Annotated[int, Field(ge=LEAST_STRETCH, le=MOST_ROUNDS // 2)] | None = None
    targets: Literal["fixed", "rotate"] = "fixed"
    property_share: Fraction = 1.0
    others: Others = "without"
    trajectory: Literal["common", "own"] = "common"
    auxiliary_overlap: float = Field(0.0, ge=0, le=1)
    colluders: Annotated[int | str, BeforeValidator(_count_or_share)] = 0
    threat_model: Literal["participant", "server"] = "participant"
    shadows: int = Field(8, ge=2, le=MOST_SHADOWS)
    attacks: Annotated[list[str], SomeValues, AfterValidator(_distinct)] = [
        "melis-rf",
        "linear",
        "magnitude-stack",
    ]
    trace_precision: Literal["single", "half"] = "single"
    keep_traces: bool = True

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        table: dict[str, Any] = handler(self)
        if self.episode is None:
            del table["episode"]
        if not self.colluders:
            del table["colluders"]
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


class MembershipSection(Section):
    """``[membership]``: which of some records of the target's were trained on?

    The adversary listens to ordinary training, by the settings of ``[federation]`` from the initial
    weights on, once for every shared fraction, rule and number of participants of ``[audit]``.

    Attributes:
        candidates: records of the target's that the adversary asks about, an even number; the
            target trains on a random half of them, everybody else on as many records.
        attacks: attacks to run.
    """

    candidates: int = Field(200, ge=4, le=MOST_RECORDS, multiple_of=2)
    attacks: Annotated[list[str], SomeValues, AfterValidator(_distinct)] = [
        "loss-trajectory",
        "gradient-cosine",
        "membership-stack",
    ]


class LedgerSection(Section):
    """``[ledger]``: what clients earn for their deltas, recorded beside the results.

    Attributes:
        enabled: keep a reward ledger in the run folder, or on the chain of ``--rpc``.
        reward: ``equal``, ``samples`` or ``contribution`` (:mod:`privaudit.federation.rewards`).
        budget: wei a federated round may pay; null = 200,000 for each client of its cohort.
        salted: hide the names of the properties on the ledger behind a salt kept in the run folder.
    """

    enabled: bool = True
    reward: Annotated[str, AfterValidator(_known_reward)] = "equal"
    budget: int | None = Field(None, ge=1, lt=2**96)
    salted: bool = False


class ReportSection(Section):
    """``[report]``: published numbers to print beside ours, and what the table assumes.

    Attributes:
        published: property -> fraction (as text, e.g. ``"0.1"``) -> published AUC.
        published_source: where they are from.
        notes: sentences printed under the table.
        devices: numbers of devices to time one training round for.
    """

    published: Annotated[
        dict[str, dict[str, Annotated[float, Field(ge=0, le=1)]]], AfterValidator(_by_fraction)
    ] = {}
    published_source: str = ""
    notes: list[str] = []
    devices: Annotated[
        list[Annotated[int, Field(ge=1, le=100_000)]],
        Field(max_length=MOST_VALUES),
        AfterValidator(_ascending),
    ] = []


PROPERTY, MEMBERSHIP = "property", "membership"
"""Names of the games."""

NOT_SWEPT = ("sweep", "name", "title", "seed", "ledger", "report")
"""What changes no attack, or only which scenario it is; more seeds are more ``runs``."""


def _can_be_swept(key: str) -> str:
    parts = key.split(".")
    if not all(parts):
        raise ValueError("must be a dotted key such as federation.rounds")
    if parts[0] in NOT_SWEPT:
        raise ValueError(f"'{parts[0]}' cannot be swept: no attack depends on it")
    return key


def _several_values(values: list[Any]) -> list[Any]:
    if not 2 <= len(values) <= 50:
        raise ValueError(f"a sweep takes 2 to 50 values, got {len(values)}")
    if any(isinstance(value, dict) for value in values):
        raise ValueError("a value must not be a table")
    return values


class SweepSection(Section):
    """``[sweep]``: what ``privaudit sweep`` changes from one audit to the next.

    Attributes:
        key: dotted key of a setting, e.g. ``federation.rounds``.
        values: 2 to 50 values of it, no two of which give the same scenario.
    """

    key: Annotated[str, AfterValidator(_can_be_swept)]
    values: Annotated[list[Any], AfterValidator(_several_values)]


class Scenario(Section):
    """A whole scenario; see the fields of each table.

    Attributes:
        name: short name, also of the run folder.
        title: one line for the report.
        seed: root seed, a non-negative integer.
        runs: independent federation runs, the unit of replication.
        membership: null = that game is not played; such a scenario is written without the key.
        attack_options: attack name -> its options.
        sweep: null = one audit; such a scenario is written without the key.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")
    title: str = ""
    seed: int = Field(1, ge=0, lt=2**63)
    runs: Runs = Field(3, ge=1)
    data: DataSection = DataSection()
    model: ModelSection = ModelSection()
    federation: FederationSection = FederationSection()
    audit: AuditSection = AuditSection()
    membership: MembershipSection | None = None
    attack_options: dict[str, dict[str, Any]] = {}
    ledger: LedgerSection = LedgerSection()
    report: ReportSection = ReportSection()
    sweep: SweepSection | None = None

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        table: dict[str, Any] = handler(self)
        for name in ("sweep", "membership"):
            if table[name] is None:
                del table[name]
        return table

    @property
    def targets(self) -> list[str]:
        """Names of what is asked: the properties, and any other game by its own name."""
        return [*self.audit.properties, *([MEMBERSHIP] if self.membership else [])]

    @property
    def attacks(self) -> list[str]:
        """Of all games, each once."""
        return list(dict.fromkeys(name for game in self.games for name in self.attacks_of(game)))

    @property
    def games(self) -> list[str]:
        """Names of those played."""
        played = [(PROPERTY, bool(self.audit.properties)), (MEMBERSHIP, bool(self.membership))]
        return [name for name, is_played in played if is_played]

    def game_of(self, target: str) -> str:
        """The game that one of :attr:`targets` belongs to."""
        return MEMBERSHIP if self.membership and target == MEMBERSHIP else PROPERTY

    def attacks_of(self, game: str) -> list[str]:
        """Attacks on one game."""
        if game == MEMBERSHIP:
            return self.membership.attacks if self.membership else []
        return self.audit.attacks

    def about_properties(self) -> Scenario:
        """The same without any other game."""
        options = {n: o for n, o in self.attack_options.items() if n in self.audit.attacks}
        return self.model_copy(update={"membership": None, "attack_options": options})

    @property
    def training_rounds(self) -> int:
        """Rounds of ordinary training before audited ones; none where no rounds are audited."""
        return self.federation.rounds if self.audit.properties else 0

    @property
    def participants(self) -> list[int]:
        """The numbers of participants to audit."""
        return self.audit.participants or [self.federation.participants]

    @property
    def cohorts(self) -> list[int]:
        """The numbers of clients a federated round of this scenario can have."""
        cohort = self.federation.cohort or self.federation.participants
        audited = [
            max(2, cohort) if k == self.federation.participants else k for k in self.participants
        ]
        return sorted({*audited, *([cohort] if self.training_rounds else [])})

    @model_validator(mode="after")
    def _budget_divides(self) -> Scenario:
        if self.ledger.enabled:
            check_budget(self.ledger.reward, self.ledger.budget, self.cohorts)
        return self

    @model_validator(mode="after")
    def _not_too_many(self) -> Scenario:
        audit = self.audit
        lists: tuple[list[Any], ...] = (
            self.targets,
            audit.rules,
            audit.fractions,
            self.participants,
        )
        cells = self.runs * math.prod(map(len, lists))
        if cells > MOST_CELLS:
            raise ValueError(
                f"{cells:,} cells (runs x properties x rules x fractions x participants), "
                f"more than {MOST_CELLS:,}"
            )
        return self

    @model_validator(mode="after")
    def _controls(self) -> Scenario:
        if self.audit.schedule == "dataset" and self.runs < 4:
            raise ValueError(
                "schedule 'dataset' needs at least 4 runs, 2 federations in both states, "
                f"got {self.runs}"
            )
        if self.audit.schedule == "episodes" and self.runs < 4:
            raise ValueError(
                "schedule 'episodes' needs at least 4 runs, half of them without the property, "
                f"got {self.runs}"
            )
        if self.audit.schedule == "dataset" and self.runs % 2:
            raise ValueError(
                "schedule 'dataset' runs each federation in both states: runs must be even, "
                f"got {self.runs}"
            )
        return self

    @model_validator(mode="after")
    def _targets_alike(self) -> Scenario:
        audit, least = self.audit, 2 * (max(self.participants) - 1)
        if audit.targets == "fixed":
            return self
        wrong = [
            (audit.schedule == "dataset", "labels on runs (audit.schedule = 'dataset')"),
            (audit.schedule == "episodes", "one stretch of rounds (audit.schedule = 'episodes')"),
            (self.federation.target_share is not None, "federation.target_share"),
            (audit.auxiliary_overlap > 0, "audit.auxiliary_overlap"),
            (audit.threat_model == "server", "a server, which listens to one target alone"),
            (min(self.participants) < 3, "2 participants, of whom one alone is a target"),
            (
                audit.rounds < least,
                f"{audit.rounds} rounds, where {least // 2} targets need 2 each: {least}",
            ),
        ]
        for applies, what in wrong:
            if applies:
                raise ValueError(f"audit.targets = 'rotate' does not go with {what}")
        return self

    @model_validator(mode="after")
    def _colluders_are_clients(self) -> Scenario:
        audit = self.audit
        if not audit.colluders:
            return self
        for wrong, what in (
            (audit.threat_model == "server", "a server, which sees every delta already"),
            (audit.targets == "rotate", "audit.targets = 'rotate': a target must be honest"),
            (self.federation.cohort is not None, "federation.cohort: colluders are in every round"),
        ):
            if wrong:
                raise ValueError(f"audit.colluders does not go with {what}")
        for participants in self.participants:
            count = audit.colluding(participants)
            if count > participants - 2:
                raise ValueError(
                    f"{count} colluders of {participants} participants leave no target: at most "
                    f"{participants - 2} beside the adversary (audit.colluders)"
                )
        return self

    @model_validator(mode="after")
    def _options_have_attacks(self) -> Scenario:
        for name in self.attack_options:
            if name not in self.attacks:
                raise ValueError(f"attack_options for '{name}', which is not among the attacks")
        return self

    @model_validator(mode="after")
    def _something_is_asked(self) -> Scenario:
        if not self.targets:
            raise ValueError("nothing is asked: name audit.properties, or give [membership]")
        if self.membership and MEMBERSHIP in self.audit.properties:
            raise ValueError(f"a property named '{MEMBERSHIP}' cannot be told from the game")
        if self.membership and self.audit.schedule == "dataset":
            raise ValueError("membership is asked of every run: schedule must be 'single-batch'")
        if self.membership and not self.federation.rounds:
            raise ValueError("membership is asked of training: federation.rounds must be above 0")
        return self
