"""Stage 3: the attacks, given the trace, the adversary's own records, and nothing else."""

from __future__ import annotations

import numpy as np

from privaudit.attack.adversary import Adversary, AuxiliaryData, ProtocolFacts
from privaudit.attack.protocol import fit_together, make_attack
from privaudit.attack.registry import load_attack
from privaudit.engine.engine import Samples
from privaudit.experiment.cells import Cell
from privaudit.experiment.folder import RunFolder
from privaudit.experiment.world import World
from privaudit.federation.partition import ADVERSARY, TARGET
from privaudit.observation.trace import Trace


def attack_cell(world: World, folder: RunFolder, cell: Cell) -> None:
    """Score every round of the cell's trace with every attack of the scenario."""
    scenario = world.scenario
    view = Trace.open(folder.file("traces", f"run-{cell.run}", cell.name)).view()
    adversary = adversary_of(world, cell)
    seed = world.run_seed(cell.run).child("attack")
    attacks = [
        make_attack(
            load_attack(name),
            scenario.attack_options.get(name, {}),
            seed.child(name, cell.name),
        )
        for name in scenario.audit.attacks
    ]
    fit_together(attacks, view, adversary)
    scores = {attack.name: _checked(attack.name, attack.score(), len(view)) for attack in attacks}
    folder.write_json(f"scores/run-{cell.run}/{cell.name}.json", scores)


def adversary_of(world: World, cell: Cell) -> Adversary:
    """What the adversary of a cell owns: client 0's records with their property, and the rules."""
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
        seed=world.run_seed(cell.run).child("adversary", cell.name),
    )


def _auxiliary_records(world: World, cell: Cell) -> np.ndarray:
    """Sorted indices of the adversary's records, with a share of the target's where asked for."""
    clients = world.partitions(cell.run)[cell.participants].clients
    shared = round(world.scenario.audit.auxiliary_overlap * len(clients[TARGET]))
    rng = world.run_seed(cell.run).generator("overlap", cell.participants)
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
