"""The audit repeated with the property on other records: checked before, done after the rest."""

from __future__ import annotations

import shutil
from collections import deque
from dataclasses import replace

from privaudit.custody.folder import RunFolder
from privaudit.custody.plan import make_plan
from privaudit.errors import UserError
from privaudit.evaluation.permuted import asked_for, found_in, repetition_file
from privaudit.experiment import tasks
from privaudit.experiment.executors.protocol import Executor
from privaudit.experiment.permuting import OPTION, check_permutations
from privaudit.experiment.tasks import Job
from privaudit.experiment.world import World
from privaudit.progress import Progress
from privaudit.scenario.grid import groups_of


def check_repetitions(world: World, job: Job, count: int) -> None:
    """Before anything is written: whether every repetition can be dealt.

    Raises:
        UserError: see :func:`privaudit.experiment.permuting.check_permutations`; or in one of them
            somebody would hold too few records.
    """
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


def repeat(folder: RunFolder, job: Job, executor: Executor, workers: int, show: Progress) -> None:
    """The audit with the properties permuted, as often as asked for; what is there stays."""
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
        deque(tasks.train(executor, again, range(world.scenario.runs), workers=workers), 0)
        groups = groups_of(world.scenario, workers)
        deque(tasks.audit(executor, again, groups, workers=workers), 0)
        rows = found_in(RunFolder(places[name]), world)
        folder.write_json(name, [row.model_dump(mode="json") for row in rows])
    for place in places.values():
        shutil.rmtree(place, ignore_errors=True)
