"""Answers of the game reconstruction, held against the records they are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from privaudit.engine.samples import prepare
from privaudit.evaluation.rebuilding import (
    Rebuilt,
    assigned,
    errors_of,
    guessed,
    measured,
    psnr,
    ranges,
)
from privaudit.games.reconstruction import target_batches
from privaudit.randomness import Seed
from privaudit.scenario.grid import Cell, cells_of
from privaudit.scenario.schema import RECONSTRUCTION
from privaudit.world import World

SHOWN = "shown"
"""Folder of what a page shows of each size of batch."""

MOST_SHOWN = 8
"""Records of a batch that a page shows."""

SHADES = 255


class AnswerJudge:
    """Holds answers against the records of a run's target.

    What a guess of texts is drawn with follows from the scenario and the cell, and is the same for
    every attack. A guess is the same whatever is shared.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._guesses: dict[tuple[int, str, int], dict[str, list[float]]] = {}

    def __call__(self, cell: Cell, answers: Sequence[Sequence[Sequence[float]]]) -> Rebuilt:
        """How much of the target's batches the answers of an attack hold."""
        world = self._world
        kind = world.dataset.kind
        truth = [_inputs(world, batch) for batch in target_batches(world, cell)]
        key = cell.run, cell.property, cell.participants
        if key not in self._guesses:
            self._guesses[key] = self._guess(cell, truth)
        return measured(kind, truth, answers, self._guesses[key], self._scale)

    @cached_property
    def _scale(self) -> np.ndarray:
        """Of the columns of a table, over the whole data set."""
        if self._world.dataset.kind != "table":
            return np.ones(1)
        return ranges(_inputs(self._world, np.arange(len(self._world.samples.inputs))))

    def _guess(self, cell: Cell, truth: Sequence[np.ndarray]) -> dict[str, list[float]]:
        world = self._world
        return guessed(
            world.dataset.kind,
            truth,
            _inputs(world, world.pooled(cell.run, cell.participants)),
            self._scale,
            Seed(world.scenario.seed).generator(
                "guess", cell.run, cell.property, cell.participants
            ),
        )


def cells_to_show(world: World) -> list[Cell]:
    """Of the first run and each size the cell with most shared and fewest participants.

    None unless the data are images that were generated: a report holds no record of anybody.
    """
    if not world.dataset.generated or world.dataset.kind != "image":
        return []
    cells = [c for c in cells_of(world.scenario) if c.game == RECONSTRUCTION and c.run == 0]
    chosen: dict[str, Cell] = {}
    for cell in sorted(cells, key=lambda c: (-c.fraction, c.participants)):
        chosen.setdefault(cell.property, cell)
    return list(chosen.values())


def shown_records(
    world: World, cell: Cell, answers: Mapping[str, Sequence[Sequence[Sequence[float]]]]
) -> dict[str, Any]:
    """Images of the first round of a cell: truth, what was rebuilt, the nearest own ones.

    Returns:
        ``shape`` [C, H, W], ``truth`` [b][C*H*W] of 0 to 255; ``own`` and, in ``attacks``, for
        each attack ``images`` [b][C*H*W] and ``psnr`` [b] in dB.
    """
    batch = target_batches(world, cell)[0][:MOST_SHOWN]
    truth = _inputs(world, batch)
    own = _inputs(world, world.pooled(cell.run, cell.participants))
    nearest = _shown(truth, own)
    return {
        "cell": cell.name,
        "run": cell.run,
        "property": cell.property,
        "participants": cell.participants,
        "fraction": cell.fraction,
        "shape": list(truth.shape[1:]),
        "truth": _shades(truth),
        "own": nearest,
        "attacks": {
            name: _shown(truth, np.array(rounds[0], dtype=np.float64).reshape(-1, *truth.shape[1:]))
            for name, rounds in answers.items()
            if rounds[0]
        },
    }


def _shown(truth: np.ndarray, answer: np.ndarray) -> dict[str, Any]:
    _, images = assigned(truth, answer)
    decibels = [round(float(value), 2) for value in psnr(errors_of(truth, images))]
    return {"images": _shades(images), "psnr": decibels}


def _shades(images: np.ndarray) -> list[list[int]]:
    whole = np.rint(np.clip(images, 0, 1) * SHADES).astype(int)
    return [[int(value) for value in image.ravel()] for image in whole]


def _inputs(world: World, records: Sequence[int] | np.ndarray) -> np.ndarray:
    """[n, ...] as the model takes them."""
    return np.asarray(prepare(world.samples.inputs[np.asarray(records, dtype=np.int64)]).numpy())
