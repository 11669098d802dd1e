"""Canaries in the federation of a scenario: do its clipping and noise hide one client?

The canaries join the ordinary training of run 0 (``[federation]``) behind its defences: they are
clipped and shared as everybody's deltas, and carry no noise of their own in the sum, whose noise is
that of the honest clients. The model moves by the honest clients alone, so that a thousand canaries
do not spoil what five clients learn. A server is sent each delta by itself: to it a canary has the
noise of one client, and nobody else is in the way.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from privaudit.accounting.canary_bound import FAULT, ceiling, power
from privaudit.accounting.gaussian import epsilon_at, mu_of, over_rounds
from privaudit.canaries import Canaries, CanaryRecord, Reading, read_record
from privaudit.canaries.canaries import BLOCK, COUNT, check_canaries, guesses_for
from privaudit.canaries.record import parse_canaries
from privaudit.canaries.words import number
from privaudit.custody.folder import RunFolder
from privaudit.custody.plan import keep_plan, make_plan
from privaudit.defences.central import CentralDP
from privaudit.defences.clipping import Clipping
from privaudit.defences.mechanism import longest_of, noise_multiplier, without_noise
from privaudit.defences.protocol import Defence
from privaudit.errors import UserError
from privaudit.experiment import tasks
from privaudit.experiment.estimate import training_seconds
from privaudit.experiment.executors.choice import executor_for, number_of_workers
from privaudit.experiment.executors.protocol import Executor
from privaudit.experiment.tasks import Job
from privaudit.federation.aggregation import Submission, Verdict
from privaudit.federation.phases import TrainingPhase, train
from privaudit.federation.rounds import RoundOutcome
from privaudit.progress import Progress, Silent
from privaudit.randomness import Seed
from privaudit.scenario.load import refuse_sweep
from privaudit.scenario.schema import Scenario
from privaudit.scenario.write import resolved_toml
from privaudit.world import World, load_world, training_phase

RECORDS, SETTINGS = "canaries.jsonl", "canaries.json"
PARTICIPANT, SERVER = "participant", "server"
VIEWS = (PARTICIPANT, SERVER)
PROBE = 64
"""Canaries that are made to see how long it takes."""
UNEQUAL = 1.01
"""Ratio of the largest weight in an average to the smallest from which on no ε is claimed."""


@dataclass(frozen=True)
class Asked:
    """What is asked of a scenario.

    Attributes:
        count: m, canaries.
        guesses: r; None = chosen from the claim.
        claimed_epsilon: None = what the scenario's own clipping and noise promise.
        delta: None = 1e-5.
        rounds: None = ``federation.rounds``.
        views: who reads; empty = the scenario's threat model where something is claimed, else both
            (who sees single deltas at all).
    """

    count: int = COUNT
    guesses: int | None = None
    claimed_epsilon: float | None = None
    delta: float | None = None
    rounds: int | None = None
    views: tuple[str, ...] = ()

    def resolved(self, scenario: Scenario) -> Asked:
        """With everything that was left open.

        Raises:
            UserError: what cannot be asked, or not of this scenario.
        """
        refuse_sweep(scenario)
        federation = scenario.federation
        delta = check_canaries(
            self.count, self.guesses, self.claimed_epsilon, self.delta, federation.participants
        )
        sent = scenario.training_transforms
        longest = longest_of(sent)
        if longest is None:
            raise UserError(
                "nothing bounds what one client adds to a round, so no ε can be claimed (it is "
                "infinite) and a canary has no length",
                where="federation.clip_norm",
                remedy="set it, and federation.noise, e.g. --set federation.clip_norm=0.5 "
                "--set federation.noise=0.5, or federation.defence with steps that clip",
            )
        without_noise(sent)  # or it cannot be told what a canary would be without its own
        if sent.has_memory:
            raise UserError(
                "a step that keeps something from round to round, which a canary does not",
                where="federation.defence",
                remedy="use a defence without memory",
            )
        if federation.norm_bound is not None and federation.norm_bound < longest:
            raise UserError(
                f"{federation.norm_bound:g} refuses every canary, which is {longest:g} long",
                where="federation.norm_bound",
                remedy="raise it, or leave it out",
            )
        rounds = federation.rounds if self.rounds is None else self.rounds
        if rounds < 1:
            raise UserError(
                f"canaries are heard in rounds of training, and there are {rounds}",
                where="federation.rounds",
                remedy="give --rounds 10",
            )
        views = self._views(scenario.audit.threat_model, hidden=sent.hides_single_deltas)
        return replace(self, delta=delta, rounds=rounds, views=views)

    def _views(self, own: str, *, hidden: bool) -> tuple[str, ...]:
        """Who reads; ``own`` is the scenario's threat model, ``hidden``: the server sees sums."""
        views = self.views or (VIEWS if self.claimed_epsilon is None else (own,))
        if not hidden:
            return tuple(views)
        if SERVER in self.views or views == (SERVER,):
            raise UserError(
                "under secure aggregation the server is sent no canary by itself: what it sees is "
                "what a participant sees, with one delta more",
                where="--view",
                remedy="use --view participant",
            )
        return (PARTICIPANT,)


@dataclass(frozen=True)
class CanaryJob:
    """What every task is given."""

    job: Job
    asked: Asked


def measure_canaries(
    scenario: Scenario,
    out: Path,
    asked: Asked | None = None,
    *,
    data_dir: Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    device: str = "cpu",
    executor: Executor | None = None,
) -> list[Reading]:
    """Put canaries into the training of a scenario, and leave their records in ``out``.

    Args:
        scenario: with ``federation.clip_norm``; canaries join its run 0.
        out: new or empty folder.
        asked: how many canaries, and what is claimed.
        data_dir: as in :func:`privaudit.audit.run_audit`, and so the others.
        workers: processes.
        progress: shows how far it is.
        device: where models are computed.
        executor: who runs the model.

    Raises:
        UserError: as :meth:`Asked.resolved` and :func:`run_audit`.
    """
    found = (asked or Asked()).resolved(scenario)
    show, workers = progress or Silent(), number_of_workers(workers, most=len(found.views))
    job = Job.of(scenario, data_dir, out, device)
    with executor_for(executor, workers) as runner:
        world = load_world(job.scenario_json, job.data_dir, device)
        tasks.check(runner, job)()
        with RunFolder.create(out, scenario, resume=False) as folder:
            plan = keep_plan(folder, make_plan(scenario, world.dataset, device=device))
            folder.write_text("scenario.toml", resolved_toml(scenario))
            work = CanaryJob(replace(job, plan=plan.model_dump_json()), found)
            heard = runner.each(canaries_task, work, found.views, workers=workers)
            done = {
                view: tasks.whole(record, f"canaries, {view}")
                for view, record in show.track(heard, stage="canaries", total=len(found.views))
            }
            records: list[CanaryRecord] = [done[view] for view in found.views]
            readings = [read_record(record) for record in records]  # or nothing is left behind
            folder.write_json(SETTINGS, _settings(found))
            folder.write_lines(RECORDS, [record.model_dump(mode="json") for record in records])
    return readings


def _settings(asked: Asked) -> dict[str, Any]:
    return {
        "canaries": asked.count,
        "guesses": asked.guesses,
        "claimed_epsilon": asked.claimed_epsilon,
        "delta": asked.delta,
        "rounds": asked.rounds,
        "views": list(asked.views),
    }


def read_canaries(out: Path) -> list[Reading]:
    """What the records in a folder say.

    Raises:
        UserError: there are none, or they cannot be read.
    """
    folder = RunFolder.open(out)
    where = str(folder.file(RECORDS))
    return [read_record(r) for r in parse_canaries(folder.read_lines(RECORDS), where=where)]


def canaries_task(work: CanaryJob, view: str) -> CanaryRecord:
    """The record of one reader."""
    world, asked = work.job.world(), work.asked
    phase = _phase(world, asked)
    claimed, origin = _claim(world, phase, asked, view)
    sent, layout = phase.training.transforms, world.engine(0).layout
    longest, unnoised = longest_of(sent), without_noise(sent)
    assert longest is not None

    def carry(vector: Tensor, seed: Seed) -> Tensor:
        return unnoised.apply(vector, layout, seed)

    canaries = Canaries(
        layout.size,
        clip_norm=longest,
        seed=world.audit_seed(0).child("canaries", view),
        count=asked.count,
        guesses=asked.guesses,
        claimed_epsilon=claimed,
        delta=asked.delta,
        clients=world.scenario.federation.participants,
        view=view,
        claim=origin,
        sampler=_sampler(world.scenario),
        # A canary is as long as the clipping norm: where all of it is shared, it goes as it is.
        carry=carry if any(map(_changes, unnoised.steps)) else None,
    )
    hear = _as_server if view == SERVER else _as_participant
    return canaries.record(noise=hear(world, phase, canaries))


def _changes(step: Defence) -> bool:
    """Whether a step makes something else of a delta that is as long as the bound."""
    return not isinstance(step, Clipping | CentralDP)


def _phase(world: World, asked: Asked) -> TrainingPhase:
    assert asked.rounds is not None
    phase = training_phase(world.scenario, world.scenario.training_transforms)
    return replace(phase, rounds=asked.rounds)


def _claim(world: World, phase: TrainingPhase, asked: Asked, view: str) -> tuple[float | None, str]:
    """ε, None where there is none; and where it is from, empty where the user states it."""
    if asked.claimed_epsilon is not None:
        return asked.claimed_epsilon, ""
    mu, origin = promised_mu(world, phase, view)
    assert asked.delta is not None
    return None if math.isinf(mu) else epsilon_at(mu, asked.delta), origin


def _sampler(scenario: Scenario) -> str:
    cohort = scenario.federation.cohort
    if cohort is None or cohort >= scenario.federation.participants:
        return "every client in every round"
    return f"cohorts of {cohort} without replacement, canaries in every round: no amplification"


def promised_mu(world: World, phase: TrainingPhase, view: str) -> tuple[float, str]:
    """What clipping and noise at the clients promise of one client more or less, and why not more.

    The noise between a canary and a participant is that of all who do not collude; between it and a
    server that of one client.

    Returns:
        μ of all rounds, infinite where nothing is promised; in words where it is from.
    """
    sent, f = phase.training.transforms, world.scenario.federation
    hidden_by = 1
    if view == PARTICIPANT:
        weights = [_weight(phase, len(client)) for client in world.deal(0).training.clients]
        if phase.training.norm_bound is not None and not sent.averages_equally:
            return math.inf, "a refused delta changes the divisor"
        if max(weights) > UNEQUAL * min(weights) and not sent.averages_equally:
            return math.inf, "clients have unequal weights"
        hidden_by = min(f.cohort or f.participants, f.participants) - len(
            world.coalition(f.participants)
        )
        if hidden_by < 1:
            return math.inf, "nobody else's noise is in the sum"
    multiplier = noise_multiplier(sent, server=view == SERVER, honest=hidden_by)
    if isinstance(multiplier, str):
        return math.inf, f"{multiplier}: ε is infinite"
    return over_rounds(1 / multiplier, phase.rounds), "simulated noise"


def _weight(phase: TrainingPhase, held: int) -> int:
    """Records of a round by which a client's delta is weighed."""
    if phase.protocol == "fedsgd":
        return min(phase.batch_size, held)
    return held * phase.local_epochs


def _as_participant(world: World, phase: TrainingPhase, canaries: Canaries) -> float:
    """Hear the sum of all who do not collude; variance that their noise adds to a score."""
    listener = _Listener(canaries, world.coalition(world.scenario.federation.participants), phase)
    engine = world.engine(0)
    for _ in train(
        engine,
        world.samples,
        world.deal(0).training,
        phase,
        start=engine.initial,
        seed=world.run_seed(0).child("training"),
        observers=[listener],
    ):
        pass
    return listener.variance


class _Listener:
    """Takes what the coalition sent off every aggregate, and adds the canaries.

    Attributes:
        variance: that the noise of the others adds to a score, so far.
    """

    def __init__(self, canaries: Canaries, coalition: Sequence[int], phase: TrainingPhase) -> None:
        self._canaries, self._coalition = canaries, coalition
        self._transforms = phase.training.transforms
        self._known: dict[int, Tensor] = {}
        self.variance = 0.0

    def begin(self, round_number: int, before: Tensor, cohort: Sequence[int]) -> None:
        """Forget the round before."""
        self._known = {}

    def submitted(self, submission: Submission, verdict: Verdict) -> None:
        """Keep what the coalition sent."""
        if submission.client in self._coalition and verdict.accepted:
            self._known[submission.client] = submission.delta

    def end(self, outcome: RoundOutcome) -> None:
        """Of the mean, the sum of the others in units of a client of mean weight."""
        count = max(1, len(outcome.weights))
        total = outcome.delta * count
        for client, delta in self._known.items():
            total = total - delta * (count * outcome.weights[client])
        others = [w * count for c, w in outcome.weights.items() if c not in self._known]
        # Of clients with equal weights one each; of others as many as their noise counts for.
        alike = max(1, round(float(np.sum(np.square(others)))))
        noise = noise_multiplier(self._transforms, server=False, honest=alike)
        self.variance += 0.0 if isinstance(noise, str) else noise**2
        self._canaries.hear(outcome.round, total + self._canaries.total(outcome.round))


def _as_server(world: World, phase: TrainingPhase, canaries: Canaries) -> float:
    """Hear every canary by itself; variance that one client's noise adds to a score."""
    transforms, layout = phase.training.transforms, world.engine(0).layout
    seed = world.audit_seed(0).child("sent")
    for each in range(phase.rounds):
        at = seed.child("round", each)
        canaries.hear_each(
            each,
            lambda delta, one, at=at: transforms.apply(delta, layout, at.child(one)),  # type: ignore[misc]
        )
    noise = noise_multiplier(transforms, server=True, honest=1)
    return 0.0 if isinstance(noise, str) else phase.rounds * noise**2


def expected(
    scenario: Scenario,
    out: Path,
    asked: Asked,
    *,
    data_dir: Path | None = None,
    executor: Executor | None = None,
) -> dict[str, Any]:
    """What it would take and could show; writes nothing.

    Raises:
        UserError: as :func:`measure_canaries`.
    """
    job = Job.of(scenario, data_dir, out, "cpu")
    found = asked.resolved(scenario)
    with executor_for(executor, 1) as runner:
        tasks.check(runner, job)()
        ((_, told),) = runner.each(expected_task, CanaryJob(job, found), [0])
        document: dict[str, Any] = tasks.whole(told, "timing a few canaries")
    return document


def expected_task(work: CanaryJob, _: int) -> dict[str, Any]:
    """The same where the model may be built."""
    world, asked = work.job.world(), work.asked
    phase = _phase(world, asked)
    assert asked.rounds is not None
    assert asked.delta is not None
    size = world.engine(0).layout.size
    started = time.perf_counter()
    probe = Canaries(size, clip_norm=1.0, seed=0, count=PROBE)
    probe.hear(0, probe.total(0))
    each = (time.perf_counter() - started) / PROBE
    training = training_seconds(world, asked.rounds if PARTICIPANT in asked.views else 0)
    readers = []
    for view in asked.views:
        claimed, origin = _claim(world, phase, asked, view)
        guesses = asked.guesses or guesses_for(asked.count, claimed, asked.delta)
        readers.append(
            {
                "view": view,
                "claimed_epsilon": claimed,
                "claim": origin or "stated",
                "guesses": guesses,
                "ceiling": ceiling(guesses, asked.count, asked.delta),
                "power": None
                if claimed is None
                else power(
                    guesses,
                    asked.count,
                    claimed,
                    asked.delta,
                    FAULT * mu_of(claimed, asked.delta),
                ),
            }
        )
    return {
        "canaries": asked.count,
        "rounds": asked.rounds,
        "delta": asked.delta,
        "parameters": size,
        "seconds": each * asked.count * asked.rounds * len(asked.views) + float(training[1]),
        "memory": 4 * max(size, min(asked.count * size, BLOCK)),
        "readers": readers,
    }


def expected_lines(found: dict[str, Any]) -> list[str]:
    """The same in sentences."""
    lines = [
        f"{found['canaries']:,} canaries of {found['parameters']:,} parameters in each of "
        f"{found['rounds']} rounds: about {found['seconds']:.0f} s, {found['memory'] / 1e6:.0f} MB "
        "for the canaries"
    ]
    for reader in found["readers"]:
        epsilon = reader["claimed_epsilon"]
        claim = (
            f"nothing is claimed ({reader['claim']})"
            if epsilon is None
            else f"ε = {number(epsilon)} at δ = {found['delta']:g} is claimed ({reader['claim']}); "
            + (
                "no bound of this size could refute it"
                if reader["ceiling"] <= epsilon
                else "with a quarter of the noise it would be refuted in "
                f"{100 * reader['power']:.0f} of 100 audits"
            )
        )
        lines.append(
            f"{reader['view']}: {reader['guesses']} guesses, a bound of at most "
            f"{number(reader['ceiling'])}; {claim}"
        )
    return lines
