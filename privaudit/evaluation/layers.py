"""Which layer leaks: how well the property is told from the coordinates of one layer alone.

By an adversary that learned from its own records. For each layer a ridge regression learns from
labelled aggregates of the adversary's shadows (:mod:`privaudit.attack.adversary`), made at the very
parameters of the rounds, and scores what was observed in each round. No label of an audited round
is looked at: what learns from the labelled rounds of a run recognises the target's two finite pools
of records and tells a coin flip from one layer at an AUC of .97 (2,000 rows, K = 5). Another run's
labelled rounds are no help either, for its hidden units are others.

It looks at the order of magnitude of every coordinate of the observed signal, which says what the
records of the round switched on (docs/attacks.md), centred in each round by that round's shadows. A
layer of more than its share of :data:`MOST_COORDINATES` is represented by that many, evenly spaced.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from privaudit.attack.adversary import Adversary
from privaudit.custody.folder import RunFolder, trace_folder
from privaudit.engine.layout import Layout
from privaudit.errors import UserError, first_problem
from privaudit.experiment.executors.protocol import Executor, reads
from privaudit.experiment.tasks import Job, whole
from privaudit.games.property import adversary_of
from privaudit.observation.trace import Trace
from privaudit.observation.views import Observation
from privaudit.randomness import Seed
from privaudit.scenario.grid import Cell, cells_for_layers
from privaudit.scenario.schema import Scenario
from privaudit.statistics.runs import FloatArray

LAYERS = "layers.jsonl"
ALL = "all layers"
"""The row of all layers together; no module has a space in its name."""

POWER = 0.05
"""|x|^0.05 is close to log |x|, and finite at zero."""

RIDGE = 1.0
"""Strength of the ridge, in mean eigenvalues of the kernel; fixed, so that nothing is chosen."""

MOST_COORDINATES, LEAST_COORDINATES = 65_536, 64
"""In all layers together; in each layer at least."""

MOST_EXAMPLES = 640
"""Labelled aggregates to learn from, of evenly spaced rounds: more would be held in memory."""

CHUNK = 8192
"""Coordinates whose products are added up at a time."""

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
    job: Job, scenario: Scenario, executor: Executor, *, workers: int
) -> list[LayerScores]:
    """The layers of every cell of :func:`cells_for_layers` whose trace is there, in their order.

    Raises:
        MachineError: a worker process did not live to the end.
    """
    cells = cells_for_layers(scenario)
    found: dict[Cell, list[LayerScores]] = {}
    for cell, rows in executor.each(layers_task, job, cells, workers=workers):
        found[cell] = whole(rows, f"layers of {cell.name}")
    return [row for cell in cells for row in found[cell]]


def signal_by_layer(
    rounds: Iterable[Observation], adversary: Adversary, *, count: int, seed: Seed
) -> dict[str, FloatArray | None]:
    """Layer -> [T] scores, the last for :data:`ALL` of them; None where the signal is not finite.

    Args:
        rounds: T observations.
        adversary: of their federation: its records and its rules.
        count: T.
        seed: of the bystanders that are added to shadows.
    """
    picked = coordinates_of(adversary.layout)
    every = np.concatenate(list(picked.values()))
    learned = _learned_rounds(count, 2 * adversary.shadows)
    seen, examples, labels = [], [], []
    for number, observation in enumerate(rounds):
        # Sums of some coordinates are those coordinates of sums, and few of them.
        shadow = adversary.shadow(observation).seen_through(lambda deltas: deltas[:, every])
        made, label = shadow.aggregates(seed.generator("aggregates", observation.round))
        own, theirs = _magnitudes(observation.signal.numpy()[every]), _magnitudes(made.numpy())
        if not (np.isfinite(own).all() and np.isfinite(theirs).all()):
            return dict.fromkeys([*picked, ALL])
        centre = theirs.mean(axis=0)
        seen.append(own - centre)
        if number in learned:
            examples.append(theirs - centre)
            labels.append(label)
    return _scores_by_layer(
        np.concatenate(examples), np.concatenate(labels), np.stack(seen), picked
    )


def _learned_rounds(count: int, per_round: int) -> frozenset[int]:
    """Which of the rounds are learned from: evenly spaced."""
    most = max(1, MOST_EXAMPLES // per_round)
    return frozenset(np.linspace(0, count - 1, min(count, most)).astype(int).tolist())


def _magnitudes(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(values) ** np.float32(POWER))


def _scores_by_layer(
    examples: np.ndarray, labels: np.ndarray, seen: np.ndarray, picked: dict[str, np.ndarray]
) -> dict[str, FloatArray | None]:
    """Layer -> [T] scores of a ridge regression on centred magnitudes.

    Args:
        examples: [n, D] shadow aggregates; scaled in place.
        labels: [n] bool.
        seen: [T, D] observed; scaled in place.
        picked: layer -> its columns, in their order.
    """
    spread = examples.std(axis=0)
    scale = np.where(spread > 0, spread, np.inf)  # what no shadow moves says nothing
    examples /= scale
    seen /= scale
    target = np.where(labels, 1.0, -1.0)
    edges = np.cumsum([0, *(len(part) for part in picked.values())])
    products: list[tuple[FloatArray, FloatArray]] = []
    found: dict[str, FloatArray | None] = {}
    for name, start, stop in zip(picked, edges[:-1], edges[1:], strict=True):
        products.append(_products(examples[:, start:stop], seen[:, start:stop]))
        found[name] = _ridge(*products[-1], target)
    # As of all coordinates side by side.
    kernels, crosses = zip(*products, strict=True)
    found[ALL] = _ridge(np.sum(kernels, axis=0), np.sum(crosses, axis=0), target)
    return found


def _products(examples: np.ndarray, seen: np.ndarray) -> tuple[FloatArray, FloatArray]:
    """Inner products of the examples with one another [n, n] and with the rounds [T, n]."""
    kernel = np.zeros((len(examples), len(examples)))
    cross = np.zeros((len(seen), len(examples)))
    for start in range(0, examples.shape[1], CHUNK):
        part = examples[:, start : start + CHUNK].astype(np.float64)
        kernel += part @ part.T
        cross += seen[:, start : start + CHUNK].astype(np.float64) @ part.T
    return kernel, cross


def _ridge(kernel: FloatArray, cross: FloatArray, target: FloatArray) -> FloatArray:
    strength = RIDGE * float(np.trace(kernel)) / len(kernel)
    if strength <= 0:  # the layer never moved
        return np.zeros(len(cross))
    weights = np.linalg.solve(kernel + strength * np.eye(len(kernel)), target - target.mean())
    return np.asarray(cross @ weights)


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
                f"line {number} is no layer of a run: {first_problem(error)}", where=where
            ) from error
    return found


def read_layers(folder: RunFolder) -> list[LayerScores]:
    """What a run has of them; empty for a run of before they were measured."""
    if not folder.file(LAYERS).is_file():
        return []
    return parse_layers(folder.read_lines(LAYERS), where=str(folder.file(LAYERS)))


def _reads_of_layers(job: Job, cell: Cell) -> list[str]:
    names = (f"{folder}/run-{cell.run}/{cell.name}.json" for folder in ("scores", "truth"))
    return [*names, f"traces/run-{cell.run}/{cell.name}", LAYERS]


@reads(_reads_of_layers)
def layers_task(job: Job, cell: Cell) -> list[LayerScores]:
    """Nothing for a cell that failed: its table cell says why."""
    folder = RunFolder(job.folder)
    key, place = (cell.run, cell.property), (f"run-{cell.run}", f"{cell.name}.json")
    if not folder.file("scores", *place).is_file():
        return []
    path = trace_folder(folder, cell)
    if not path.is_dir():  # an earlier attempt of this run measured it and let it go
        return [row for row in read_layers(folder) if (row.run, row.property) == key]
    world, trace = job.world(), Trace.open(path)
    found = signal_by_layer(
        trace.view(),
        adversary_of(world, cell),
        count=len(trace),
        seed=world.attacker_seed(cell.run).child("layers", cell.name),
    )
    present = folder.read_json("/".join(("truth", *place)))
    sizes = sizes_of(trace.layout)
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
        for layer, scores in found.items()
    ]


def sizes_of(layout: Layout) -> dict[str, int]:
    """Layer -> how many parameters it has, and :data:`ALL` of them together."""
    sizes: dict[str, int] = {}
    for piece in layout.slices:
        name = piece.name.rpartition(".")[0] or piece.name
        sizes[name] = sizes.get(name, 0) + piece.stop - piece.start
    return sizes | {ALL: layout.size}
