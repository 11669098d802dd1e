"""The game ``reconstruction``: which records did the target train on in this round?

Every client trains on a batch of its own records, drawn anew for each round without putting back;
the federation starts from the trained parameters and moves by what is sent. A participant sees the
sum of all honest deltas and cannot say whose record is whose: what counts is how much of the
target's batch its answer holds. To a server the target's delta is there by itself.

Batches of a client are the same in all cells of one size, whatever is shared and whoever else takes
part: curves over clients and shares are about the same records.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from privaudit.attack.protocol import make_attack
from privaudit.attack.reconstruction import Rebuilding, ReconstructionAttack
from privaudit.attack.registry import load_attack
from privaudit.custody.evidence import EvidenceCollector
from privaudit.custody.folder import RunFolder
from privaudit.custody.models import trained_parameters
from privaudit.errors import UserError
from privaudit.federation.partition import TARGET
from privaudit.federation.rounds import ClientWork, run_rounds
from privaudit.games.ending import price_of
from privaudit.games.listening import chosen_samples, listen_to
from privaudit.games.protocol import Game
from privaudit.randomness import Seed
from privaudit.scenario.grid import Cell, cells_of
from privaudit.scenario.schema import LABELS, RECONSTRUCTION
from privaudit.world import World, attacked_phase


class Reconstruction(Game):
    """See the module."""

    name = RECONSTRUCTION

    def check(self, world: World) -> None:
        """Everybody must hold a round's records, and every attack be able to work on the model."""
        cells = [cell for cell in cells_of(world.scenario) if cell.game == self.name]
        for cell in cells:
            needed = _records(world, cell)
            for client, held in enumerate(world.deal(cell.run).audited(cell.participants).clients):
                if len(held) < needed:
                    raise UserError(
                        f"a round of '{cell.property}' takes {needed} records of every client, and "
                        f"client {client} of {cell.participants} holds {len(held)} in run "
                        f"{cell.run}",
                        where="reconstruction.batch_sizes",
                        remedy="ask about smaller batches, fewer local steps or fewer "
                        "participants, or use more data",
                    )
        fewest = min(cell.participants for cell in cells)
        given = self.given(world, [c for c in cells if c.run == 0 and c.participants == fewest])
        for name in world.scenario.attacks_of(self.name):
            options = world.scenario.attack_options.get(name, {})
            attack = make_attack(load_attack(name), options, world.attacker_seed(0))
            assert isinstance(attack, ReconstructionAttack)
            _check_asked(attack, _asked(world))
            for one in given.values():
                attack.check(one)

    def observe(
        self, world: World, folder: RunFolder, cells: Sequence[Cell]
    ) -> dict[Cell, EvidenceCollector]:
        """Each cell is a federation of its own."""
        kept = {}
        for cell in cells:
            engine, phase = world.engine(cell.run), attacked_phase(world.scenario, cell)
            start = trained_parameters(folder, cell.run)
            federation = partial(
                run_rounds,
                engine,
                world.samples,
                start,
                partial(_work, world, cell),
                phase.training,
                rounds=phase.rounds,
                seed=_seed(world, cell).child("federation"),
            )
            evidence = listen_to(world, folder, cell, engine, start, federation)
            if evidence is not None:
                kept[cell] = evidence
        return kept

    def facts(self, world: World, folder: RunFolder, cell: Cell) -> dict[str, float]:
        """What a defence costs."""
        return price_of(world, folder, cell)

    def given(self, world: World, cells: Sequence[Cell]) -> dict[Cell, Rebuilding]:
        """The records of the adversary and its colluders, and the rules."""
        labels = _asked(world) == LABELS
        return {
            cell: Rebuilding(
                engine=world.engine(cell.run),
                own=chosen_samples(world, world.pooled(cell.run, cell.participants)),
                rules=world.rules(cell),
                seed=world.attacker_seed(cell.run).child(RECONSTRUCTION, cell.property),
                honest=clients_behind(world, cell),
                classes=world.dataset.num_classes if labels else None,
            )
            for cell in cells
        }


def clients_behind(world: World, cell: Cell) -> int:
    """Clients whose deltas are summed in what is seen: all but the adversary and who colludes.

    A server sees the target's by itself.
    """
    if world.scenario.audit.threat_model == "server":
        return 1
    return cell.participants - len(world.coalition(cell.participants))


def _asked(world: World) -> str:
    assert world.scenario.reconstruction is not None
    return world.scenario.reconstruction.of


def _check_asked(attack: ReconstructionAttack, asked: str) -> None:
    if attack.of != asked:
        fitting = '["label-counts"]' if asked == LABELS else "others"
        raise UserError(
            f"rebuilds {attack.of}, and reconstruction.of asks about {asked}",
            where=f"attack '{attack.name}'",
            remedy=f'set reconstruction.of = "{attack.of}", or reconstruction.attacks to {fitting}',
        )


def target_batches(world: World, cell: Cell) -> list[list[int]]:
    """The ground truth: of each round the indices of the records the target trains on."""
    rounds = range(attacked_phase(world.scenario, cell).rounds)
    return [
        [int(record) for record in np.concatenate(list(_drawn(world, cell, TARGET, number)))]
        for number in rounds
    ]


def _work(world: World, cell: Cell, number: int) -> list[ClientWork]:
    return [
        ClientWork(client, list(_drawn(world, cell, client, number)))
        for client in range(cell.participants)
    ]


def _drawn(world: World, cell: Cell, client: int, number: int) -> np.ndarray:
    """[steps, batch] the records of a client in a round."""
    phase = attacked_phase(world.scenario, cell)
    held = world.deal(cell.run).audited(cell.participants).clients[client]
    rng = _seed(world, cell).generator("batches", client, number)
    return rng.choice(held, (phase.local_steps, phase.batch_size), replace=False)


def _records(world: World, cell: Cell) -> int:
    phase = attacked_phase(world.scenario, cell)
    return phase.local_steps * phase.batch_size


def _seed(world: World, cell: Cell) -> Seed:
    return world.audit_seed(cell.run).child(RECONSTRUCTION, cell.property)
