"""How many honest clients dilute the attacker: the same audit at several K, for two attackers.

The *single-round* attacker decides from one round (schedule ``single-batch``). The *whole-run*
attacker adds its scores up over all rounds of a run in which the property is there throughout,
against control runs without it (schedule ``dataset``). Dilution that holds for one can fail for the
other: T rounds multiply d' by up to sqrt(T).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from privaudit.audit import Progress, run_audits
from privaudit.errors import UserError
from privaudit.evaluation.records import Record, parse_records
from privaudit.experiment.executors.protocol import Executor
from privaudit.experiment.folder import RunFolder
from privaudit.scenario.load import check_scenario
from privaudit.scenario.schema import Scenario
from privaudit.statistics.dilution import (
    DilutionFit,
    DilutionPoint,
    HarmlessAnswer,
    fit_dilution,
    harmless_from,
)
from privaudit.statistics.intervals import Interval, auc_interval
from privaudit.statistics.laws import MOMENT_LAW, POWER_LAW
from privaudit.statistics.runs import RunScores, whole_run
from privaudit.statistics.told import design_of, smallest_told

Attacker = Literal["single-round", "whole-run"]
FOLDERS: dict[Attacker, str] = {"single-round": "single-round", "whole-run": "whole-run"}


@dataclass(frozen=True)
class Curve:
    """One attack on one property at several numbers of honest clients.

    Attributes:
        attacker: ``single-round`` or ``whole-run``.
        rounds: rounds the attacker decides from.
        runs: federation runs per number of participants.
        honest: K - 1, increasing.
        aucs: AUC with interval at each.
        detectable: smallest AUC that would have been told from 0.5 at this n.
        power: fit of d' = d'(n0) (n / n0)^exponent; None with fewer than two points.
        moment: fit of the law of an attacker who learns from simulated aggregates.
        answer: from how many honest clients on the attacker is below the threshold.
        failures: reasons of cells without scores.
    """

    attacker: Attacker
    property: str
    attack: str
    rule: str
    fraction: float
    rounds: int
    runs: int
    honest: tuple[int, ...]
    aucs: tuple[Interval, ...]
    detectable: float | None
    power: DilutionFit | None
    moment: DilutionFit | None
    answer: HarmlessAnswer | None
    failures: tuple[str, ...]


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
        whole_runs: for the whole-run attacker, half of them controls; 0 leaves it out.
        whole_rounds: rounds the whole-run attacker listens to.
        data_dir: where data sets lie.
        workers: processes.
        resume: go on with an interrupted measurement.
        progress: shows how far each stage is.
        device: where models are computed.
        executor: who runs models, training and attacks, as in :func:`run_audit`.

    Raises:
        UserError: participants not increasing or below 2, fewer than two runs, no control runs.
    """
    plans = _plans(scenario, participants, runs, whole_runs, whole_rounds)
    run_audits(
        {FOLDERS[attacker]: plan for attacker, plan in plans.items()},
        out,
        data_dir=data_dir,
        workers=workers,
        resume=resume,
        progress=progress,
        device=device,
        executor=executor,
    )


def _plans(
    scenario: Scenario,
    participants: Sequence[int],
    runs: int,
    whole_runs: int,
    whole_rounds: int,
) -> dict[Attacker, Scenario]:
    if len(participants) < 2:
        raise UserError(
            f"a curve needs at least two numbers of participants, got {list(participants)}",
            where="--participants",
        )
    if runs < 2:
        raise UserError(f"an interval needs at least 2 runs, got {runs}", where="--seeds")
    if 0 < whole_runs < 4:
        raise UserError(
            f"the whole-run attacker needs at least 4 runs, 2 of them controls, got {whole_runs}",
            where="--whole-runs",
            remedy="use 4 or more, or 0 to leave it out",
        )
    audit = {"participants": list(participants), "keep_traces": False}
    plans: dict[Attacker, Scenario] = {
        "single-round": _changed(scenario, runs, {**audit, "schedule": "single-batch"})
    }
    if whole_runs:
        persistent = {**audit, "schedule": "dataset", "rounds": whole_rounds}
        plans["whole-run"] = _changed(scenario, whole_runs, persistent)
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


def check_harmless_threshold(threshold: float) -> None:
    """Refuse a threshold outside (0.5, 1], before anything runs."""
    if not 0.5 < threshold <= 1.0:
        raise UserError(
            f"threshold must be in (0.5, 1], got {threshold:g}",
            where="--threshold",
            remedy="0.5 is a blind guess: no interval lies below it",
        )


def dilution_curves(out: Path, *, threshold: float) -> list[Curve]:
    """Every curve of a measurement, from its records alone.

    Raises:
        UserError: ``threshold`` outside (0.5, 1], or no records there.
    """
    check_harmless_threshold(threshold)
    curves: list[Curve] = []
    for attacker, name in FOLDERS.items():
        if not (out / name / "records.jsonl").is_file():
            continue
        folder = RunFolder.open(out / name)
        rows = folder.read_lines("records.jsonl")
        records = parse_records(rows, where=str(folder.file("records.jsonl")))
        curves += _curves(records, attacker, threshold)
    if not curves:
        raise UserError("no dilution measurement here", where=str(out))
    return curves


def _curves(records: Sequence[Record], attacker: Attacker, threshold: float) -> list[Curve]:
    groups: dict[tuple[str, str, str, float], list[Record]] = {}
    for record in records:
        key = (record.property, record.attack, record.rule, record.fraction)
        groups.setdefault(key, []).append(record)
    return [_curve(group, attacker, threshold) for group in groups.values()]


def _curve(records: Sequence[Record], attacker: Attacker, threshold: float) -> Curve:
    points, designs = [], []
    for participants in sorted({record.participants for record in records}):
        good = [r for r in records if r.participants == participants and r.status == "ok"]
        runs = [RunScores(np.array(r.scores), np.array(r.present)) for r in good]
        if not runs:
            continue
        rounds = runs[0].n_rounds
        if attacker == "whole-run":
            runs = whole_run(runs)
        points.append(DilutionPoint(participants - 1, tuple(runs)))
        designs.append(design_of(runs, [r.holdings for r in good], rounds=rounds))
    fits = len(points) > 1
    power = fit_dilution(points, POWER_LAW) if fits else None
    moment = fit_dilution(points, MOMENT_LAW) if fits else None
    first = records[0]
    audit = first.configuration["audit"]
    return Curve(
        attacker=attacker,
        property=first.property,
        attack=first.attack,
        rule=first.rule,
        fraction=first.fraction,
        rounds=1 if attacker == "single-round" else audit["rounds"],
        runs=first.configuration["runs"],
        honest=tuple(point.honest for point in points),
        aucs=tuple(auc_interval(point.runs) for point in points),
        detectable=max(
            (d for design in designs if (d := smallest_told(design)) is not None), default=None
        ),
        power=power,
        moment=moment,
        answer=harmless_from(points, moment, threshold=threshold) if moment else None,
        failures=tuple(r.reason for r in records if r.status == "failed"),
    )


def answer_in_words(curve: Curve) -> str:
    """One sentence: from how many honest clients on the attacker is below the threshold."""
    answer = curve.answer
    who = f"{curve.attack}, {curve.property}, {curve.attacker} attacker"
    listens = "one round" if curve.rounds == 1 else f"{curve.rounds} rounds added up"
    if answer is None:
        return f"{who} ({listens}): too few points for an answer."
    limit = f"the upper limit of the AUC interval is below {answer.threshold:g}"
    if answer.measured is not None:
        return f"{who} ({listens}): from {answer.measured} honest clients on {limit} (measured)."
    text = f"{who} ({listens}): not reached up to {answer.measured_up_to} honest clients."
    if answer.fitted is None or not answer.extrapolated:
        return text
    band = (
        f"{answer.fitted_low} to {answer.fitted_high}"
        if answer.fitted_high is not None
        else f"{answer.fitted_low} or more, no upper bound"
    )
    return (
        f"{text} Extrapolated by the fitted law, not measured: its AUC falls below "
        f"{answer.threshold:g} at {answer.fitted} honest clients (band: {band})."
    )


def curve_json(curve: Curve) -> dict[str, Any]:
    """A curve as a JSON document; limits without a bound are null."""
    exponent = curve.power.parameter("exponent") if curve.power else None
    return {
        "attacker": curve.attacker,
        "property": curve.property,
        "attack": curve.attack,
        "rule": curve.rule,
        "shared_fraction": curve.fraction,
        "rounds": curve.rounds,
        "runs": curve.runs,
        "points": [
            {"honest": honest, "participants": honest + 1, **asdict(interval)}
            for honest, interval in zip(curve.honest, curve.aucs, strict=True)
        ],
        "smallest_detectable_auc": curve.detectable,
        "exponent": None
        if exponent is None
        else {key: _finite(value) for key, value in asdict(exponent).items()},
        "misfit_p": {
            fit.family.name: fit.misfit_p for fit in (curve.power, curve.moment) if fit is not None
        },
        "answer": asdict(curve.answer) if curve.answer else None,
        "in_words": answer_in_words(curve),
        "failures": list(curve.failures),
    }


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
