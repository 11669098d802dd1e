"""The game ``membership``: was this record trained on?

The adversary holds candidates: records of the target's, a random half of which are what the target
trains on; on the others nobody does. It listens to ordinary training from the initial weights on,
and says of each candidate whether it was in. A participant cannot say whose it was, a server knows
that it could only be the target's. Candidates that were left out are of the same client, hence of
the same groups, lengths and kind as those that were not: else the game would be about these.

Everybody else trains on as many records as the target, so that averages have equal weights. What
the adversary holds beyond that is not trained on, and at hand to compare with.

Coins are thrown per record by the challenger, so that within a run the labels are exchangeable: the
permutation test is exact whatever the records are like.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from privaudit.attack.membership import Candidates
from privaudit.custody.evidence import EvidenceCollector
from privaudit.custody.folder import RunFolder, trace_folder
from privaudit.errors import UserError
from privaudit.federation.partition import TARGET, Partition
from privaudit.federation.phases import train
from privaudit.games.ending import price_of
from privaudit.games.listening import chosen_samples, listen_to
from privaudit.games.protocol import Game
from privaudit.observation.trace import Trace
from privaudit.scenario.grid import Cell
from privaudit.scenario.schema import MEMBERSHIP
from privaudit.world import World, listened_phase

TRAINED_ON, LEFT_OUT = "accuracy_trained_on", "accuracy_left_out"
"""Facts of a cell: the accuracy of the last global model on candidates in and out, in [0, 1]."""


class Membership(Game):
    """See the module."""

    name = MEMBERSHIP

    def check(self, world: World) -> None:
        """The target must hold the candidates, everybody else half as many records."""
        audit, wanted = world.scenario.audit, _count(world)
        if audit.auxiliary_overlap:
            raise UserError(
                "gives the adversary records of the target's, which are what it asks about",
                where="audit.auxiliary_overlap",
                remedy="set it to 0, or leave [membership] out",
            )
        for run in range(world.scenario.runs):
            for client, records in enumerate(world.deal(run).largest.clients):
                who = "the target" if client == TARGET else f"client {client}"
                needed = wanted if client == TARGET else wanted // 2
                if len(records) < needed:
                    raise UserError(
                        f"for {wanted} candidates {who} needs {needed} records, and holds "
                        f"{len(records)} in run {run}",
                        where="membership.candidates",
                        remedy="ask about fewer, use fewer participants or more data, or give the "
                        "target more (federation.target_share)",
                    )

    def observe(
        self, world: World, folder: RunFolder, cells: Sequence[Cell]
    ) -> dict[Cell, EvidenceCollector]:
        """Each cell is a federation of its own, in which clients draw what they draw in all."""
        kept = {}
        for cell in cells:
            engine = world.engine(cell.run)
            federation = partial(
                train,
                engine,
                world.samples,
                _dealt(world, cell),
                listened_phase(world.scenario, cell),
                start=engine.initial,
                seed=world.audit_seed(cell.run).child(MEMBERSHIP),
            )
            evidence = listen_to(world, folder, cell, engine, engine.initial, federation)
            if evidence is not None:
                kept[cell] = evidence
        return kept

    def facts(self, world: World, folder: RunFolder, cell: Cell) -> dict[str, float]:
        """How well the last model does on candidates in and out: without a gap there is no room."""
        *_, last = Trace.open(trace_folder(folder, cell))
        engine, asked = world.engine(cell.run), candidates_of(world, cell.run)
        present = world.presence(cell)
        room = {
            name: engine.evaluate(last.after, chosen_samples(world, asked[chosen]))[1]
            for name, chosen in ((TRAINED_ON, present), (LEFT_OUT, ~present))
        }
        return room | price_of(world, folder, cell)

    def given(self, world: World, cells: Sequence[Cell]) -> dict[Cell, Candidates]:
        """Candidates, the records of the adversary and its colluders, and the rules."""
        run = cells[0].run
        engine = world.engine(run)
        found = {}
        for cell in cells:
            own = world.pooled(run, cell.participants)
            held = world.deal(run).audited(cell.participants).clients
            trained = [
                _trained_by(world, run, client, held[client])
                for client in world.coalition(cell.participants)
            ]
            found[cell] = Candidates(
                engine=engine,
                samples=chosen_samples(world, candidates_of(world, run)),
                own=chosen_samples(world, own),
                rules=world.rules(cell),
                seed=world.attacker_seed(run).child(MEMBERSHIP),
                trained=np.isin(own, np.concatenate(trained)),
            )
        return found


def candidates_of(world: World, run: int) -> np.ndarray:
    """[candidates] indices of the records asked about, in the order of the answers."""
    held = world.deal(run).largest.clients[TARGET]
    rng = world.audit_seed(run).generator(MEMBERSHIP, "candidates")
    return rng.choice(held, _count(world), replace=False)


def _count(world: World) -> int:
    assert world.scenario.membership is not None
    return world.scenario.membership.candidates


def _dealt(world: World, cell: Cell) -> Partition:
    """Who trains on what: the target on the candidates that are in, the others on as many."""
    partition = world.deal(cell.run).audited(cell.participants)
    clients = [
        _trained_by(world, cell.run, client, held) for client, held in enumerate(partition.clients)
    ]
    clients[TARGET] = np.sort(candidates_of(world, cell.run)[world.presence(cell)])
    return replace(partition, clients=tuple(clients))


def _trained_by(world: World, run: int, client: int, held: np.ndarray) -> np.ndarray:
    """The records that a client other than the target trains on: the same in every cell."""
    rng = world.audit_seed(run).generator(MEMBERSHIP, "trains", client)
    return np.sort(rng.choice(held, _count(world) // 2, replace=False))
