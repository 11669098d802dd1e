"""Stage 3: the attacks, given the trace, the adversary's own records, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from privaudit.attack.adversary import Adversary, AuxiliaryData
from privaudit.attack.apart import score_apart
from privaudit.attack.scoring import Hearing, Scores, Wanted
from privaudit.custody.folder import RunFolder, trace_folder
from privaudit.engine.engine import Samples
from privaudit.experiment.world import World
from privaudit.federation.partition import ADVERSARY, TARGET
from privaudit.observation.trace import Trace
from privaudit.scenario.grid import Cell


def attack_cells(
    world: World, folder: RunFolder, cells: Sequence[Cell]
) -> dict[Cell, dict[str, Scores]]:
    """Score every round of the traces of some cells of one run with every attack of the scenario.

    Cells whose adversary owns the same records share its work on the shadows of each round.

    Returns:
        For each cell, attack -> its scores, or why it has none.
    """
    found: dict[Cell, dict[str, Scores]] = {}
    adversaries: dict[tuple[str, bytes], Adversary] = {}
    by_adversary: dict[Adversary, list[Cell]] = {}
    for cell in cells:
        key = (cell.property, _auxiliary_records(world, cell).tobytes())
        if key not in adversaries:
            adversaries[key] = adversary_of(world, cell)
        by_adversary.setdefault(adversaries[key], []).append(cell)
    for adversary, heard in by_adversary.items():
        hearings = [_hearing(world, adversary, cell) for cell in heard]
        views = [Trace.open(trace_folder(folder, cell)).view() for cell in heard]
        found |= zip(heard, score_apart(hearings, views), strict=True)
    return found


def _hearing(world: World, adversary: Adversary, cell: Cell) -> Hearing:
    seed = world.attacker_seed(cell.run).child("attack")
    options = world.scenario.attack_options
    return Hearing(
        adversary.among(world.rules(cell)),
        tuple(
            Wanted(name, options.get(name, {}), seed.child(name, cell.name))
            for name in world.scenario.audit.attacks
        ),
    )


def adversary_of(world: World, cell: Cell) -> Adversary:
    """What the adversary of a cell owns: client 0's records with their property, and the rules.

    Its stream depends on the property alone, so that one adversary serves all cells of a property
    in which it owns the same records.
    """
    scenario = world.scenario
    own = _auxiliary_records(world, cell)
    samples = Samples(world.samples.inputs[own], world.samples.labels[own])
    groups = world.dataset.groups
    auxiliary = AuxiliaryData(
        samples,
        world.dataset.properties[cell.property][own],
        None if groups is None else groups[own],
    )
    return Adversary(
        engine=world.engine(cell.run),
        auxiliary=auxiliary,
        rules=world.rules(cell),
        shadows=scenario.audit.shadows,
        seed=world.attacker_seed(cell.run).child("shadows", cell.property),
    )


def _auxiliary_records(world: World, cell: Cell) -> np.ndarray:
    """Sorted indices of the adversary's records, with a share of the target's where asked for."""
    clients = world.deal(cell.run).audited(cell.participants).clients
    shared = round(world.scenario.audit.auxiliary_overlap * len(clients[TARGET]))
    rng = world.run_seed(cell.run).generator("overlap")
    return np.union1d(clients[ADVERSARY], rng.permutation(clients[TARGET])[:shared])
