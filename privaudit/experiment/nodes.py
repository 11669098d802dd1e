"""Whether the machines of a cluster are alike: the same code, versions and data on each."""

from __future__ import annotations

from privaudit.custody.plan import Plan, changes, make_plan
from privaudit.errors import UserError
from privaudit.experiment.executors.protocol import Executor, quick
from privaudit.experiment.tasks import Job, whole
from privaudit.world import World


def check_nodes(executor: Executor, job: Job, world: World, workers: int) -> None:
    """Before anything is written: every node would compute what this machine would.

    Raises:
        UserError: one has other versions, other data or other code, or lacks them; names it.
    """
    if not executor.elsewhere:
        return
    plan = make_plan(world.scenario, world.dataset, device=job.device)
    for node, answer in executor.on_each_node(plan_task, job, workers):
        theirs = Plan.model_validate_json(whole(answer, f"node {node.name}"))
        found = changes(plan, theirs)
        if found:
            raise UserError(
                f"does not have what is here: {'; '.join(found)} (here -> there)",
                where=f"node {node.name}",
                remedy="install the same versions and data there, or take it out of the cluster",
            )


@quick
def plan_task(job: Job, _: int) -> str:
    """What would be planned on this machine, as JSON."""
    world = job.world()
    return make_plan(world.scenario, world.dataset, device=job.device).model_dump_json()
