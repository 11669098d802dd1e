"""From scores to records: with every attack done, the truth comes to lie on disk."""

from __future__ import annotations

from collections.abc import Mapping

from privaudit.custody.folder import RunFolder
from privaudit.custody.plan import Plan
from privaudit.evaluation.judge import judge
from privaudit.evaluation.rebuilt_runs import (
    SHOWN,
    AnswerJudge,
    cells_to_show,
    shown_records,
)
from privaudit.evaluation.records import Record
from privaudit.experiment.holdings import Alikeness, Target, holdings_of
from privaudit.experiment.tasks import facts_file, scores_file
from privaudit.games.reconstruction import target_batches
from privaudit.scenario.claims import ceiling_of, claim_of
from privaudit.scenario.grid import Cell, cells_of
from privaudit.scenario.schema import RECONSTRUCTION
from privaudit.world import World


def judge_run(
    world: World,
    plan: Plan,
    folder: RunFolder,
    failures: Mapping[Cell, Mapping[str, str]],
    alike: Mapping[Target, Alikeness],
) -> list[Record]:
    """Every record of a run, in table order whatever order the cells finished in.

    Args:
        world: the scenario with its data.
        plan: of the run.
        folder: with the scores of every cell; the truth is written to it.
        failures: cell -> attack -> why it has no scores.
        alike: what was measured of the targets' records.
    """
    held = holdings_of(world, alike)
    shown = {(cell.run, cell.name) for cell in cells_to_show(world)}
    records, judge_answers = [], AnswerJudge(world)
    for cell in cells_of(world.scenario):
        failed, attacks = failures[cell], world.scenario.attacks_of(cell.game)
        rebuilding = cell.game == RECONSTRUCTION
        scores, present, facts = {}, None, {}
        if set(failed) != set(attacks):
            scores = folder.read_json(scores_file(cell))
            truth = target_batches(world, cell) if rebuilding else _presence(world, cell)
            present = None if rebuilding else _presence(world, cell)
            folder.write_json(f"truth/run-{cell.run}/{cell.name}.json", truth)
            if (cell.run, cell.name) in shown:
                found = shown_records(world, cell, scores)
                folder.write_json(f"{SHOWN}/{cell.property}.json", found)
            if folder.file(facts_file(cell)).is_file():
                facts = folder.read_json(facts_file(cell))
        records += [
            judge(
                plan,
                cell,
                attack,
                checksum=world.dataset.checksum,
                scores=None if attack in failed or rebuilding else scores[attack],
                rebuilt=judge_answers(cell, scores[attack])
                if rebuilding and attack not in failed
                else None,
                present=present,
                reason=failed.get(attack, ""),
                holdings=held.get((cell.run, cell.property, cell.participants), ()),
                facts=facts,
                claim=claim_of(world.scenario, cell),
                ceiling=ceiling_of(world.scenario, cell),
            )
            for attack in attacks
        ]
    return records


def _presence(world: World, cell: Cell) -> list[bool]:
    return [bool(p) for p in world.presence(cell)]
