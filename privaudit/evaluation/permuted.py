"""The test on demand: the whole audit repeated with the property permuted over the data set.

It takes nothing for granted but that the property might as well lie on other records (or groups):
no model of finite pools, whatever the attack. p = (1 + hits) / (1 + repetitions), a hit being an
AUC at least as high as the audit's own. ``permuted/count.json`` says how many were asked for,
``permuted/NNN.json`` what one of them found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from privaudit.custody.folder import RunFolder
from privaudit.data.permuting import MOST
from privaudit.errors import UserError, first_problem
from privaudit.evaluation.cells import TableCell
from privaudit.evaluation.records import possible_in, targets_in
from privaudit.experiment.tasks import scores_file
from privaudit.scenario.grid import Cell, cells_of
from privaudit.statistics.permutation import ROUNDING
from privaudit.statistics.roc import mean_auc
from privaudit.statistics.runs import RunScores, complete_pairs
from privaudit.world import World

PERMUTED = "permuted"
COUNT = f"{PERMUTED}/count.json"


class Found(BaseModel):
    """What an attack found in one cell of a repetition.

    Attributes:
        property, rule, fraction, participants, attack, defence: as in a record.
        auc: as in the table; null where the attack failed in every run.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    property: str
    rule: str
    fraction: float
    participants: int
    attack: str
    auc: float | None = Field(ge=0, le=1)
    defence: str = ""


def repetition_file(number: int) -> str:
    """Name of what the ``number``-th repetition found, from 1."""
    return f"{PERMUTED}/{number:03}.json"


def found_in(folder: RunFolder, world: World) -> list[Found]:
    """What the attacks found in the folder of one repetition, whose scores are there.

    As in the table: in both states of a federation, and within the rounds of a target.
    """
    runs: dict[tuple[Cell, str], list[RunScores]] = {}
    configuration = world.scenario.model_dump(mode="json")
    in_states = world.scenario.audit.schedule == "dataset"
    for cell in cells_of(world.scenario):
        file = scores_file(cell)
        scores = folder.read_json(file) if folder.file(file).is_file() else {}
        pair = world.federation(cell.run) if in_states else None
        targets = targets_in(configuration, cell.participants)
        for attack in world.scenario.audit.attacks:
            made = runs.setdefault((replace(cell, run=0), attack), [])
            if attack in scores:
                values, present = np.array(scores[attack]), world.presence(cell)
                if possible_in(configuration) is None or present.any():
                    made.append(RunScores(values, present, pair, targets))
    return [
        Found(
            property=cell.property,
            rule=cell.rule,
            fraction=cell.fraction,
            participants=cell.participants,
            attack=attack,
            auc=_auc(made),
            defence=cell.defence,
        )
        for (cell, attack), made in runs.items()
    ]


def read_repetitions(folder: RunFolder) -> list[list[Found]]:
    """What every repetition of a run found; empty where none was asked for.

    Raises:
        UserError: one is missing, or a file is not one.
    """
    count = asked_for(folder)
    rows = TypeAdapter(list[Found])
    found = []
    for number in range(1, count + 1):
        name = repetition_file(number)
        try:
            found.append(rows.validate_python(folder.read_json(name)))
        except ValidationError as error:
            raise UserError(
                f"no repetition of an audit: {first_problem(error)}",
                where=str(folder.file(name)),
            ) from error
    return found


def asked_for(folder: RunFolder) -> int:
    """How many repetitions a run was begun with; 0 for none.

    Raises:
        UserError: the file does not say.
    """
    if not folder.file(COUNT).is_file():
        return 0
    count = folder.read_json(COUNT)
    if not isinstance(count, int) or not 1 <= count <= MOST:
        raise UserError(f"no number from 1 to {MOST}", where=str(folder.file(COUNT)))
    return count


def with_repetitions(
    cells: Sequence[TableCell], repetitions: Sequence[Sequence[Found]]
) -> list[TableCell]:
    """The same cells with the p-value of the repetitions; without any as they are."""
    aucs: dict[tuple[str, str, float, int, str, str], list[float]] = {}
    for row in (row for rows in repetitions for row in rows):
        if row.auc is not None:
            key = (
                row.property,
                row.rule,
                row.fraction,
                row.participants,
                row.attack,
                row.defence,
            )
            aucs.setdefault(key, []).append(row.auc)
    made = []
    for cell in cells:
        key = (
            cell.property,
            cell.rule,
            cell.fraction,
            cell.participants,
            cell.attack,
            cell.defence,
        )
        others = aucs.get(key, [])
        if cell.auc is None or not others:
            made.append(cell)
            continue
        hits = sum(other >= cell.auc.value - ROUNDING for other in others)
        p = (1 + hits) / (1 + len(others))
        made.append(replace(cell, repeated=len(others), repeated_p=p))
    return made


def _auc(runs: Sequence[RunScores]) -> float | None:
    try:
        return mean_auc(complete_pairs(runs)) if runs else None
    except ValueError:  # the runs that are left have no labels of both kinds
        return None
