"""A whole scenario, and what its tables must agree on."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from privaudit.defences.registry import KINDS, Kinds, Step, bare
from privaudit.defences.sharing import Sharing
from privaudit.defences.transforms import Transforms
from privaudit.engine.local_rule import PLAIN, SHARED, LocalOptions, LocalRule
from privaudit.engine.losses import CROSS_ENTROPY
from privaudit.errors import unknown_name
from privaudit.federation.rewards import VALUED, check_budget
from privaudit.federation.server import AVERAGE, ServerOptions

from .accounting import AccountingSection
from .audit import NO_DEFENCE, AuditSection
from .data import DataSection, ModelSection
from .federation import FederationSection
from .ledger import LedgerSection
from .membership import MembershipSection
from .public_ledger import OF_A_PROPERTY, Asked, PublicLedgerSection
from .reconstruction import ReconstructionSection
from .report import ReportSection
from .sweep import SweepSection
from .values import MOST_CELLS, Runs, Section, without_nulls
from .whose import Whose, WhoseSection, claims_every

PROPERTY, MEMBERSHIP, RECONSTRUCTION = "property", "membership", "reconstruction"
PUBLIC_LEDGER, WHOSE = "public-ledger", "whose"
"""Names of the games."""
FEWEST_CLIENTS = 4
"""That are asked about in the game ``whose``."""


def _names_of_defences(defences: dict[str, list[Step]]) -> dict[str, list[Step]]:
    for name, steps in defences.items():
        _ = Transforms(defences=tuple(steps)).in_training
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,40}", name):
            raise ValueError(f"'{name}' must be small letters, digits and '-', 41 at most")
        if name == NO_DEFENCE:
            raise ValueError(f"'{name}' is what no defence is called")
    return defences


class Scenario(Section):
    """A whole scenario; one without a game or ``sweep`` is written without the key."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]{0,40}$", description="short name, also of the run folder"
    )
    title: str = Field("", description="one line for the report")
    seed: int = Field(1, ge=0, lt=2**63, description="root seed, a non-negative integer")
    runs: Runs = Field(3, ge=1, description="independent federation runs, the unit of replication")
    data: DataSection = Field(
        DataSection(),
        description="The records. A relative path starts at the scenario file's folder, with --set "
        "at the working folder",
    )
    model: ModelSection = Field(ModelSection(), description="What is trained")
    federation: FederationSection = Field(
        FederationSection(),
        description="The participants and their ordinary training before the audited rounds",
    )
    local: LocalOptions = Field(
        PLAIN,
        description="How a client trains beyond learning rate and momentum, before and in audited "
        "rounds; the optimiser starts anew in each round. With optimisers other than plain SGD the "
        "adversary's shadows take several times as long",
    )
    server: ServerOptions = Field(
        AVERAGE,
        description="What the server makes of the averaged delta (Reddi et al., ICLR 2021), before "
        "and in audited rounds, where its moments start anew",
    )
    audit: AuditSection = Field(
        AuditSection(),
        description="The rounds the adversary listens to, for every cell of the grid",
    )
    defences: Annotated[
        dict[str, Annotated[list[Step], Field(min_length=1, max_length=20)]],
        AfterValidator(_names_of_defences),
    ] = Field(
        {},
        description="Defences by name, each a list of steps in the order in which a delta goes "
        "through them, for federation.defence (training) and audit.defences (audited rounds)",
        examples=[{"private": [{"kind": "dp-fedavg", "bound": 1.0, "multiplier": 1.0}]}],
    )
    accounting: AccountingSection | None = Field(
        None, description="What a promise of differential privacy is counted by"
    )
    membership: MembershipSection | None = Field(
        None,
        description="Another game: which of some records of the target's were trained on? The "
        "adversary listens to ordinary training, by the settings of [federation] from the initial "
        "weights on, once for every shared fraction, rule and number of participants of [audit]",
    )
    reconstruction: ReconstructionSection | None = Field(
        None,
        description="Another game: which records did the target train on in a round? A federation "
        "for every batch size, shared fraction, rule and number of participants, from the "
        "parameters that [federation] trained, by the settings of [audit]; everybody takes part in "
        "every round",
    )
    public_ledger: PublicLedgerSection | None = Field(
        None,
        description="Another game: what does somebody learn who never took part and reads the "
        "public ledger alone? For every question and reward policy a ledger of its own, on which "
        "every federated round (or block of rounds) is settled",
    )
    whose: WhoseSection | None = Field(
        None,
        description="Another game: which clients hold a property? The adversary is a participant "
        "that sees the sum of each round, as under secure aggregation, and reads on the public "
        "ledger who took part. A federation of its own, by the settings of [audit], from the "
        "parameters that [federation] trained, with cohorts of federation.cohort clients",
    )
    attack_options: Annotated[dict[str, dict[str, Any]], BeforeValidator(without_nulls)] = Field(
        {}, description="Options of the attacks, a table for each"
    )
    ledger: LedgerSection = Field(
        LedgerSection(),
        description="What clients earn for their deltas, recorded beside the results",
    )
    report: ReportSection = Field(
        ReportSection(),
        description="Published numbers to print beside ours, and what the table assumes",
    )
    sweep: SweepSection | None = Field(
        None, description="Several audits instead of one: what privaudit sweep changes between them"
    )

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        table: dict[str, Any] = handler(self)
        others = ("membership", "reconstruction", "public_ledger", "whose")
        for name in ("sweep", *others, "accounting", "defences"):
            if not table[name]:
                del table[name]
        if self.local == PLAIN:
            del table["local"]
        if self.server == AVERAGE:
            del table["server"]
        return table

    @property
    def targets(self) -> list[str]:
        """Names of what is asked: properties, membership by its own name, sizes of batches, ..."""
        batches = self.reconstruction.targets if self.reconstruction else []
        members = [MEMBERSHIP] if self.membership else []
        ledgers = [*self.asked_of_ledgers, *self.asked_of_clients]
        return [*self.audit.properties, *members, *batches, *ledgers]

    @property
    def asked_of_ledgers(self) -> dict[str, Asked]:
        """Target -> what is asked of which ledger; empty where nothing is."""
        section = self.public_ledger
        return section.asked(self.audit.properties) if section else {}

    @property
    def asked_of_clients(self) -> dict[str, Whose]:
        """Target -> which property of clients is asked about, and by which ledger."""
        return self.whose.asked(self.audit.properties) if self.whose else {}

    @property
    def dealt_properties(self) -> list[str]:
        """Properties of which everybody asked about needs records with and without."""
        whose = self.whose.properties if self.whose else []
        return list(dict.fromkeys([*self.audit.properties, *whose]))

    @property
    def all_are_targets(self) -> bool:
        """Whether records of every honest client are asked about, not of one target alone."""
        return self.audit.targets == "rotate" or self.whose is not None

    @property
    def attacks(self) -> list[str]:
        """Of all games, each once."""
        return list(dict.fromkeys(name for game in self.games for name in self.attacks_of(game)))

    @property
    def games(self) -> list[str]:
        """Names of those played."""
        played = [
            (PROPERTY, bool(self.audit.properties)),
            (MEMBERSHIP, bool(self.membership)),
            (RECONSTRUCTION, bool(self.reconstruction)),
            (PUBLIC_LEDGER, bool(self.public_ledger)),
            (WHOSE, bool(self.whose)),
        ]
        return [name for name, is_played in played if is_played]

    def game_of(self, target: str) -> str:
        """The game that one of :attr:`targets` belongs to."""
        if self.reconstruction and target in self.reconstruction.targets:
            return RECONSTRUCTION
        if target in self.asked_of_ledgers:
            return PUBLIC_LEDGER
        if target in self.asked_of_clients:
            return WHOSE
        return MEMBERSHIP if self.membership and target == MEMBERSHIP else PROPERTY

    def attacks_of(self, game: str) -> list[str]:
        """Attacks on one game."""
        others = {
            MEMBERSHIP: self.membership,
            RECONSTRUCTION: self.reconstruction,
            PUBLIC_LEDGER: self.public_ledger,
            WHOSE: self.whose,
        }
        other = others.get(game)
        return self.audit.attacks if other is None else other.attacks

    def about_properties(self) -> Scenario:
        """The same without any other game."""
        options = {n: o for n, o in self.attack_options.items() if n in self.audit.attacks}
        games = ("membership", "reconstruction", "public_ledger", "whose")
        others = dict.fromkeys(games)
        return self.model_copy(update=others | {"attack_options": options})

    @property
    def training_rounds(self) -> int:
        """Rounds of ordinary training before others; none where only membership is asked."""
        needed = self.audit.properties or self.reconstruction or self.whose
        return self.federation.rounds if needed else 0

    def defence(self, name: str | None) -> tuple[Kinds, ...]:
        """The steps of a defence that can be named; of ``none``, and of no name, there are none."""
        if not name or name == NO_DEFENCE:
            return ()
        if name in self.defences:
            return tuple(self.defences[name])
        found = bare(name)
        if found is None:
            without = [kind for kind in KINDS if bare(kind)]
            error = unknown_name("defence", name, [*self.defences, *without, NO_DEFENCE])
            known = "needs settings: name it in [defences]"
            raise ValueError(f"defence '{name}' {known}" if name in KINDS else str(error))
        return (found,)

    def transforms(self, sharing: Sharing, defence: str | None) -> Transforms:
        """What is done to deltas under a defence."""
        federation = self.federation
        steps = self.defence(defence)
        return Transforms(federation.clip_norm, federation.noise, sharing, steps)

    @property
    def training_transforms(self) -> Transforms:
        """What is done to deltas while training."""
        federation = self.federation
        sharing = Sharing(federation.sharing_rule, federation.shared_fraction)
        return self.transforms(sharing, federation.defence)

    @property
    def audited_norm_bound(self) -> float | None:
        """The longest delta of an audited round that the server accepts; None = any."""
        return self.audit.norm_bound or self.federation.norm_bound

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
    def _local_as_games_need(self) -> Scenario:
        if self.audit.alpha is not None and self.local != PLAIN:
            raise ValueError("audit.alpha goes with plain local training: leave [local] unset")
        if self.reconstruction and self.local.model_copy(update={"first_round": 0}) != PLAIN:
            raise ValueError(
                "reconstruction reads gradients off steps of plain SGD: leave [local] unset"
            )
        if self.membership and self.local.loss != CROSS_ENTROPY:
            raise ValueError("membership asks for the odds of classes: local.loss must be unset")
        return self

    @model_validator(mode="after")
    def _statistics_go_somewhere(self) -> Scenario:
        """Shared statistics go on with the model, and past everything that is done to deltas."""
        f, a = self.federation, self.audit
        if self.local.statistics != SHARED:
            return self
        if a.properties and a.trajectory == "common":
            raise ValueError(
                "local.statistics = 'shared' needs audit.trajectory = 'own': statistics go on from "
                "the rounds that are audited"
            )
        if self.membership:
            raise ValueError(
                "membership tells by models of the adversary's own, which have no shared "
                "statistics: leave local.statistics unset"
            )
        named = {f.defence, *a.defences} - {None, NO_DEFENCE}
        if f.clip_norm is not None or f.noise or named:
            raise ValueError(
                "defences are done to deltas, and statistics would go past them: with "
                "local.statistics = 'shared' leave clip_norm, noise and defences unset"
            )
        return self

    @model_validator(mode="after")
    def _local(self) -> Scenario:
        """A schedule is as long as the rounds that there are; one of steps is checked with data."""
        f, a = self.federation, self.audit
        audited = max(
            a.rounds if a.properties or self.whose else 0,
            self.reconstruction.rounds if self.reconstruction else 0,
        )
        rounds = self.training_rounds + audited if audited else f.rounds
        steps = a.local_steps if audited else None
        epochs = f.local_epochs
        LocalRule(f.lr, f.momentum, self.local, epochs).check(rounds=rounds, steps=steps)
        if audited:
            lr = f.lr if a.lr is None else a.lr
            LocalRule(lr, a.momentum, self.local).check(rounds=rounds, steps=steps)
        return self

    @model_validator(mode="after")
    def _not_too_many(self) -> Scenario:
        audit = self.audit
        lists: tuple[list[Any], ...] = (
            self.targets,
            audit.rules,
            audit.fractions,
            self.participants,
            audit.defences,
        )
        cells = self.runs * math.prod(map(len, lists))
        if cells > MOST_CELLS:
            raise ValueError(
                f"{cells:,} cells (runs x properties x rules x fractions x participants x "
                f"defences), more than {MOST_CELLS:,}"
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
    def _defences_fit(self) -> Scenario:
        for where, name in (
            *(("audit.defences", name) for name in self.audit.defences),
            ("federation.defence", self.federation.defence),
        ):
            for wrong in self._misfits(where, Transforms(defences=self.defence(name))):
                raise ValueError(f"{where} '{name}' does not go with {wrong}")
        delta, most = self.accounting and self.accounting.delta, max(self.participants)
        if delta and delta >= 1 / most:
            raise ValueError(
                f"accounting.delta {delta:g} must be below 1 / {most}, one over the participants: "
                "what gives one of them away altogether would keep such a promise"
            )
        return self

    def _misfits(self, where: str, defence: Transforms) -> Iterator[str]:
        """What a defence, used there, does not go with."""
        audit, federation = self.audit, self.federation
        training = where == "federation.defence"
        if defence.defences and (federation.clip_norm is not None or federation.noise):
            yield "federation.clip_norm and noise, which are steps of a defence: put them into it"
        common = not training and audit.properties and audit.trajectory == "common"
        if defence.has_memory and common:
            yield (
                "audit.trajectory = 'common', where no round follows from the one before: it needs "
                "what was in earlier rounds; set audit.trajectory = 'own'"
            )
        if defence.in_training is not None and self.local.client_update is not None:
            yield "local.client_update, whose steps are its own: nothing of them is clipped"
        if defence.hides_single_deltas:
            if audit.threat_model == "server" and not training:
                yield "audit.threat_model = 'server': the server sees no single delta"
            bounds = [federation.norm_bound, None if training else audit.norm_bound]
            for table, bound in zip(("federation", "audit"), bounds, strict=True):
                if bound is not None:
                    yield f"{table}.norm_bound: the server cannot tell how long a delta is"
            if self.ledger.enabled and self.ledger.reward in VALUED:
                yield (
                    f"ledger.reward = '{self.ledger.reward}': nobody can tell what one delta was "
                    "worth"
                )
        drawn = training or (self.membership is not None and where == "audit.defences")
        if federation.sampler == "poisson" and drawn and not defence.averages_equally:
            yield (
                "federation.sampler = 'poisson', which needs one that averages over a fixed number "
                "of clients, such as dp-fedavg"
            )

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
        taken = sorted(set(self.reconstruction.targets if self.reconstruction else ()))
        both = [name for name in taken if name in self.audit.properties]
        if both:
            raise ValueError(f"a property named '{both[0]}' cannot be told from a batch size")
        self._ledgers_can_be_asked()
        self._clients_can_be_asked()
        if self.reconstruction and self.federation.cohort is not None:
            raise ValueError(
                "[reconstruction] is about rounds in which everybody takes part: leave "
                "federation.cohort out"
            )
        if self.reconstruction and self.audit.schedule == "dataset":
            raise ValueError(
                "[reconstruction] has no federation in two states (audit.schedule = 'dataset'): "
                "ask it in a scenario of its own"
            )
        if self.membership and self.audit.schedule == "dataset":
            raise ValueError("membership is asked of every run: schedule must be 'single-batch'")
        if self.membership and not self.federation.rounds:
            raise ValueError("membership is asked of training: federation.rounds must be above 0")
        return self

    def _ledgers_can_be_asked(self) -> None:
        section, audit = self.public_ledger, self.audit
        if section is None:
            return
        of_training = [question for question in section.questions if question != "rounds"]
        some = self.federation.cohort not in (None, self.federation.participants)
        sizes = self.participants != [self.federation.participants]
        for wrong, text in (
            (
                bool(set(OF_A_PROPERTY) & set(section.questions)) and not audit.properties,
                f"questions about {' and '.join(OF_A_PROPERTY)} need audit.properties",
            ),
            (
                audit.schedule != "single-batch" or audit.targets == "rotate",
                "rounds are asked of audit.schedule = 'single-batch' and audit.targets = 'fixed'",
            ),
            (audit.alpha is not None, "nobody is active: leave audit.alpha unset"),
            (
                bool(of_training) and not self.federation.rounds,
                f"{' and '.join(of_training)} are asked of training: federation.rounds must be "
                "above 0",
            ),
            (
                "cohorts" in section.questions and (not some or sizes),
                "cohorts need a federation.cohort below federation.participants, and leave "
                "audit.participants unset",
            ),
            (
                bool(set(self.asked_of_ledgers) & set(audit.properties)),
                "a property cannot be told from a question of the ledger: rename it",
            ),
        ):
            if wrong:
                raise ValueError(f"[public_ledger]: {text}")

    def _clients_can_be_asked(self) -> None:
        section, audit = self.whose, self.audit
        if section is None:
            return
        asked, fewest = self.asked_of_clients, FEWEST_CLIENTS + 1
        others = {*audit.properties, *self.asked_of_ledgers}
        for wrong, text in (
            (not asked, "name its properties, or audit.properties"),
            (
                audit.schedule != "single-batch" or audit.targets == "rotate",
                "goes with audit.schedule = 'single-batch' and audit.targets = 'fixed'",
            ),
            (
                audit.threat_model == "server",
                "a server that sees single deltas need not ask",
            ),
            (audit.alpha is not None, "nobody is active: leave audit.alpha unset"),
            (bool(audit.colluders), "the adversary is alone: leave audit.colluders unset"),
            (
                min(self.participants) < fewest,
                f"half of the others hold it: at least {fewest} participants",
            ),
            (
                any((claims_every(one.says) or 0) > audit.rounds for one in asked.values()),
                f"nobody has claimed anything after audit.rounds = {audit.rounds}: use a smaller N",
            ),
            (bool(set(asked) & others), "a property cannot be told from a target: rename it"),
        ):
            if wrong:
                raise ValueError(f"[whose]: {text}")
