"""Several audits, one after the other: what a study runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from privaudit.audit import run_audit
from privaudit.experiment.executors.choice import executor_for
from privaudit.experiment.executors.protocol import Executor
from privaudit.progress import Progress
from privaudit.scenario.schema import Scenario


def run_audits(
    plans: Mapping[str, Scenario],
    out: Path,
    *,
    data_dir: Path | None = None,
    workers: int | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    device: str = "cpu",
    executor: Executor | None = None,
) -> None:
    """Run several scenarios one after the other, each in the folder of its name below ``out``.

    Args:
        plans: folder name -> scenario.
        out: folder for all of them.
        data_dir: as in :func:`run_audit`, and so the others.
        workers: processes.
        resume: go on with what was interrupted; what was not begun is begun.
        progress: shows how far each stage is.
        device: where models are computed.
        executor: who runs models, training and attacks.

    Raises:
        UserError: as :func:`run_audit`.
    """
    with executor_for(executor, workers) as runner:
        for name, plan in plans.items():
            folder = out / name
            run_audit(
                plan,
                folder,
                data_dir=data_dir,
                workers=workers,
                resume=resume and (folder / "scenario.json").exists(),
                progress=progress,
                device=device,
                executor=runner,
            )
