"""What the adversary would have sent under the stated rules, beside what it sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from privaudit.attack.asked import TRAINED
from privaudit.attack.auxiliary import OwnRecords
from privaudit.attack.own_trace import OwnTrace
from privaudit.engine.engine import Engine
from privaudit.errors import UserError
from privaudit.observation.rules import Rules
from privaudit.observation.views import Observation
from privaudit.randomness import Seed

MOST_NUMBERS = 200_000_000
"""In the replicas of a round; fewer are made of a large model."""

LEAST_REPLICAS = 8


@dataclass(frozen=True)
class Look:
    """How closely is looked.

    Attributes:
        rounds: at most, evenly spaced.
        replicas: of each round, that the own deltas are set beside.
        learned: of each round, more of them, that say what is usual: mean, and directions with
            their spread. The more directions, the smaller the difference in spread that is seen.
    """

    rounds: int
    replicas: int
    learned: int

    def at(self, size: int) -> Look:
        """The same at a model of this many parameters: as many replicas as memory holds."""
        most = max(1.0, size * (self.replicas + self.learned) / MOST_NUMBERS)
        replicas = max(LEAST_REPLICAS, int(self.replicas / most))
        return replace(self, replicas=replicas, learned=replicas * self.learned // self.replicas)


CLOSE = Look(16, 96, 512)
BRIEF = Look(8, 32, 64)
"""Before an attack: what makes scores void is seen in less."""


@dataclass(frozen=True)
class Rows:
    """What is known of a round: vectors in the adversary's own terms.

    Attributes:
        number: of the round.
        own: [P] what it sent.
        rest: [P] what is left of the aggregate, for one of its clients; None where nothing is.
        honest: clients in ``rest``.
        before: [P] parameters.
        steps: batches of a client.
        replicas: [n, P] what it would have sent.
        learned: [m, P] more of them.
    """

    number: int
    own: Tensor
    rest: Tensor | None
    honest: int
    before: Tensor
    steps: int
    replicas: Tensor
    learned: Tensor


def pools_of(records: OwnRecords) -> dict[str, np.ndarray]:
    """What the adversary may have drawn from: all of its records, or those without a property.

    Where it is said which records it trained on, those.
    """
    trained = records.properties.get(TRAINED)
    if trained is not None and bool((trained == 1).any()):
        return {TRAINED: np.flatnonzero(trained == 1)}
    pools = {"all": np.arange(len(records.samples))}
    for name, present in records.properties.items():
        without = np.flatnonzero(present == 0)
        if 0 < len(without) < len(present):
            pools[name] = without
    return pools


def rows_of(
    case: OwnTrace, numbers: Sequence[int], records: np.ndarray, rules: Rules, look: Look
) -> Iterator[Rows]:
    """The rounds with these numbers, one at a time.

    Args:
        case: a participant's.
        numbers: of rounds in which it sent something.
        records: indices of those it may have drawn.
        rules: to make replicas by.
        look: how many replicas of each round.

    Raises:
        UserError: training by these rules diverges.
    """
    wanted, seed = set(numbers), case.seed.child("explain")
    told_apart = not any(step.at_server for step in rules.transforms.steps)
    for seen in case.trace:
        if seen.round not in wanted:
            continue
        made = _sent(case, seen, records, rules, look.replicas + look.learned, seed)
        if not bool(torch.isfinite(made).all()):
            raise UserError(
                f"what the rules give is not finite in round {seen.round}",
                where=str(case.trace.path),
                remedy="state the learning rate, and the other rules, as they were (--set)",
            )
        honest = seen.contributors
        yield Rows(
            seen.round,
            seen.own_delta,
            seen.signal / honest if honest > 0 and told_apart else None,
            honest,
            seen.before,
            _steps(records, rules),
            made[: look.replicas],
            made[look.replicas :],
        )


def _sent(
    case: OwnTrace, seen: Observation, records: np.ndarray, rules: Rules, count: int, seed: Seed
) -> Tensor:
    """[count, P] what a client would have sent that draws from these records."""
    seed = seed.child(seen.round)
    rng = seed.generator("draw")
    engine = case.engine.under(rules.transforms.in_training)
    clients = [_batches(records, rules, rng) for _ in range(count)]
    with engine.starting_from(seen.buffers_before):
        deltas = _trained(engine, case, seen, clients, rules, seed)
    if rules.transforms == rules.transforms.of_training:
        return deltas
    sent = [
        rules.transforms.apply(delta, engine.layout, seed.child("sent", number), told=seen.told)
        for number, delta in enumerate(deltas)
    ]
    return torch.stack(sent)


def _trained(
    engine: Engine,
    case: OwnTrace,
    seen: Observation,
    clients: Sequence[Sequence[np.ndarray]],
    rules: Rules,
    seed: Seed,
) -> Tensor:
    """[n, P] what so many clients make of their batches."""
    rule, samples = rules.local_rule, case.records.samples
    if all(len(batches) == 1 for batches in clients):  # faster, and the same
        only = [batches[0] for batches in clients]
        if rule.is_plain:
            rate = rule.rate(seen.number)
            return engine.many_gradients(seen.before, samples, only, seed).mul_(-rate)
        return engine.single_steps(seen.before, samples, only, rule, seed, seen.number)
    seeds = [seed.child("train", number) for number in range(len(clients))]
    updates = engine.train_clients(seen.before, samples, clients, rule, seeds, seen.number)
    return torch.stack([update.delta for update in updates])


def _batches(records: np.ndarray, rules: Rules, rng: np.random.Generator) -> list[np.ndarray]:
    """What a client trains on in a round."""
    size = rules.batch_size
    if rules.local_epochs is not None:
        passes = [rng.permutation(records) for _ in range(rules.local_epochs)]
        return [one[i : i + size] for one in passes for i in range(0, len(one), size)]
    drawn = rng.choice(records, size * rules.local_steps, replace=_again(records, rules))
    return list(drawn.reshape(rules.local_steps, size))


def _steps(records: np.ndarray, rules: Rules) -> int:
    """Batches of a client in a round."""
    if rules.local_epochs is None:
        return rules.local_steps
    return rules.local_epochs * -(-len(records) // rules.batch_size)


def _again(records: np.ndarray, rules: Rules) -> bool:
    return rules.batch_size * rules.local_steps > len(records)
