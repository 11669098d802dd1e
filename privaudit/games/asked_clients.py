"""Which records a client trains on, where a question about the clients of a ledger is asked.

Such a question is a choice between two kinds of records for each client: ``sizes`` between all of
its own and a part of them, ``holders`` between those with a property and those without it,
``labels`` between those of half of the classes and all. Who trains on which is the ground truth
(:mod:`privaudit.scenario.truth`), and is not known here.

Of holders and labels everybody trains on as many records, so that their number tells nothing: as
many as the client has that holds fewest of what anybody may train on. That is the same number
whoever is chosen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from privaudit.errors import UserError
from privaudit.scenario.schema import PUBLIC_LEDGER, Asked
from privaudit.world import World


@dataclass(frozen=True)
class Choice:
    """What one client may train on.

    Attributes:
        yes: sorted indices of the records it draws from where the answer is yes; ``no`` likewise.
        of_yes: how many of them it trains on; ``of_no`` likewise.
    """

    yes: np.ndarray
    no: np.ndarray
    of_yes: int
    of_no: int

    def drawn(self, yes: bool, rng: np.random.Generator) -> np.ndarray:
        """Sorted indices of the records it trains on, without repetitions."""
        pool, count = (self.yes, self.of_yes) if yes else (self.no, self.of_no)
        return pool if count == len(pool) else np.sort(rng.choice(pool, count, replace=False))


def choices(world: World, run: int, asked: Asked, participants: int) -> list[Choice]:
    """The choice of each of ``participants`` clients, for a question about clients.

    Raises:
        UserError: a client holds no record of a kind that it may have to train on; ``sizes``: a
            part of its records is all of them, or none; ``labels``: there is one class.
    """
    held = world.deal(run).audited(participants).clients
    if asked.question == "sizes":
        return _of_sizes(world, run, held)
    marked, kinds = _marked(world, run, asked)
    split = [[own[marked[own] == value] for own in held] for value in (1, 0)]
    for pools, kind in zip(split, kinds, strict=True):
        for client, pool in enumerate(pools):
            if not len(pool):
                raise UserError(
                    f"client {client} holds no record {kind} in run {run}, '{asked.question}' "
                    "needs one of every client",
                    where="public_ledger.questions",
                    remedy="use fewer participants, more data or another partition",
                )
    yes, no = split[0], split[1] if asked.question == "holders" else list(held)
    fewest = min(len(pool) for pool in [*yes, *no])
    return [Choice(one, other, fewest, fewest) for one, other in zip(yes, no, strict=True)]


def _of_sizes(world: World, run: int, held: tuple[np.ndarray, ...]) -> list[Choice]:
    section = world.scenario.public_ledger
    assert section is not None
    fewest = min(map(len, held))
    if round(section.part * fewest) in (0, fewest):
        raise UserError(
            f"{section.part:g} of the {fewest} records of a client in run {run} is none, "
            "or all of them",
            where="public_ledger.part",
            remedy="use fewer participants, more data or another part",
        )
    return [Choice(own, own, len(own), round(section.part * len(own))) for own in held]


def _marked(world: World, run: int, asked: Asked) -> tuple[np.ndarray, tuple[str, str]]:
    """[N] 1 of a kind, 0 not, below 0 not known; and what both kinds are called."""
    data = world.dataset
    if asked.question == "holders":
        both = f"with property '{asked.about}'", f"without property '{asked.about}'"
        return data.properties[asked.about], both
    classes = np.unique(data.labels)
    if len(classes) < 2:
        raise UserError(
            f"all records of '{data.name}' are of class '{data.class_names[classes[0]]}', "
            "'labels' needs two classes",
            where="public_ledger.questions",
            remedy="leave 'labels' out, or use data of more classes",
        )
    rng = world.audit_seed(run).child(PUBLIC_LEDGER, "classes").generator()
    half = rng.permutation(classes)[: len(classes) // 2]
    named = f"of half of the classes ({', '.join(data.class_names[c] for c in np.sort(half)[:3])}"
    named += ", ...)" if len(half) > 3 else ")"
    return np.isin(data.labels, half).astype(np.int8), (named, "of the other classes")
