"""From scores to records: with every attack done, the truth comes to lie on disk."""

from __future__ import annotations

from collections.abc import Mapping

from privaudit.custody.folder import RunFolder
from privaudit.custody.plan import Plan
from privaudit.evaluation.judge import judge
from privaudit.evaluation.records import Record
from privaudit.experiment.holdings import Alikeness, Target, holdings_of
from privaudit.experiment.tasks import facts_file, scores_file
from privaudit.scenario.grid import Cell, cells_of
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
    records = []
    for cell in cells_of(world.scenario):
        failed, attacks = failures[cell], world.scenario.attacks_of(cell.game)
        scores, present, facts = {}, None, {}
        if set(failed) != set(attacks):
            scores = folder.read_json(scores_file(cell))
            present = [bool(p) for p in world.presence(cell)]
            folder.write_json(f"truth/run-{cell.run}/{cell.name}.json", present)
            if folder.file(facts_file(cell)).is_file():
                facts = folder.read_json(facts_file(cell))
        records += [
            judge(
                plan,
                cell,
                attack,
                checksum=world.dataset.checksum,
                scores=None if attack in failed else scores[attack],
                present=present,
                reason=failed.get(attack, ""),
                holdings=held.get((cell.run, cell.property, cell.participants), ()),
                facts=facts,
            )
            for attack in attacks
        ]
    return records
