"""The whole audit repeated with the properties permuted: how a run does it, when it is asked to."""

from __future__ import annotations

import shutil
from collections import deque
from dataclasses import replace

from privaudit.custody.folder import RunFolder
from privaudit.custody.plan import make_plan
from privaudit.data.permuting import OPTION, check_permutations
from privaudit.errors import UserError
from privaudit.experiment import tasks
from privaudit.experiment.executors.protocol import Executor
from privaudit.experiment.tasks import Job
from privaudit.progress import Progress
from privaudit.scenario.grid import groups_of
from privaudit.scenario.schema import Scenario
from privaudit.world import World


def check_repetitions(world: World, job: Job, count: int | None) -> None:
    """Before anything is written: whether every repetition can be dealt; None asks for none.

    Raises:
        UserError: no property is asked about; see
            :func:`privaudit.data.permuting.check_permutations`; or in one of them somebody would
            hold too few records.
    """
    if count is None:
        return
    if not world.scenario.audit.properties:
        raise UserError(
            "there is no property to permute",
            where=OPTION,
            remedy="leave it out: in games without properties who or what is in was drawn, and the "
            "test is exact",
        )
    check_permutations(world.dataset, world.scenario.audit.properties, count)
    for number in range(1, count + 1):
        made = replace(job, permutation=number).world()
        try:
            for run in range(world.scenario.runs):
                made.deal(run)
        except UserError as error:
            raise UserError(
                f"with the property permuted ({number} of {count}): {error.what}",
                where=OPTION,
                remedy="use a smaller audit.batch_size, fewer participants or more data",
            ) from error


def ask_for(folder: RunFolder, count: int | None) -> None:
    """Write down how many repetitions the run is begun with; nothing for None."""
    if count is not None:
        # Slow to import: not before the first round of a run that asks for none.
        from privaudit.evaluation.permuted import COUNT

        folder.write_json(COUNT, count)


def repeat(folder: RunFolder, job: Job, executor: Executor, workers: int, show: Progress) -> None:
    """The audit with the properties permuted, as often as asked for; what is there stays.

    Other games are left out: nothing of them would be permuted.
    """
    from privaudit.evaluation.permuted import asked_for, found_in, repetition_file

    asked = Scenario.model_validate_json(job.scenario_json).about_properties()
    job = replace(job, scenario_json=asked.model_dump_json())
    places = {
        name: folder.file(name.removesuffix(".json"))
        for name in map(repetition_file, range(1, asked_for(folder) + 1))
    }
    todo = [(n, name) for n, name in enumerate(places, 1) if not folder.file(name).is_file()]
    stage = "audits with the property permuted"
    for number, name in show.track(todo, stage=stage, total=len(todo)):
        again = replace(job, folder=places[name], permutation=number, plan="")
        world = again.world()
        plan = make_plan(world.scenario, world.dataset, device=job.device)
        again = replace(again, plan=plan.model_dump_json())
        groups = groups_of(world.scenario, workers)
        deque(tasks.train_and_audit(executor, again, groups, workers=workers), 0)
        rows = found_in(RunFolder(places[name]), world)
        folder.write_json(
            name, [row.model_dump(mode="json", exclude_defaults=True) for row in rows]
        )
    for place in places.values():
        shutil.rmtree(place, ignore_errors=True)
