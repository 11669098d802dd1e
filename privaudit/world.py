"""What every stage needs and no stage owns: the data, who holds which, the model."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from privaudit.attack.protocol import make_attack
from privaudit.attack.registry import load_attack
from privaudit.data.dataset import Dataset
from privaudit.data.permuting import permuted_dataset
from privaudit.data.registry import load_dataset
from privaudit.defences.sharing import Sharing
from privaudit.defences.transforms import Transforms
from privaudit.engine.engine import Engine, Samples
from privaudit.engine.local_rule import PLAIN, LocalOptions
from privaudit.errors import UserError, unknown_name
from privaudit.federation.assignment import Deal, assign
from privaudit.federation.partition import ADVERSARY, coalition
from privaudit.federation.phases import AuditedPhase, TrainingPhase
from privaudit.federation.rounds import LocalTraining
from privaudit.models.build import (
    InputShape,
    build_model,
    check_model,
    is_bundled,
    model_arguments,
)
from privaudit.observation.rules import Rules
from privaudit.observation.views import view_named
from privaudit.randomness import Seed
from privaudit.scenario.claims import claim_of, training_claim
from privaudit.scenario.grid import Cell, cells_of, federation_of, rounds_of
from privaudit.scenario.schema import PROPERTY, RECONSTRUCTION, WHOSE, Scenario, batch_of
from privaudit.scenario.truth import audit_seed, presence

MAX_NAME_BYTES = 120


@dataclass(frozen=True, eq=False)
class World:
    """A scenario with its data loaded, and the device its models are computed on."""

    scenario: Scenario
    dataset: Dataset
    device: str = "cpu"

    @cached_property
    def samples(self) -> Samples:
        """All records as tensors."""
        return Samples.of(self.dataset.inputs, self.dataset.labels)

    def run_seed(self, run: int) -> Seed:
        """The root of one federation run's randomness; two states of a federation have one."""
        return Seed(self.scenario.seed).child("run", self.federation(run))

    def federation(self, run: int) -> int:
        """Which federation a run is (:func:`privaudit.scenario.grid.federation_of`)."""
        return federation_of(self.scenario.audit.schedule, run)

    def attacker_seed(self, run: int) -> Seed:
        """The root of the adversary's and the attacks' randomness: it leads back to no other."""
        return self.run_seed(run).child("attacker").opaque(self.dataset.checksum)

    def audit_seed(self, run: int) -> Seed:
        """The root of what is drawn in audited rounds: batches, cohorts, noise, shared coordinates.

        Nobody with a share of the records has the data set's checksum: a guessed scenario's seed
        does not give an attacker the noise of the others, to take it off again.
        """
        return audit_seed(self.scenario, self.dataset.checksum, run)

    def presence(self, cell: Cell) -> np.ndarray:
        """The ground truth of a cell, [rounds] bool."""
        return presence(self.scenario, self.dataset.checksum, cell)

    def coalition(self, participants: int) -> tuple[int, ...]:
        """The adversary and, of so many participants, those who collude with it."""
        return coalition(self.scenario.audit.colluding(participants))

    def pooled(self, run: int, participants: int) -> np.ndarray:
        """Sorted indices of the records that the adversary and its colluders own."""
        clients = self.deal(run).audited(participants).clients
        return np.sort(np.concatenate([clients[c] for c in self.coalition(participants)]))

    def rules(self, cell: Cell) -> Rules:
        """What everybody in the federation of a cell knows of it."""
        model = self.scenario.model
        arguments = model_arguments(model.name, model.options, input_shape(self.dataset))
        frozen = None if is_bundled(model.name) else self.engine(cell.run).frozen
        return rules_of(self.scenario, cell, arguments, frozen)

    def engine(self, run: int) -> Engine:
        """The model with this run's initial weights."""
        model = self.scenario.model
        shape = input_shape(self.dataset)
        module = build_model(model.name, model.options, shape, self.run_seed(run))
        local = self.scenario.local
        return Engine(module, self.device, local.loss, local.statistics)

    def deal(self, run: int) -> Deal:
        """Who holds which records in this run."""
        federation = self.federation(run)
        if federation not in self._dealt:
            dealt = self.deal_for(run, self.scenario.dealt_properties)
            self._dealt[federation] = dealt.training_without(self._held_out(run, dealt))
        return self._dealt[federation]

    def held_out(self, run: int) -> np.ndarray:
        """Sorted indices of the adversary's records that it does not train on."""
        return self._held_out(run, self.deal(run))

    def _held_out(self, run: int, dealt: Deal) -> np.ndarray:
        own = dealt.largest.clients[ADVERSARY]
        count = round(self.scenario.audit.auxiliary_held_out * len(own))
        return np.sort(self.run_seed(run).generator("held-out").permutation(own)[:count])

    @cached_property
    def _dealt(self) -> dict[int, Deal]:
        return {}

    def deal_for(self, run: int, properties: Sequence[str]) -> Deal:
        """Who would hold which records if these properties were audited.

        Raises:
            UserError: some role would hold too few records of one of them.
        """
        federation, audit = self.scenario.federation, self.scenario.audit
        return assign(
            self.dataset,
            federation.plan,
            train_participants=federation.participants,
            audit_participants=self.scenario.participants,
            properties=properties,
            batch_size=audit.batch_size,
            others=audit.others,
            seed=self.run_seed(run).child("partition"),
            rotate=self.scenario.all_are_targets,
        )

    @property
    def training_phase(self) -> TrainingPhase:
        """The ordinary training of the scenario."""
        phase = training_phase(self.scenario, self.scenario.training_transforms)
        return replace(phase, rounds=self.scenario.training_rounds)

    def audited_phase(
        self, rule: str, fraction: float, participants: int, defence: str = ""
    ) -> AuditedPhase:
        """The audited rounds of one cell."""
        return audited_phase(self.scenario, rule, fraction, participants, defence)


def training_phase(scenario: Scenario, transforms: Transforms) -> TrainingPhase:
    """Ordinary training whose deltas are sent like this."""
    f = scenario.federation
    return TrainingPhase(
        protocol=f.protocol,
        rounds=f.rounds,
        cohort=f.cohort,
        local_epochs=f.local_epochs,
        batch_size=f.batch_size,
        training=LocalTraining(
            f.lr,
            f.momentum,
            transforms,
            f.norm_bound,
            expected=f.cohort,
            local=scenario.local,
            epochs=f.local_epochs,
            server=scenario.server,
        ),
        sampler=f.sampler,
    )


def listened_phase(scenario: Scenario, cell: Cell) -> TrainingPhase:
    """The training that a cell of another game than ``property`` listens to."""
    f = scenario.federation
    transforms = scenario.transforms(Sharing(cell.rule, cell.fraction), cell.defence)
    phase = training_phase(scenario, transforms)
    if cell.participants == f.participants:
        return phase
    return replace(phase, cohort=None, training=replace(phase.training, expected=None))


def audited_phase(
    scenario: Scenario, rule: str, fraction: float, participants: int, defence: str = ""
) -> AuditedPhase:
    """The audited rounds of one cell."""
    f, a = scenario.federation, scenario.audit
    transforms = scenario.transforms(Sharing(rule, fraction), defence)
    return AuditedPhase(
        participants=participants,
        cohort=f.cohort if participants == f.participants else None,
        rounds=a.rounds,
        local_steps=a.local_steps,
        batch_size=a.batch_size,
        property_share=a.property_share,
        others=a.others,
        training=LocalTraining(
            a.lr or f.lr,
            a.momentum,
            transforms,
            scenario.audited_norm_bound,
            local=_later(scenario),
            server=scenario.server,
        ),
        rotate=a.targets == "rotate",
    )


def _later(scenario: Scenario) -> LocalOptions:
    """A schedule by the round goes on where ordinary training ended."""
    local = scenario.local
    gone = local.first_round + scenario.training_rounds
    return local if local == PLAIN else local.model_copy(update={"first_round": gone})


def attacked_phase(scenario: Scenario, cell: Cell) -> AuditedPhase:
    """The rounds of a cell of the game ``reconstruction``: audited ones, of its batch size."""
    phase = audited_phase(scenario, cell.rule, cell.fraction, cell.participants, cell.defence)
    return replace(
        phase, rounds=rounds_of(scenario, cell), batch_size=batch_of(cell.property), rotate=False
    )


def rules_of(
    scenario: Scenario, cell: Cell, model_options: dict[str, Any], frozen: str | None = None
) -> Rules:
    """What everybody in the federation of a cell knows of it.

    Args:
        scenario: of the run.
        cell: one of its cells.
        model_options: all arguments of the model, those that follow from the data among them.
        frozen: digest of the parameters that are not trained.
    """
    audited = audited_phase(scenario, cell.rule, cell.fraction, cell.participants, cell.defence)
    if cell.game in (PROPERTY, WHOSE):
        phase: AuditedPhase | TrainingPhase = audited
        of_the_game: dict[str, Any] = {
            "local_steps": audited.local_steps,
            "property_share": audited.property_share,
            "others": audited.others,
            "persistent": cell.game == WHOSE or scenario.audit.schedule != "single-batch",
        }
    elif cell.game == RECONSTRUCTION:
        phase = attacked_phase(scenario, cell)
        of_the_game = {"local_steps": phase.local_steps}
    else:
        phase = listened_phase(scenario, cell)
        of_the_game = _passes(scenario)
    sent = phase.training.transforms
    return Rules(
        model=scenario.model.name,
        model_options=model_options,
        frozen=frozen,
        participants=cell.participants,
        cohort=phase.cohort,
        batch_size=phase.batch_size,
        lr=phase.training.lr,
        momentum=phase.training.momentum,
        local=phase.training.local,
        server=phase.training.server,
        sharing_rule=sent.sharing.rule,
        shared_fraction=sent.sharing.fraction,
        clip_norm=sent.clip_norm,
        noise=sent.noise,
        defences=list(scenario.defence(cell.defence)),
        norm_bound=phase.training.norm_bound,
        **of_the_game,
    )


def _passes(scenario: Scenario) -> dict[str, Any]:
    """Of a client of the game membership, who trains on half as many records as are asked about."""
    assert scenario.membership is not None
    f, held = scenario.federation, scenario.membership.candidates // 2
    if f.protocol == "fedsgd":
        return {"local_steps": 1}
    steps = math.ceil(held / f.batch_size) * f.local_epochs
    return {"local_steps": steps, "local_epochs": f.local_epochs}


@lru_cache(maxsize=1)
def load_world(
    scenario_json: str, data_dir: Path | None, device: str = "cpu", permutation: int = 0
) -> World:
    """The world of a scenario (as JSON, so that a worker process keeps it between tasks).

    With ``permutation`` its properties lie on other records (:mod:`.permuting`).
    """
    scenario = Scenario.model_validate_json(scenario_json)
    seed = Seed(scenario.seed).child("data")
    dataset = load_dataset(scenario.data.name, scenario.data.options, data_dir, seed)
    if permutation:
        dataset = permuted_dataset(dataset, permutation, Seed(scenario.seed).child("permuted"))
    return World(scenario, dataset, device)


def check_world(world: World) -> tuple[str, ...]:
    """Everything a user can get wrong, found before anything is trained or written.

    Returns:
        What a reader of the results must know of the model; most have nothing.

    Raises:
        UserError: unknown property, attack or model; a promise that needs an extra to be accounted,
            or one to single records at a δ that would give one of them away; an attack that needs
            to see more than the threat model gives; too few records for the roles; options that the
            model or an attack does not take.
    """
    audit = world.scenario.audit
    for name in world.scenario.dealt_properties:
        where = "audit.properties" if name in audit.properties else "whose.properties"
        if name not in world.dataset.properties:
            raise unknown_name("property", name, world.dataset.properties, where=where)
        _check_file_name(name)
    check_model(world.scenario.model.name, world.dataset.kind)
    offered = view_named(audit.threat_model)
    wanted = [(game, n) for game in world.scenario.games for n in world.scenario.attacks_of(game)]
    for game, name in wanted:
        attack = load_attack(name)
        if attack.game != game:
            raise UserError(
                f"attack '{name}' answers the question of the game '{attack.game}'",
                where="audit.attacks" if game == PROPERTY else f"{game}.attacks",
                remedy=f"name an attack on the game '{game}' (privaudit list)",
            )
        needed = attack.view
        if not issubclass(offered, needed):
            raise UserError(
                f"attack '{name}' needs the {needed.name} view, the scenario offers the "
                f"{offered.name} view",
                where="audit.threat_model",
                remedy=f"set audit.threat_model={needed.name} or choose another attack",
            )
        make_attack(attack, world.scenario.attack_options.get(name, {}), Seed(0))
    _check_promises(world)
    for run in range(world.scenario.runs):
        world.deal(run)
    most = max(world.scenario.report.devices, default=0)
    if most > len(world.dataset):
        raise UserError(
            f"{most} devices, but only {len(world.dataset)} records in '{world.dataset.name}'",
            where="report.devices",
            remedy="use fewer devices or more data",
        )
    return check_model_takes_data(world)


def _check_promises(world: World) -> None:
    """What defences promise can be accounted, and promises something."""
    scenario, records = world.scenario, len(world.dataset)
    claims = [claim_of(scenario, cell) for cell in cells_of(scenario)]
    for claim in [*claims, training_claim(scenario)]:
        if claim and claim.unit == "record" and claim.delta and claim.delta >= 1 / records:
            raise UserError(
                f"{claim.delta:g} must be below 1 / {records}, one over the records of "
                f"'{world.dataset.name}': what gives one of them away altogether would keep such a "
                "promise",
                where="accounting.delta",
                remedy=f"set accounting.delta = {0.1 / records:.1g}",
            )


def _check_file_name(name: str) -> None:
    """A property is part of file names: no path, and short enough."""
    if not re.fullmatch(r"\w[\w .,+()=-]*", name) or len(name.encode()) > MAX_NAME_BYTES:
        raise UserError(
            f"property {reprlib.repr(name)} cannot be part of a file name",
            where="audit.properties",
            remedy=f"use letters, digits, '_' and '-', at most {MAX_NAME_BYTES} bytes",
        )


def check_model_takes_data(world: World) -> tuple[str, ...]:
    """One gradient on two records, one of them of the last class that occurs; what it showed."""
    engine, labels = world.engine(0), world.dataset.labels
    two = np.array([0, int(labels.argmax())])
    try:
        engine.gradients(engine.initial, world.samples, [two], world.run_seed(0).child("check"))
    except UserError:  # of the loss
        raise
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"model '{world.scenario.model.name}' cannot be trained on "
            f"'{world.dataset.name}': {error}",
            where="model",
            remedy="its forward takes a batch of inputs and gives logits [b, classes]",
        ) from error
    return engine.remarks


def input_shape(dataset: Dataset) -> InputShape:
    """The public facts of a data set that a model is built from."""
    return InputShape.of(
        dataset.kind,
        dataset.inputs.shape,
        num_classes=dataset.num_classes,
        vocabulary_size=len(dataset.vocabulary),
    )
