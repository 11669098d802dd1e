"""Which layer the property can be told from: scores of layers joined with the truth.

What they are: :mod:`privaudit.attack.layers`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from privaudit.custody.folder import RunFolder
from privaudit.errors import UserError, first_problem
from privaudit.experiment.tasks import layers_file
from privaudit.scenario.grid import Cell, cells_for_layers
from privaudit.scenario.schema import Scenario

LAYERS = "layers.jsonl"


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

    @classmethod
    def of(
        cls,
        cell: Cell,
        layer: str,
        parameters: int,
        scores: Sequence[float] | None,
        present: Sequence[bool],
    ) -> Self:
        """Of one layer of a cell; ``scores`` None: the federation diverged."""
        return cls(
            run=cell.run,
            property=cell.property,
            rule=cell.rule,
            fraction=cell.fraction,
            participants=cell.participants,
            layer=layer,
            parameters=parameters,
            scores=[] if scores is None else list(scores),
            present=[] if scores is None else list(present),
        )


def gathered_layers(folder: RunFolder, scenario: Scenario) -> list[LayerScores]:
    """Of every cell of :func:`cells_for_layers` that has scores, in their order."""
    known, found = read_layers(folder), []
    for cell in cells_for_layers(scenario):
        file, truth = layers_file(cell), f"truth/run-{cell.run}/{cell.name}.json"
        if not (folder.file(file).is_file() and folder.file(truth).is_file()):
            # It failed, on the way or from the start, or an earlier attempt gathered them.
            found += [r for r in known if (r.run, r.property) == (cell.run, cell.property)]
            continue
        present = folder.read_json(truth)
        found += [
            LayerScores.of(cell, layer, parameters, scores, present)
            for layer, parameters, scores in folder.read_json(file)
        ]
    return found


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
