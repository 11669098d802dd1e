"""Stage 3: the attacks, given the trace, what the game gives them, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from privaudit.attack.apart import score_apart
from privaudit.attack.scoring import Hearing, Scores, Wanted
from privaudit.custody.folder import RunFolder
from privaudit.games import GAMES
from privaudit.scenario.grid import Cell
from privaudit.world import World


def attack_cells(
    world: World, folder: RunFolder, cells: Sequence[Cell]
) -> dict[Cell, dict[str, Scores]]:
    """Put the traces of some cells of one run and game to every attack of the scenario.

    Returns:
        For each cell, attack -> its scores, or why it has none.
    """
    game = GAMES[cells[0].game]
    given = game.given(world, cells)
    hearings = [_hearing(world, given[cell], cell) for cell in cells]
    views = [game.view(folder, cell) for cell in cells]
    return dict(zip(cells, score_apart(hearings, views, run=cells[0].run), strict=True))


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
