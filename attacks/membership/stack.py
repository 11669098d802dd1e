"""The members that apply, weighed by how well each tells records of the adversary's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from privaudit.attack.membership import Candidates, MembershipAttack, centred
from privaudit.federation.server import server_step
from privaudit.observation.views import Observation
from privaudit.options import Options
from privaudit.randomness import Seed

from ..stacking import positive_logistic
from .embedding_rows import EmbeddingRows
from .fedmia import FedMIA
from .gradient_cosine import GradientCosine
from .loss_trajectory import LossTrajectory

PRIOR_WEIGHT, PRIOR_PRECISION = 0.25, 1.0
"""Weights are pulled to this value, as hard as this many candidates would."""

ENOUGH, MOST_SIMULATIONS = 128, 8
"""Own records to ask about, and simulated federations, unless the user says."""

MOST_CLIENTS = 33
"""A federation of more is simulated with so many."""

LEAST_RECORDS, LEAST_OF_A_KIND = 6, 4
"""Own records with which a federation can be simulated (two that train, two that do not, others);
and that have to have been trained on, and not, to weigh members by."""


class MembershipStackOptions(Options):
    """Options of ``membership-stack``."""

    simulations: int | None = Field(
        None,
        ge=0,
        description="federations to simulate, 0 (all members weigh alike) or more; unset = as many "
        "as needed",
        examples=[4],
    )


class MembershipStack(MembershipAttack):
    """Several attacks on membership, combined by logistic regression.

    The weights come from the very federation that is attacked: the adversary took part in it, too,
    with records of its own, and has others that nobody trained on. To whoever sees all deltas, its
    own among them, its records are like anybody else's. So every member also scores these; scores
    are put on a common scale. No member gets a negative weight.

    Each member's scores stand there twice: as they are, and less the mean of the records with the
    same label. A loss or a step depends on the label as much as on the record, most of all in one
    round from the first parameters, and of that membership explains little.

    An adversary that does not say what it trained on simulates federations from the first
    parameters it saw, by the rules: some of its own records are the target's, some are left out,
    the rest (drawn with replacement) are everybody else's.

    Unless told how many, none where the adversary knows what it trained on, else until about 128
    own records have been asked about, at most 8.
    """

    name = "membership-stack"
    source = "own: loss, cosine, words and (server) other clients' losses, weighed by own records"

    Options = MembershipStackOptions
    options: MembershipStackOptions

    def __init__(self, *, seed: Seed, **options: Any) -> None:
        super().__init__(seed=seed, **options)
        self._members: list[MembershipAttack] = []
        self._own: _Own | None = None
        self._given: Candidates | None = None
        self._start: Tensor | None = None
        self._rounds = 0
        self._server = False
        self._colluding = 0.0

    def listen(self, observation: Observation, given: Candidates) -> None:
        """Hand the round to every member."""
        if self._given is None:
            self._given, self._start = given, observation.before
            self._server = observation.target is not None
            known = 0 if self._server else len(observation.client_deltas)
            self._colluding = known / observation.participants
            self._members = _members(given, self._server, self.seed)
            if self.options.simulations is None:
                self._own = _Own.of(given, self._server, self.seed.child("own"))
        for member in self._members:
            member.listen(observation, given)
        if self._own is not None:
            self._own.listen(observation)
        self._rounds += 1

    def answer(self) -> np.ndarray:
        """[N] log odds up to a constant."""
        assert self._given is not None
        labels = self._given.samples.labels.numpy()
        scores = _scaled([member.answer() for member in self._members], labels)
        own = self._own
        parts = [own.known()] if own is not None and own.rounds else self._simulations()
        if not parts:
            return centred(scores.sum(1))
        known = np.concatenate([features for features, _ in parts])
        trained = np.concatenate([labels for _, labels in parts])
        weights, _ = positive_logistic(known, trained, PRIOR_WEIGHT, PRIOR_PRECISION)
        return centred(scores @ weights)

    def _simulations(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of each simulated federation scaled scores, and who trained; none without records."""
        assert self._given is not None
        if len(self._given.own) < LEAST_RECORDS:
            return []
        count, wanted = self._count(), self.options.simulations
        if wanted is None:
            wanted = min(MOST_SIMULATIONS, -(-ENOUGH // (2 * count)))
        return [self._simulated(number, count) for number in range(wanted)]

    def _count(self) -> int:
        """Own records that train as the target's in a simulation."""
        assert self._given is not None
        return max(2, min(len(self._given) // 2, len(self._given.own) // 3))

    def _simulated(self, number: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """[n, M] scaled scores of own records in a simulated federation, and [n] who trained."""
        assert self._given is not None
        assert self._start is not None
        given, own = self._given, self._given.own
        seed = self.seed.child("simulation", number)
        order = seed.generator("deal").permutation(len(own))
        trained, left_out, rest = order[:count], order[count : 2 * count], order[2 * count :]
        members = _members(given, self._server, seed)
        rounds = _federation(
            given,
            self._start,
            self._rounds,
            trained,
            rest,
            seed,
            server=self._server,
            colluding=self._colluding,
        )
        about = given.instead(np.concatenate([trained, left_out]))
        for observation in rounds:
            for member in members:
                member.listen(observation, about)
        scores = _scaled([m.answer() for m in members], about.samples.labels.numpy())
        return scores, np.arange(2 * count) < count


@dataclass(eq=False)
class _Own:
    """The adversary's own records in the federation it took part in: those it trained on or not.

    Attributes:
        about: who asks about them.
        trained: [n] bool.
        members: the attacks that score them.
        rounds: those in which they could be looked for.
    """

    about: Candidates
    trained: np.ndarray
    members: list[MembershipAttack]
    rounds: int = 0

    @classmethod
    def of(cls, given: Candidates, server: bool, seed: Seed) -> _Own | None:
        """Some of those it trained on, and of the others as many; None where it has too few.

        Of the others half stay its own, for words to be compared with.
        """
        if given.trained is None:
            return None
        order = seed.generator("asked").permutation(len(given.own))
        inside = order[given.trained[order]][:ENOUGH]
        outside = order[~given.trained[order]]
        outside = outside[: min(ENOUGH, len(outside) // 2)]
        if min(len(inside), len(outside)) < LEAST_OF_A_KIND:
            return None
        asked = np.concatenate([inside, outside])
        labels = np.arange(len(asked)) < len(inside)
        return cls(given.instead(asked), labels, _members(given, server, seed))

    def listen(self, observation: Observation) -> None:
        """Hand a round on as it looks to somebody to whom the adversary is a client like any."""
        seen = _with_the_own(observation)
        if seen is not None:
            self.rounds += 1
            for member in self.members:
                member.listen(seen, self.about)

    def known(self) -> tuple[np.ndarray, np.ndarray]:
        """[n, M] scores on the scale they would have if half of them had trained; [n] who did."""
        halves = np.where(self.trained, 1 / self.trained.sum(), 1 / (~self.trained).sum()) / 2
        scores = [member.answer() for member in self.members]
        return _scaled(scores, self.about.samples.labels.numpy(), halves), self.trained


def _with_the_own(observation: Observation) -> Observation | None:
    """The round with the adversary for a target; to a participant, among all others.

    None where a server's deltas do not hold it.
    """
    if observation.target is None:
        return replace(observation, own_delta=torch.zeros_like(observation.before), own_weight=0.0)
    deltas = observation.client_deltas
    own = next((c for c in deltas if torch.equal(deltas[c], observation.own_delta)), None)
    return None if own is None else replace(observation, target=own)


def _members(given: Candidates, server: bool, seed: Seed) -> list[MembershipAttack]:
    """Those that this model and this view allow."""
    found: list[MembershipAttack] = [LossTrajectory(seed=seed), GradientCosine(seed=seed)]
    if server:
        found.append(FedMIA(seed=seed))
    texts = given.samples.inputs.dtype in (torch.int32, torch.int64)
    if texts and any(isinstance(m, nn.Embedding) for m in given.engine.model.modules()):
        found.append(EmbeddingRows(seed=seed))
    return found


def _scaled(
    scores: Sequence[np.ndarray], labels: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """[N, 2 M] with mean 0 and deviation 1 within a federation: as they are, and within labels.

    Args:
        scores: M arrays [N].
        labels: [N].
        weights: [N] how much each record counts in means and deviations; None = alike.
    """
    counts = np.ones(len(labels)) if weights is None else weights
    columns = []
    for one in [*scores, *(_within(one, labels, counts) for one in scores)]:
        apart = one - np.average(one, weights=counts)
        spread = float(np.sqrt(np.average(apart**2, weights=counts)))
        columns.append(apart / spread if spread > 0 else np.zeros(len(one)))
    return np.stack(columns, axis=1)


def _within(scores: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """[N] less the mean of those with the same label."""
    _, of = np.unique(labels, return_inverse=True)
    means = np.bincount(of, counts * scores) / np.bincount(of, counts)
    apart: np.ndarray = scores - means[of]
    return apart


def _federation(
    given: Candidates,
    start: Tensor,
    rounds: int,
    target: np.ndarray,
    others: np.ndarray,
    seed: Seed,
    *,
    server: bool,
    colluding: float,
) -> Iterator[Observation]:
    """What would be seen of a federation of own records; client 1 is the target.

    ``colluding`` is the share of the clients whose deltas the adversary has besides its own.
    """
    rules = given.rules
    engine = given.engine.under(rules.transforms.in_training)
    clients = min(rules.cohort or rules.participants, MOST_CLIENTS)
    known = range(2, 2 + min(round(colluding * clients), clients - 2))
    rng = seed.generator("others")
    size = len(target)
    held = [target if c == 1 else rng.choice(others, size) for c in range(clients)]
    before, memory = start, dict[str, dict[str, Any]]()
    for number in range(rounds):
        deltas, notes = {}, dict[str, list[float]]()
        told = rules.transforms.tells(memory.get("server", {}))
        for client, records in enumerate(held):
            at = seed.child("client", client, number)
            batches = _batches(records, given, at.generator("batches"))
            update = engine.train(
                before, given.own, batches, rule=rules.local_rule, seed=at, number=number
            )
            deltas[client] = rules.transforms.apply(
                update.delta,
                given.layout,
                at.child("sent"),
                told=told,
                memory=memory.setdefault(str(client), {}),
                notes=notes,
            )
        mean = rules.transforms.aggregate(
            torch.stack(list(deltas.values())).mean(0),
            given.layout,
            seed.child("server", number),
            clients=clients,
            told=told,
            memory=memory.setdefault("server", {}),
            notes=notes,
        )
        step = server_step(rules.server, mean, memory.setdefault("optimiser", {}))
        yield Observation(
            round=number,
            before=before,
            global_delta=mean,
            own_delta=deltas[0],
            own_weight=1 / clients,
            participants=clients,
            client_deltas=deltas if server else {c: deltas[c] for c in known},
            client_weights=dict.fromkeys(known, 1 / clients),
            target=1 if server else None,
            told=told,
            step=step,
        )
        before = before + (mean if step is None else step)


def _batches(records: np.ndarray, given: Candidates, rng: np.random.Generator) -> list[np.ndarray]:
    """What a client trains on in one round, by the rules."""
    rules, size = given.rules, given.rules.batch_size
    if rules.local_epochs is None:
        orders = [rng.permutation(records)[: size * rules.local_steps]]
    else:
        orders = [rng.permutation(records) for _ in range(rules.local_epochs)]
    return [order[i : i + size] for order in orders for i in range(0, len(order), size)]
