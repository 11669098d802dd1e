"""Answers of the game reconstruction, held against the records they are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from privaudit.engine.samples import prepare
from privaudit.evaluation.counted_labels import likely_labels
from privaudit.evaluation.rebuilding import (
    Rebuilt,
    assigned,
    errors_of,
    guessed,
    measured,
    psnr,
    ranges,
)
from privaudit.games.reconstruction import clients_behind, target_batches
from privaudit.randomness import Seed
from privaudit.scenario.grid import Cell, cells_of
from privaudit.scenario.schema import LABELS, RECONSTRUCTION
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
        batches = target_batches(world, cell)
        truth = [self._looked_at(np.asarray(batch)) for batch in batches]
        key = cell.run, cell.property, cell.participants
        if key not in self._guesses:
            self._guesses[key] = self._guess(cell, truth)
        return measured(self._kind, truth, answers, self._guesses[key], self._scale)

    @property
    def _kind(self) -> str:
        """Of the data, or labels where these are asked about."""
        return LABELS if _of_labels(self._world) else self._world.dataset.kind

    def _looked_at(self, records: np.ndarray) -> np.ndarray:
        """What of these records an answer is held against: they themselves, or their labels."""
        world = self._world
        labels = self._kind == LABELS
        return world.dataset.labels[records] if labels else _inputs(world, records)

    @cached_property
    def _scale(self) -> np.ndarray:
        """Of the columns of a table, over the whole data set."""
        if self._kind != "table":
            return np.ones(1)
        return ranges(_inputs(self._world, np.arange(len(self._world.samples.inputs))))

    def _guess(self, cell: Cell, truth: Sequence[np.ndarray]) -> dict[str, list[float]]:
        world = self._world
        own = self._looked_at(world.pooled(cell.run, cell.participants))
        if self._kind == LABELS:
            batch = len(truth[0])
            most = batch * clients_behind(world, cell)
            own = likely_labels(own, world.dataset.num_classes, batch, most)
        return guessed(
            self._kind,
            truth,
            own,
            self._scale,
            Seed(world.scenario.seed).generator(
                "guess", cell.run, cell.property, cell.participants
            ),
        )


def cells_to_show(world: World) -> list[Cell]:
    """Of the first run and each size the cell with most shared and fewest participants.

    None unless the data are images that were generated: a report holds no record of anybody.
    None of labels either: there is nothing to look at.
    """
    if not world.dataset.generated or world.dataset.kind != "image" or _of_labels(world):
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


def _of_labels(world: World) -> bool:
    asked = world.scenario.reconstruction
    return asked is not None and asked.of == LABELS


def _inputs(world: World, records: Sequence[int] | np.ndarray) -> np.ndarray:
    """[n, ...] as the model takes them."""
    return np.asarray(prepare(world.samples.inputs[np.asarray(records, dtype=np.int64)]).numpy())
