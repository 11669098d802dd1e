"""Which layer leaks: how well the property is told from the coordinates of one layer alone.

This is a measurement of the evaluation, not an attack: it is shown in which of the *other* rounds
of the same run the property was there. For each layer a ridge regression learns from all rounds but
one with and one without the property, and scores those two; the score of a round is the mean over
all its partners. Training sets are balanced and hold neither round, so that where there is nothing
to see the AUC is 0.5 (A. Airola et al., An experimental comparison of cross-validation techniques
for estimating the area under the ROC curve, Computational Statistics & Data Analysis 55, 2011: a
single round left out makes it lower than that).

It looks at the order of magnitude of every coordinate of the observed signal, which says what the
records of the round switched on (docs/attacks.md). A layer of more than its share of
:data:`MOST_COORDINATES` is represented by that many, evenly spaced.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from privaudit.engine.layout import Layout
from privaudit.engine.process import tune_process
from privaudit.errors import UserError
from privaudit.experiment.cells import Cell, cells_for_layers, trace_folder
from privaudit.experiment.executors.protocol import Executor
from privaudit.experiment.folder import RunFolder
from privaudit.experiment.tasks import whole
from privaudit.observation.trace import Trace
from privaudit.observation.views import Observation
from privaudit.scenario.schema import Scenario
from privaudit.statistics.runs import BoolArray, FloatArray

LAYERS = "layers.jsonl"
ALL = "all layers"
"""The row of all layers together; no module has a space in its name."""

POWER = 0.05
"""|x|^0.05 is close to log |x|, and finite at zero."""

RIDGE = 1.0
"""Strength of the ridge, in mean eigenvalues of the kernel; fixed, so that nothing is chosen."""

MOST_COORDINATES, LEAST_COORDINATES = 65_536, 64
"""In all layers together; in each layer at least."""

DIGITS = 6
"""Of a score; the last bits depend on how many threads added them up."""


class LayerScores(BaseModel):
    """One layer in one run: a line of ``layers.jsonl``.

    Attributes:
        run: 0-based federation run.
        property: private property.
        rule: sharing rule of the cell that was looked at.
        fraction: its shared fraction.
        participants: its K.
        layer: module of the model, or ``all layers``.
        parameters: how many it has.
        scores: [T], one per audited round; higher = property more likely present. Empty where the
            federation diverged.
        present: [T], the ground truth; empty with ``scores``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: int
    property: str
    rule: str
    fraction: float
    participants: int
    layer: str
    parameters: int
    scores: list[float] = []
    present: list[bool] = []


def measure_layers(
    folder: RunFolder, scenario: Scenario, executor: Executor, *, workers: int
) -> list[LayerScores]:
    """The layers of every cell of :func:`cells_for_layers` whose trace is there, in their order.

    Raises:
        MachineError: a worker process did not live to the end.
    """
    cells = cells_for_layers(scenario)
    found: dict[Cell, list[LayerScores]] = {}
    for cell, rows in executor.each(layers_task, folder.path, cells, workers=workers):
        found[cell] = whole(rows, f"layers of {cell.name}")
    return [row for cell in cells for row in found[cell]]


def signal_by_layer(
    rounds: Iterable[Observation], present: Sequence[bool], layout: Layout
) -> dict[str, FloatArray | None]:
    """Layer -> [T] scores, the last for :data:`ALL` of them; None where the signal is not finite.

    Args:
        rounds: T observations; only their ``signal`` is looked at.
        present: [T] the ground truth, at least two rounds of each kind.
        layout: how the parameters lie in the signal.

    Raises:
        ValueError: fewer than two rounds of a kind.
    """
    truth = np.asarray(present, dtype=bool)
    if min(truth.sum(), (~truth).sum()) < 2:
        raise ValueError("needs two rounds of each kind: one to learn from, one to tell")
    picked = coordinates_of(layout)
    every = np.concatenate(list(picked.values()))
    seen = np.stack([observation.signal.numpy()[every] for observation in rounds])
    if not np.isfinite(seen).all():
        return dict.fromkeys([*picked, ALL])
    np.abs(seen, out=seen)
    np.power(seen, POWER, out=seen)
    edges = np.cumsum([len(part) for part in picked.values()])[:-1]
    kernels = dict(zip(picked, map(_kernel, np.split(seen, edges, axis=1)), strict=True))
    kernels[ALL] = np.sum(list(kernels.values()), axis=0)  # as of all coordinates side by side
    return {layer: pair_out_scores(kernel, truth) for layer, kernel in kernels.items()}


def coordinates_of(layout: Layout) -> dict[str, np.ndarray]:
    """Layer (a module: its weight, bias, ...) -> sorted indices that stand for it."""
    layers: dict[str, list[np.ndarray]] = {}
    for piece in layout.slices:
        name = piece.name.rpartition(".")[0] or piece.name
        layers.setdefault(name, []).append(np.arange(piece.start, piece.stop))
    quota = max(LEAST_COORDINATES, MOST_COORDINATES // len(layers))
    joined = {name: np.concatenate(parts) for name, parts in layers.items()}
    return {
        name: part[np.linspace(0, len(part) - 1, min(quota, len(part))).astype(np.int64)]
        for name, part in joined.items()
    }


def pair_out_scores(kernel: FloatArray, present: BoolArray) -> FloatArray:
    """[T] mean score of each round over all models that saw neither it nor one of the other kind.

    Args:
        kernel: [T, T] inner products of the centred rounds.
        present: [T] labels, at least two of each kind.
    """
    rounds = len(present)
    target = np.where(present, 1.0, -1.0)
    strength = RIDGE * float(np.trace(kernel)) / rounds
    if strength <= 0:  # the layer never moved
        return np.zeros(rounds)
    hat = np.linalg.solve(kernel + strength * np.eye(rounds), kernel).T + 1.0 / rounds
    left = target - hat @ target
    yes, no = np.flatnonzero(present), np.flatnonzero(~present)
    # Deleted residuals of a pair: (I - H)_pair^-1 (residuals of the pair), a 2 x 2 system each.
    a, d = 1.0 - hat[yes, yes][:, None], 1.0 - hat[no, no][None, :]
    b, r, s = -hat[np.ix_(yes, no)], left[yes][:, None], left[no][None, :]
    determinant = a * d - b * b
    scores = np.empty(rounds)
    scores[yes] = 1.0 - ((d * r - b * s) / determinant).mean(axis=1)
    scores[no] = -1.0 - ((a * s - b * r) / determinant).mean(axis=0)
    return scores


def parse_layers(rows: Iterable[dict[str, Any]], *, where: str) -> list[LayerScores]:
    """The lines of ``layers.jsonl``.

    Raises:
        UserError: a line is not one; names it.
    """
    found = []
    for number, row in enumerate(rows, start=1):
        try:
            found.append(LayerScores.model_validate(row))
        except ValidationError as error:
            raise UserError(
                f"line {number} is no layer of a run: {error.errors()[0]['msg']}", where=where
            ) from error
    return found


def read_layers(folder: RunFolder) -> list[LayerScores]:
    """What a run has of them; empty for a run of before they were measured."""
    if not folder.file(LAYERS).is_file():
        return []
    return parse_layers(folder.read_lines(LAYERS), where=str(folder.file(LAYERS)))


def layers_task(path: Path, cell: Cell) -> list[LayerScores]:
    """Nothing for a cell that failed: its table cell says why."""
    tune_process()
    folder = RunFolder(path)
    key, place = (cell.run, cell.property), (f"run-{cell.run}", f"{cell.name}.json")
    if not folder.file("scores", *place).is_file():
        return []
    path = trace_folder(folder, cell)
    if not path.is_dir():  # an earlier attempt of this run measured it and let it go
        return [row for row in read_layers(folder) if (row.run, row.property) == key]
    trace = Trace.open(path)
    present = folder.read_json("/".join(("truth", *place)))
    sizes = {ALL: trace.layout.size}
    for piece in trace.layout.slices:
        name = piece.name.rpartition(".")[0] or piece.name
        sizes[name] = sizes.get(name, 0) + piece.stop - piece.start
    return [
        LayerScores(
            run=cell.run,
            property=cell.property,
            rule=cell.rule,
            fraction=cell.fraction,
            participants=cell.participants,
            layer=layer,
            parameters=sizes[layer],
            scores=[] if scores is None else [round(float(s), DIGITS) for s in scores],
            present=[] if scores is None else present,
        )
        for layer, scores in signal_by_layer(trace, present, trace.layout).items()
    ]


def _kernel(rows: FloatArray) -> FloatArray:
    """[T, T] inner products of the rows, standardised by coordinate; constant ones are left out."""
    centred = rows - rows.mean(axis=0)
    spread = centred.std(axis=0)
    varies = spread > 0
    scaled = (centred[:, varies] / spread[varies]).astype(np.float64)
    return np.asarray(scaled @ scaled.T)
