"""How many honest clients dilute the attacker: the same audit at several K, for two attackers.

The *single-round* attacker decides from one round (schedule ``single-batch``). The *whole-run*
attacker adds its scores up over all rounds of a run: each federation is run with the property there
throughout and again without it, all else the same (schedule ``dataset``). Dilution that holds for
one can fail for the other: T rounds multiply d' by up to sqrt(T).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from privaudit.custody.folder import RunFolder
from privaudit.errors import UserError
from privaudit.experiment.executors.protocol import Executor
from privaudit.progress import Progress
from privaudit.scenario.load import check_scenario
from privaudit.scenario.schema import Scenario
from privaudit.studies.several import run_audits

Attacker = Literal["single-round", "whole-run", "all-rounds"]
FOLDERS: dict[Attacker, str] = {"single-round": "single-round", "whole-run": "whole-run"}
"""Attacker -> folder of the run that measures it; games about no rounds are in the first."""

ALL_ROUNDS: Attacker = "all-rounds"


def measure_dilution(
    scenario: Scenario,
    out: Path,
    *,
    participants: Sequence[int],
    runs: int,
    whole_runs: int,
    whole_rounds: int,
    data_dir: Path | None = None,
    workers: int | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    device: str = "cpu",
    executor: Executor | None = None,
) -> None:
    """Run the scenario at every K for both attackers and leave two run folders below ``out``.

    Args:
        scenario: what to audit; its ``runs``, ``audit.participants`` and schedule are replaced.
        out: folder with ``single-round/`` and ``whole-run/``.
        participants: numbers of participants K, increasing, at least two of them.
        runs: federation runs per K for the single-round attacker, at least 2.
        whole_runs: for the whole-run attacker, two for each federation, which is audited with the
            property and without it; 0 leaves it out.
        whole_rounds: rounds the whole-run attacker listens to.
        data_dir: where data sets lie.
        workers: processes.
        resume: go on with an interrupted measurement.
        progress: shows how far each stage is.
        device: where models are computed.
        executor: who runs models, training and attacks, as in :func:`run_audit`.

    Raises:
        UserError: participants not increasing or below 2, fewer than two runs or federations.
    """
    plans = dilution_plans(
        scenario,
        participants=participants,
        runs=runs,
        whole_runs=whole_runs,
        whole_rounds=whole_rounds,
    )
    run_audits(
        plans,
        out,
        data_dir=data_dir,
        workers=workers,
        resume=resume,
        progress=progress,
        device=device,
        executor=executor,
    )


def dilution_plans(
    scenario: Scenario,
    *,
    participants: Sequence[int],
    runs: int,
    whole_runs: int,
    whole_rounds: int,
) -> dict[str, Scenario]:
    """Folder name -> what is run there; arguments and errors of :func:`measure_dilution`."""
    if len(participants) < 2:
        raise UserError(
            f"a curve needs at least two numbers of participants, got {list(participants)}",
            where="--participants",
        )
    if runs < 2:
        raise UserError(f"an interval needs at least 2 runs, got {runs}", where="--seeds")
    if whole_runs and (whole_runs < 4 or whole_runs % 2):
        raise UserError(
            "the whole-run attacker needs an even number of runs, at least 4: each federation with "
            f"the property and without it, got {whole_runs}",
            where="--whole-runs",
            remedy="use 4, 6, ..., or 0 to leave it out",
        )
    if whole_runs and whole_rounds < 4:
        raise UserError(f"must be at least 4, got {whole_rounds}", where="--whole-rounds")
    counts = [k - 1 - scenario.audit.colluding(k) for k in participants]
    if scenario.audit.colluders and any(b <= a for a, b in pairwise(counts)):
        raise UserError(
            f"with these colluders the numbers of honest clients do not increase: {counts}",
            where="--participants",
            remedy="leave out one of those with equal numbers",
        )
    audit = {"participants": list(participants), "keep_traces": False, "episode": None}
    plans = {
        FOLDERS["single-round"]: _changed(scenario, runs, {**audit, "schedule": "single-batch"})
    }
    if whole_runs and scenario.audit.properties:  # no other game asks about something that stays
        persistent = {**audit, "schedule": "dataset", "rounds": whole_rounds}
        asked = scenario.about_properties()
        plans[FOLDERS["whole-run"]] = _changed(asked, whole_runs, persistent)
    return plans


def _changed(scenario: Scenario, runs: int, audit: dict[str, Any]) -> Scenario:
    table = scenario.model_dump(mode="json")
    table["runs"] = runs
    table["audit"] |= audit
    table["report"]["devices"] = []
    return check_scenario(table, where="dilution")


def plans_of(out: Path) -> dict[Attacker, Scenario]:
    """What was run, by attacker, as the run folders of a measurement have it.

    Raises:
        UserError: a run folder there cannot be read.
    """
    names = [(a, name) for a, name in FOLDERS.items() if (out / name / "scenario.json").is_file()]
    return {attacker: RunFolder.open(out / name).scenario() for attacker, name in names}
