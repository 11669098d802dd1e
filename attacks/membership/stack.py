"""The members that apply, weighed by how well each did in a federation of the adversary's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from privaudit.attack.membership import Candidates, MembershipAttack, centred
from privaudit.attack.protocol import check_whole_number
from privaudit.engine.engine import Samples
from privaudit.observation.views import Observation
from privaudit.randomness import Seed

from ..stacking import positive_logistic
from .embedding_rows import EmbeddingRows
from .fedmia import FedMIA
from .gradient_cosine import GradientCosine
from .loss_trajectory import LossTrajectory

PRIOR_WEIGHT, PRIOR_PRECISION = 0.5, 1.0
"""Weights are pulled to this value, as hard as this many candidates would."""

ENOUGH, MOST_SIMULATIONS = 128, 8
"""Own records to ask about, and simulated federations, unless the user says."""

MOST_CLIENTS = 33
"""A federation of more is simulated with so many."""

LEAST_RECORDS = 6
"""Own records with which a federation can be simulated: two that train, two that do not, others."""


class MembershipStack(MembershipAttack):
    """Several attacks on membership, combined by logistic regression.

    The weights come from a federation that the adversary simulates from the first parameters it
    saw, by the rules: some of its own records are the target's, some are left out, the rest (drawn
    with replacement) are everybody else's. Every member scores the records that trained and those
    left out there; scores are put on a common scale within a federation. No member gets a negative
    weight.

    Args:
        seed: stream of the simulated federations.
        simulations: how many; 0 weighs all members alike. None: until about 128 own records have
            been asked about, at most 8.
    """

    name = "membership-stack"
    source = "own: loss, cosine, words and (server) other clients' losses, weighed by simulation"

    def __init__(self, *, seed: Seed, simulations: int | None = None) -> None:
        super().__init__(seed=seed)
        if simulations is not None:
            check_whole_number("simulations", simulations, at_least=0)
        self.simulations = simulations
        self._members: list[MembershipAttack] = []
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
        for member in self._members:
            member.listen(observation, given)
        self._rounds += 1

    def answer(self) -> np.ndarray:
        """[N] log odds up to a constant."""
        assert self._given is not None
        scores = _scaled([member.answer() for member in self._members])
        weights = np.full(len(self._members), PRIOR_WEIGHT)
        count = self._count()
        simulations = self.simulations
        if simulations is None:
            simulations = min(MOST_SIMULATIONS, -(-ENOUGH // (2 * count)))
        if simulations and len(self._given.own) >= LEAST_RECORDS:
            parts = [self._simulated(number, count) for number in range(simulations)]
            known = np.concatenate([features for features, _ in parts])
            trained = np.concatenate([labels for _, labels in parts])
            weights, _ = positive_logistic(known, trained, PRIOR_WEIGHT, PRIOR_PRECISION)
        return centred(scores @ weights)

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
        asked = np.concatenate([trained, left_out])
        mine = Samples(own.inputs[asked], own.labels[asked])
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
        about = given.instead(mine)
        for observation in rounds:
            for member in members:
                member.listen(observation, about)
        return _scaled([m.answer() for m in members]), np.arange(2 * count) < count


def _members(given: Candidates, server: bool, seed: Seed) -> list[MembershipAttack]:
    """Those that this model and this view allow."""
    found: list[MembershipAttack] = [LossTrajectory(seed=seed), GradientCosine(seed=seed)]
    if server:
        found.append(FedMIA(seed=seed))
    texts = given.samples.inputs.dtype in (torch.int32, torch.int64)
    if texts and any(isinstance(m, nn.Embedding) for m in given.engine.model.modules()):
        found.append(EmbeddingRows(seed=seed))
    return found


def _scaled(scores: Sequence[np.ndarray]) -> np.ndarray:
    """[N, M] with mean 0 and deviation 1 within a federation."""
    columns = []
    for one in scores:
        spread = float(np.std(one))
        columns.append((one - np.mean(one)) / spread if spread > 0 else np.zeros(len(one)))
    return np.stack(columns, axis=1)


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
    clients = min(rules.cohort or rules.participants, MOST_CLIENTS)
    known = range(2, 2 + min(round(colluding * clients), clients - 2))
    rng = seed.generator("others")
    size = len(target)
    held = [target if c == 1 else rng.choice(others, size) for c in range(clients)]
    before = start
    for number in range(rounds):
        deltas = {}
        for client, records in enumerate(held):
            at = seed.child("client", client, number)
            batches = _batches(records, given, at.generator("batches"))
            update = given.engine.train(
                before, given.own, batches, lr=rules.lr, momentum=rules.momentum, seed=at
            )
            deltas[client] = rules.transforms.apply(update.delta, given.layout, at.child("sent"))
        mean = torch.stack(list(deltas.values())).mean(0)
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
        )
        before = before + mean


def _batches(records: np.ndarray, given: Candidates, rng: np.random.Generator) -> list[np.ndarray]:
    """What a client trains on in one round, by the rules."""
    rules, size = given.rules, given.rules.batch_size
    if rules.local_epochs is None:
        orders = [rng.permutation(records)[: size * rules.local_steps]]
    else:
        orders = [rng.permutation(records) for _ in range(rules.local_epochs)]
    return [order[i : i + size] for order in orders for i in range(0, len(order), size)]
