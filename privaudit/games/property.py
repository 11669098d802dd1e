"""The game ``property``: in which rounds did the target's records have a property?

Melis et al., IEEE S&P 2019, section VI-B. The rounds are audited ones: batches are drawn so that
the target's holds the property or not (:mod:`privaudit.federation.schedule`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from privaudit.attack.adversary import Adversary, AuxiliaryData
from privaudit.custody.evidence import EvidenceCollector
from privaudit.custody.folder import RunFolder
from privaudit.custody.models import trained_buffers, trained_parameters
from privaudit.engine.engine import Engine
from privaudit.federation.partition import ADVERSARY, TARGET
from privaudit.federation.rounds import RoundObserver
from privaudit.games.active import ActiveParticipant
from privaudit.games.audited_rounds import Way, play, together
from privaudit.games.ending import Endings, costs_of, keep_ending, last_model, price_of
from privaudit.games.listening import chosen_samples, evidence_of, tap_on
from privaudit.games.protocol import Game
from privaudit.scenario.grid import Cell, cells_of
from privaudit.scenario.schema import PROPERTY
from privaudit.world import World


class Property(Game):
    """See the module."""

    name = PROPERTY

    def check(self, world: World) -> None:
        """An active participant needs a model with a last shared representation."""
        if world.scenario.audit.alpha is not None:
            active_in(world, next(c for c in cells_of(world.scenario) if c.game == PROPERTY))

    def observe(
        self, world: World, folder: RunFolder, cells: Sequence[Cell]
    ) -> dict[Cell, EvidenceCollector]:
        """See :func:`observe_cells`."""
        return observe_cells(world, folder, cells)

    def facts(self, world: World, folder: RunFolder, cell: Cell) -> dict[str, float]:
        """What an active participant's deltas did to the main task, and how they stood out.

        What a defence costs, where the scenario names some.
        """
        active = world.scenario.audit.alpha is not None
        return (costs_of(folder, cell) if active else {}) | price_of(world, folder, cell)

    def given(self, world: World, cells: Sequence[Cell]) -> dict[Cell, Adversary]:
        """Cells whose adversary owns the same records share its work on the shadows of a round."""
        adversaries: dict[tuple[str, bytes], Adversary] = {}
        found = {}
        for cell in cells:
            key = (cell.property, _auxiliary_records(world, cell).tobytes())
            if key not in adversaries:
                adversaries[key] = adversary_of(world, cell)
            found[cell] = adversaries[key].among(world.rules(cell))
        return found


def observe_cells(
    world: World, folder: RunFolder, cells: Sequence[Cell]
) -> dict[Cell, EvidenceCollector]:
    """Run the audited rounds of some cells of one run under the tap (:mod:`.audited_rounds`).

    What an earlier, interrupted attempt left of a trace is removed first.

    Returns:
        The evidence for the ledger, where there is one: to be kept when the attacks are done.
    """
    kept: dict[Cell, EvidenceCollector] = {}
    for some in together(world, cells):
        kept |= _observe(world, folder, some)
    return kept


def _observe(
    world: World, folder: RunFolder, cells: Sequence[Cell]
) -> dict[Cell, EvidenceCollector]:
    run, active = cells[0].run, world.scenario.audit.alpha is not None
    engine = world.engine(run)
    with ExitStack() as stack:
        watched = [_watched(world, folder, cell, engine, stack) for cell in cells]
        after, buffers = play(world, folder, engine, [one.way for one in watched])
    last = last_model(world, engine, run, after, buffers)
    for one in watched:
        keep_ending(world, folder, one.way.cell, one.ending, last, active)
    return {one.way.cell: one.evidence for one in watched if one.evidence is not None}


@dataclass(frozen=True, eq=False)
class _Watched:
    """A cell with what is kept of it beside its trace."""

    way: Way
    ending: Endings
    evidence: EvidenceCollector | None


def _watched(
    world: World, folder: RunFolder, cell: Cell, engine: Engine, stack: ExitStack
) -> _Watched:
    start, buffers = trained_parameters(folder, cell.run), trained_buffers(folder, cell.run)
    tap = tap_on(world, folder, cell, engine, start, world.rules(cell), stack, buffers)
    evidence, ending = evidence_of(world, cell.run), Endings(world.coalition(cell.participants))
    observers: list[RoundObserver] = [tap, ending, *([evidence] if evidence else [])]
    active = {} if world.scenario.audit.alpha is None else {ADVERSARY: active_in(world, cell)}
    return _Watched(Way(cell, observers, active), ending, evidence)


def active_in(world: World, cell: Cell) -> ActiveParticipant:
    """The adversary of a cell that does not only listen; it shares nothing with other cells.

    Raises:
        UserError: the model has no last shared representation.
    """
    audit = world.scenario.audit
    assert audit.alpha is not None
    own = _auxiliary_records(world, cell)
    return ActiveParticipant(
        world.engine(cell.run),
        _auxiliary(world, cell, own),
        own,
        world.audited_phase(cell.rule, cell.fraction, cell.participants, cell.defence).training,
        alpha=audit.alpha,
        boost=audit.boost,
        seed=world.attacker_seed(cell.run).child("active", cell.property),
    )


def adversary_of(world: World, cell: Cell) -> Adversary:
    """What the adversary of a cell owns: its records with their property, and the rules.

    Its stream depends on the property alone, so that one adversary serves all cells of a property
    in which it owns the same records.
    """
    scenario = world.scenario
    return Adversary(
        engine=world.engine(cell.run),
        auxiliary=_auxiliary(world, cell, _auxiliary_records(world, cell)),
        rules=world.rules(cell),
        shadows=scenario.audit.shadows,
        seed=world.attacker_seed(cell.run).child("shadows", cell.property),
    )


def _auxiliary(world: World, cell: Cell, own: np.ndarray) -> AuxiliaryData:
    """Records with their property, and whose they are where that is known."""
    groups = world.dataset.groups
    return AuxiliaryData(
        chosen_samples(world, own),
        world.dataset.properties[cell.property][own],
        None if groups is None else groups[own],
    )


def _auxiliary_records(world: World, cell: Cell) -> np.ndarray:
    """Sorted indices of the adversary's records and its colluders'.

    Those that it trains on are left out where it holds out others; a share of the target's is among
    them where asked for.
    """
    held = world.pooled(cell.run, cell.participants)
    if world.scenario.audit.auxiliary_held_out:
        own = world.deal(cell.run).largest.clients[ADVERSARY]
        held = np.setdiff1d(held, np.setdiff1d(own, world.held_out(cell.run)))
    target = world.deal(cell.run).audited(cell.participants).clients[TARGET]
    shared = round(world.scenario.audit.auxiliary_overlap * len(target))
    rng = world.run_seed(cell.run).generator("overlap")
    return np.union1d(held, rng.permutation(target)[:shared])
