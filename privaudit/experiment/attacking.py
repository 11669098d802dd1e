"""Stage 3: the attacks, given the trace, what the game gives them, and nothing else."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from privaudit.attack.apart import score_apart
from privaudit.attack.layers import AskedByLayer, Listening, Signal
from privaudit.attack.scoring import Failure, Hearing, Scores, Wanted
from privaudit.custody.folder import RunFolder
from privaudit.games import GAMES
from privaudit.scenario.grid import Cell, rounds_of
from privaudit.world import World


@dataclass(frozen=True)
class Heard:
    """What came of one cell.

    Attributes:
        scores: attack -> its scores, or why it has none.
        signal: what each layer tells; None where that was not asked, or no attack has scores.
    """

    scores: dict[str, Scores]
    signal: Signal | None


def attack_cells(
    world: World, folder: RunFolder, cells: Sequence[Cell], *, by_layer: Collection[Cell] = ()
) -> dict[Cell, Heard]:
    """Put the traces of some cells of one run and game to every attack of the scenario.

    Args:
        world: the scenario with its data.
        folder: of the run.
        cells: which.
        by_layer: which of them are looked at layer by layer, too.
    """
    game = GAMES[cells[0].game]
    given = game.given(world, cells)
    views = {cell: game.view(folder, cell) for cell in cells}
    layered = [cell for cell in cells if cell in by_layer]
    # These come first: attacks are other people's code, and might change what they are shown.
    heard = [*layered, *cells]
    hearings = [_by_layer(world, given[cell], cell) for cell in layered]
    hearings += [_hearing(world, given[cell], cell) for cell in cells]
    found = score_apart(hearings, [views[cell] for cell in heard], run=cells[0].run)
    scores = dict(zip(cells, found[len(layered) :], strict=True))
    signals = {}
    for cell, signal, hearing in zip(layered, found, hearings, strict=False):
        if not any(isinstance(one, list) for one in scores[cell].values()):
            continue  # attacks say why
        if any(isinstance(one, Failure) for one in signal.values()):
            # An attack may have ended their process in its name, or had all the memory: once alone.
            signals[cell] = _signal(*score_apart([hearing], [views[cell]], run=cell.run))
        else:
            signals[cell] = _signal(signal)
    return {cell: Heard(scores[cell], signals.get(cell)) for cell in cells}


def _hearing(world: World, given: Any, cell: Cell) -> Hearing:
    seed = world.attacker_seed(cell.run).child("attack")
    options = world.scenario.attack_options
    return Hearing(
        given,
        tuple(
            Wanted(name, options.get(name, {}), seed.child(name, cell.name))
            for name in world.scenario.attacks_of(cell.game)
        ),
    )


def _by_layer(world: World, given: Any, cell: Cell) -> Hearing:
    seed = world.attacker_seed(cell.run).child("layers", cell.name)
    return Hearing(AskedByLayer(given, rounds_of(world.scenario, cell)), (Listening(seed),))


def _signal(found: dict[str, Scores]) -> Signal:
    """What each layer tells.

    Raises:
        MemoryError: there was none left.
        RuntimeError: anything else is a fault of ours.
    """
    (signal,) = found.values()
    if isinstance(signal, Failure):
        error = MemoryError if "MemoryError" in signal.reason else RuntimeError
        raise error(f"{signal.reason}\n{signal.traceback}")
    return signal
