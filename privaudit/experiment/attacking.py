"""Stage 3: the attacks, given the trace, the adversary's own records, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from privaudit.attack.adversary import Adversary, AuxiliaryData, ProtocolFacts
from privaudit.attack.protocol import FAILURES, Listening, fit_in_step, make_attack
from privaudit.attack.registry import load_attack
from privaudit.engine.engine import Samples
from privaudit.experiment.cells import Cell, trace_folder
from privaudit.experiment.folder import RunFolder
from privaudit.experiment.world import World
from privaudit.federation.partition import ADVERSARY, TARGET
from privaudit.observation.trace import Trace


def attack_cells(world: World, folder: RunFolder, cells: Sequence[Cell]) -> dict[Cell, Exception]:
    """Score every round of the traces of some cells of one run with every attack of the scenario.

    Cells whose adversary owns the same records share its work on the shadows of each round.

    Returns:
        The error of each cell without scores.
    """
    failed: dict[Cell, Exception] = {}
    adversaries: dict[tuple[str, bytes], Adversary] = {}
    by_adversary: dict[Adversary, list[Cell]] = {}
    for cell in cells:
        key = (cell.property, _auxiliary_records(world, cell).tobytes())
        if key not in adversaries:
            adversaries[key] = adversary_of(world, cell)
        by_adversary.setdefault(adversaries[key], []).append(cell)
    for adversary, listened in by_adversary.items():
        failed |= _attack_together(world, folder, adversary, listened)
    return failed


def _attack_together(
    world: World, folder: RunFolder, adversary: Adversary, cells: Sequence[Cell]
) -> dict[Cell, Exception]:
    listenings = [_listening(world, folder, adversary, cell) for cell in cells]
    failed: dict[Cell, Exception] = {}
    for cell, listening, error in zip(cells, listenings, fit_in_step(listenings), strict=True):
        try:
            if error is not None:
                raise error
            scores = {
                attack.name: _checked(attack.name, attack.score(), len(listening.view))
                for attack in listening.attacks
            }
        except FAILURES as reason:
            failed[cell] = reason
        else:
            folder.write_json(f"scores/run-{cell.run}/{cell.name}.json", scores)
    return failed


def _listening(world: World, folder: RunFolder, adversary: Adversary, cell: Cell) -> Listening:
    phase = world.audited_phase(cell.rule, cell.fraction, cell.participants)
    seed = world.attacker_seed(cell.run).child("attack")
    options = world.scenario.attack_options
    return Listening(
        Trace.open(trace_folder(folder, cell)).view(),
        adversary.among(cell.participants, phase.training.transforms),
        tuple(
            make_attack(load_attack(name), options.get(name, {}), seed.child(name, cell.name))
            for name in world.scenario.audit.attacks
        ),
    )


def adversary_of(world: World, cell: Cell) -> Adversary:
    """What the adversary of a cell owns: client 0's records with their property, and the rules.

    Its stream depends on the property alone, so that one adversary serves all cells of a property
    in which it owns the same records.
    """
    scenario = world.scenario
    phase = world.audited_phase(cell.rule, cell.fraction, cell.participants)
    own = _auxiliary_records(world, cell)
    samples = Samples(world.samples.inputs[own], world.samples.labels[own])
    groups = world.dataset.groups
    auxiliary = AuxiliaryData(
        samples,
        world.dataset.properties[cell.property][own],
        None if groups is None else groups[own],
    )
    facts = ProtocolFacts(
        participants=phase.participants,
        batch_size=phase.batch_size,
        local_steps=phase.local_steps,
        lr=phase.training.lr,
        momentum=phase.training.momentum,
        transforms=phase.training.transforms,
        property_share=phase.property_share,
        others=phase.others,
        persistent=scenario.audit.schedule == "dataset",
    )
    return Adversary(
        engine=world.engine(cell.run),
        auxiliary=auxiliary,
        facts=facts,
        shadows=scenario.audit.shadows,
        seed=world.attacker_seed(cell.run).child("shadows", cell.property),
    )


def _auxiliary_records(world: World, cell: Cell) -> np.ndarray:
    """Sorted indices of the adversary's records, with a share of the target's where asked for."""
    clients = world.deal(cell.run).audited(cell.participants).clients
    shared = round(world.scenario.audit.auxiliary_overlap * len(clients[TARGET]))
    rng = world.run_seed(cell.run).generator("overlap")
    return np.union1d(clients[ADVERSARY], rng.permutation(clients[TARGET])[:shared])


def _checked(name: str, scores: np.ndarray, rounds: int) -> list[float]:
    """Finite scores, one per round; a broken attack is a failed cell, never a dropped one."""
    scores = np.asarray(scores, dtype=np.float64)
    if scores.shape != (rounds,) or not np.isfinite(scores).all():
        raise RuntimeError(
            f"attack '{name}' returned shape {scores.shape}, "
            f"{int((~np.isfinite(scores)).sum())} not finite; expected ({rounds},) finite"
        )
    return [float(s) for s in scores]
