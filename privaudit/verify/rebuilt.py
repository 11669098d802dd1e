"""Checks of the game reconstruction: its truth is records, which only who has the data can name."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from privaudit.evaluation.rebuilding import Rebuilt
from privaudit.evaluation.rebuilt_runs import SHOWN, AnswerJudge, cells_to_show, shown_records
from privaudit.evaluation.records import Record
from privaudit.experiment.tasks import scores_file
from privaudit.games import GAMES
from privaudit.games.reconstruction import target_batches
from privaudit.scenario.grid import Cell
from privaudit.verify.files import Subject
from privaudit.world import attacked_phase


def is_truth(subject: Subject, cell: Cell, found: Any) -> bool:
    """Whether these are the records of the target's batches; without the data, as many as those."""
    if subject.world is not None:
        return bool(found == target_batches(subject.world, cell))
    phase = attacked_phase(subject.scenario, cell)
    wanted = phase.batch_size * phase.local_steps
    return (
        isinstance(found, list)
        and len(found) == phase.rounds
        and all(isinstance(batch, list) and len(set(batch)) == wanted for batch in found)
    )


def judged_again(
    subject: Subject, judge: AnswerJudge | None, cell: Cell, attack: str, record: Record
) -> Rebuilt | None:
    """What was rebuilt, computed again where the data are at hand.

    Else as the record has it, as far as that can be: of as many rounds, with as many answers as
    stand in the scores. What they hold of the batches only who has the data can say.
    """
    answers = subject.folder.read_json(scores_file(cell)).get(attack)
    if judge is None:
        counts = _answered(answers, attacked_phase(subject.scenario, cell).rounds)
        own = record.rebuilt
        return own if own is not None and counts == own.answered else None
    if answers is None or not _is_answer(subject, cell, answers):
        return None
    # As it lies on disk: numbers are the same after a turn through JSON.
    again = judge(cell, answers)
    return Rebuilt.model_validate_json(again.model_dump_json())


def _is_answer(subject: Subject, cell: Cell, answers: Any) -> bool:
    """Whether an attack could have answered this: never more than stands behind what is seen."""
    world = subject.world
    assert world is not None
    given = GAMES[cell.game].given(world, [cell])[cell]
    try:
        return bool(given.checked(answers, attacked_phase(world.scenario, cell).rounds) == answers)
    except (TypeError, ValueError):
        return False


def _answered(answers: Any, rounds: int) -> list[int] | None:
    """[T] how many records each answer holds; None of what is no answer to so many rounds."""
    try:
        shapes = [np.array(answer, dtype=np.float64).shape for answer in answers]
    except (TypeError, ValueError):
        return None
    if len(shapes) != rounds or any(len(shape) != 2 for shape in shapes if shape != (0,)):
        return None
    return [shape[0] for shape in shapes]


def check_shown(subject: Subject) -> list[str]:
    """What the page shows of records is what data and answers give; of real ones nothing is."""
    place, world = subject.folder.file(SHOWN), subject.world
    present = {file.name for file in place.iterdir()} if place.is_dir() else set()
    if world is None:
        sizes = subject.scenario.reconstruction
        known = {f"{size}.json" for size in (sizes.targets if sizes else ())}
        return [f"{SHOWN}/{name}: of no size asked about" for name in sorted(present - known)]
    cells = [cell for cell in cells_to_show(world) if subject.is_scored(cell)]
    strangers = present - {f"{cell.property}.json" for cell in cells}
    wrong = [f"{SHOWN}/{name}: nothing of it may be shown" for name in sorted(strangers)]
    for cell in cells:
        name = f"{cell.property}.json"
        answers = subject.folder.read_json(scores_file(cell))
        again = json.loads(json.dumps(shown_records(world, cell, answers)))
        if name not in present or subject.folder.read_json(f"{SHOWN}/{name}") != again:
            wrong.append(f"{SHOWN}/{name}: not what data and answers give")
    return wrong
