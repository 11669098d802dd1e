"""Checks of what was measured: computed again from scenario, plan and scores, and compared.

The ground truth is taken from no file: it follows from the scenario and the checksum of the data,
which the plan fixes.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator
from typing import Any

from privaudit.attack.layers import sizes_of
from privaudit.custody.manifest import SEAL, all_files, is_sealed, read_seal
from privaudit.custody.plan import PLAN
from privaudit.evaluation.judge import judge
from privaudit.evaluation.layers import LAYERS, LayerScores, read_layers
from privaudit.evaluation.rebuilding import Rebuilt
from privaudit.evaluation.rebuilt_runs import AnswerJudge
from privaudit.evaluation.records import Record
from privaudit.experiment.tasks import facts_file, scores_file
from privaudit.games.ending import has_defences
from privaudit.observation.trace import Trace
from privaudit.scenario.claims import ceiling_of, claim_of
from privaudit.scenario.grid import Cell, attacked_cells, cells_for_layers, cells_of
from privaudit.scenario.load import check_scenario
from privaudit.scenario.schema import PROPERTY, RECONSTRUCTION
from privaudit.verify.files import RECORDS, Subject, place_of
from privaudit.verify.rebuilt import check_shown, is_truth, judged_again

TOML = "scenario.toml"


def check_inputs(subject: Subject) -> list[str]:
    """The plan is of this scenario, its attacks and this data; the seal is of a run like that."""
    folder = subject.folder
    if folder.file("scenario.json").is_file() and not folder.file(PLAN).is_file():
        return [
            f"{PLAN}: missing; a run of before plans were kept has none, and is verified by the "
            "version of privaudit that made it (its records name the commit)"
        ]
    plan, scenario, wrong = subject.plan, subject.scenario, []
    # As it is read today: a setting that is younger than the run has its default in both.
    if check_scenario(dict(plan.scenario), where=PLAN) != scenario:
        wrong.append(f"{PLAN}: of another scenario than scenario.json")
    if set(plan.attacks) != set(scenario.attacks):
        wrong.append(f"{PLAN}: not of the attacks of scenario.json")
    if (plan.ledger == "none") == scenario.ledger.enabled:
        wrong.append(f"{PLAN}: ledger '{plan.ledger}', scenario.json says otherwise")
    sealed = is_sealed(folder)
    said = read_seal(folder)[1] if sealed else {}
    kind = said.get("kind")
    if sealed and kind != plan.ledger:
        wrong.append(f"{SEAL}: says ledger '{kind}', the plan says '{plan.ledger}'")
    elif kind == "none" and (more := sorted(said.keys() - {"kind"})):
        wrong.append(f"{SEAL}: no ledger, and yet {', '.join(more)}")
    again = tomllib.loads(folder.file(TOML).read_text(encoding="utf-8"))
    if check_scenario(again, where=TOML) != scenario:
        wrong.append(f"{TOML}: not the scenario of scenario.json")
    others = [n for n, r in enumerate(subject.records, 1) if r.dataset["name"] != plan.dataset.name]
    wrong += [f"{RECORDS}: line {number} is of another data set than planned" for number in others]
    assert subject.checksum
    return wrong


def check_truth(subject: Subject) -> list[str]:
    """The ground truth is the one that follows from the scenario and the data's checksum."""
    wrong = []
    cells = [cell for cell in cells_of(subject.scenario) if subject.is_scored(cell)]
    for cell in cells:
        name = "/".join(("truth", *place_of(cell)))
        found = subject.folder.read_json(name)
        if cell.game == RECONSTRUCTION:
            right = is_truth(subject, cell, found)
        else:
            right = found == subject.presence(cell)
        if not right:
            wrong.append(f"{name}: not the ground truth that scenario and data give")
    return [*wrong, *_strangers(subject, "truth", cells), *check_shown(subject)]


def check_records(subject: Subject) -> list[str]:
    """Every record, every metric of it, follows from plan, scores and ground truth."""
    cells = cells_of(subject.scenario)
    wrong = list(_strangers(subject, "scores", cells))
    wrong += _unknown_attacks(subject, cells)
    audit = subject.scenario.audit
    told = audit.alpha is not None or has_defences(subject.scenario)
    wrong += _strangers(subject, "facts", [c for c in cells if c.game != PROPERTY or told])
    grid = attacked_cells(subject.scenario)
    if len(subject.records) != len(grid):
        wrong.append(f"{RECORDS}: {len(subject.records)} lines, the scenario gives {len(grid)}")
    judge_answers = None if subject.world is None else AnswerJudge(subject.world)
    for number, (record, (cell, attack)) in enumerate(zip(subject.records, grid, strict=False), 1):
        again = _judged(subject, judge_answers, cell, attack, record)
        differing = [name for name in Record.model_fields if _differ(subject, name, record, again)]
        if differing:
            wrong.append(
                f"{RECORDS}: line {number}: {', '.join(differing)} not as plan, ground truth and "
                f"{scores_file(cell)} give"
            )
    return wrong


def _judged(
    subject: Subject,
    judge_answers: AnswerJudge | None,
    cell: Cell,
    attack: str,
    record: Record,
) -> Record:
    """The record computed again.

    What it says for itself is the reason of a failed one, and what its target held: that follows
    from the data, which files alone do not have.
    """
    scores: list[float] | None = None
    rebuilt: Rebuilt | None = None
    facts = facts_file(cell)
    if cell.game == RECONSTRUCTION:
        rebuilt = (
            judged_again(subject, judge_answers, cell, attack, record)
            if subject.is_scored(cell)
            else None
        )
    elif subject.is_scored(cell):
        scores = subject.folder.read_json(scores_file(cell)).get(attack)
    return judge(
        subject.plan,
        cell,
        attack,
        checksum=subject.checksum,
        scores=scores,
        present=None if cell.game == RECONSTRUCTION else subject.presence(cell),
        rebuilt=rebuilt,
        reason="" if scores is not None or rebuilt is not None else record.reason,
        holdings=record.held(),
        facts=subject.folder.read_json(facts) if subject.folder.file(facts).is_file() else {},
        claim=claim_of(subject.scenario, cell),
        ceiling=ceiling_of(subject.scenario, cell),
    )


def _differ(subject: Subject, name: str, record: Record, again: Record) -> bool:
    if name == "metrics" and not subject.same_code:
        return False  # another version may compute them otherwise
    return not alike(getattr(record, name), getattr(again, name))


def alike(one: Any, other: Any) -> bool:
    """Equal, metrics up to the rounding of another machine."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9)
    if hasattr(one, "model_dump") and hasattr(other, "model_dump"):
        return alike(one.model_dump(), other.model_dump())
    return bool(one == other)


def _strangers(subject: Subject, below: str, cells: list[Cell]) -> Iterator[str]:
    """Files below ``truth`` or ``scores`` that are of none of the cells."""
    known = {"/".join(place_of(cell)) for cell in cells}
    place = subject.folder.file(below)
    for name in all_files(place) if place.is_dir() else ():
        if name not in known:
            yield f"{below}/{name}: of no cell that was scored"


def _unknown_attacks(subject: Subject, cells: list[Cell]) -> Iterator[str]:
    """Files of scores that hold those of an attack which was not in the scenario."""
    for cell in (cell for cell in cells if subject.is_scored(cell)):
        known = subject.scenario.attacks_of(cell.game)
        for name in sorted(subject.folder.read_json(scores_file(cell)).keys() - set(known)):
            yield f"{scores_file(cell)}: '{name}' is no attack of the scenario"


def check_layers(subject: Subject) -> list[str]:
    """Each line is of a cell of the run: its truth, its rounds, the layers its trace has.

    The scores themselves are of an adversary that learned from its own records: who has the data
    gets them by running the scenario again, files alone do not give them.
    """
    found: dict[tuple[int, str], list[LayerScores]] = {}
    for row in read_layers(subject.folder):
        cell = Cell(row.run, row.property, row.rule, row.fraction, row.participants)
        found.setdefault((row.run, cell.name), []).append(row)
    expected = {(c.run, c.name): c for c in cells_for_layers(subject.scenario)}
    expected = {key: cell for key, cell in expected.items() if subject.is_scored(cell)}
    wrong = [
        f"{LAYERS}: run {run}, {name}: {'missing' if (run, name) in expected else 'not expected'}"
        for run, name in sorted(found.keys() ^ expected.keys())
    ]
    for (run, name), rows in found.items():
        if (run, name) not in expected:
            continue
        truth = subject.presence(expected[run, name])
        scored = [row for row in rows if row.scores or row.present]
        if len({row.layer for row in rows}) < len(rows):
            wrong.append(f"{LAYERS}: run {run}, {name}: a layer stands there twice")
        elif any(row.present != truth for row in scored):
            wrong.append(f"{LAYERS}: run {run}, {name}: not the ground truth")
        elif not all(_one_each(row.scores, len(truth)) for row in scored):
            wrong.append(f"{LAYERS}: run {run}, {name}: not one finite score for every round")
        elif subject.scenario.audit.keep_traces:
            layout = Trace.open(subject.folder.file("traces", f"run-{run}", name)).layout
            if {row.layer: row.parameters for row in rows} != sizes_of(layout):
                wrong.append(f"{LAYERS}: run {run}, {name}: not the layers of its trace")
    return wrong


def _one_each(scores: list[float], rounds: int) -> bool:
    return len(scores) == rounds and all(map(math.isfinite, scores))
