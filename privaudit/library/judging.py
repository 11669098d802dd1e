"""Traces of live federations judged by the truth that an audited client kept (docs/live.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from privaudit.attack.standalone import Case, open_case
from privaudit.errors import UserError
from privaudit.library.scores import Evaluation, evaluate
from privaudit.taps.audited_client import read_truth, run_of

LEAST = 2
"""Rounds of a kind that a run must have: fewer order nothing."""


@dataclass(frozen=True)
class Judged:
    """What one attack found out about one property.

    Attributes:
        property: its name.
        attack: its name.
        rounds: for each run the rounds of the server that were scored and are in the truth.
        left_out: for each run the rounds of the truth that its trace does not tell.
        evaluation: over all runs; with two or more the intervals are over runs.
    """

    property: str
    attack: str
    rounds: tuple[tuple[int, ...], ...]
    left_out: tuple[tuple[int, ...], ...]
    evaluation: Evaluation


def judge(
    traces: Sequence[Path | str],
    truths: Sequence[Path | str],
    auxiliary: Sequence[Path | str],
    *,
    properties: Sequence[str] = (),
    attacks: Sequence[str] = ("magnitude-stack",),
    model: str | None = None,
    model_options: Mapping[str, Any] | None = None,
    rules: Mapping[str, Any] | None = None,
    shadows: int = 8,
    seed: int = 1,
    before: Callable[[Case], None] = lambda case: None,
) -> list[Judged]:
    """Attack each trace, and join the scores with the truth by the round of the server.

    Args:
        traces: one per run.
        truths: as many folders of audited clients.
        auxiliary: the listener's records, one file per run or one for all.
        properties: of those in the file; the truth is about one, so mostly one. Empty = all.
        attacks: names.
        model: ``package.module:Class``; None = the bundled one that the trace states.
        model_options: arguments of its constructor.
        rules: of the federation; they go before those in the trace.
        shadows: shadow batches of each kind a round.
        seed: of everything that is drawn.
        before: told each case before it is attacked; may refuse it.

    Raises:
        UserError: as many traces as truths are wanted; something cannot be read; a run has fewer
            than two rounds of a kind.
    """
    files = list(auxiliary) * len(traces) if len(auxiliary) == 1 else list(auxiliary)
    if not len(traces) == len(truths) == len(files):
        raise UserError(
            f"{len(traces)} traces, {len(truths)} truths, {len(auxiliary)} files of records",
            where="TRACE, --truth, --auxiliary",
            remedy="give one of each per run, in the same order",
        )
    # The property of an audited client comes and goes; the other clients are as they are.
    known = {"persistent": False, "others": "natural"} | dict(rules or {})
    scored: dict[tuple[str, str], list[_Run]] = {}
    for place, truth, file in zip(traces, truths, files, strict=True):
        case = open_case(
            Path(place),
            Path(file),
            model=model,
            model_options=model_options,
            properties=properties,
            rules=known,
            shadows=shadows,
            seed=seed,
            references=0,
        )
        before(case)
        _same_run(case, truth)
        numbers = [_server_round(seen.round, seen.server_round) for seen in case.trace]
        present = read_truth(truth)
        for name in case.records.properties:
            for attack, scores in case.scores(name, list(attacks)).items():
                run = _Run.of(numbers, scores, present, place)
                scored.setdefault((name, attack), []).append(run)
    return [_judged(name, attack, runs) for (name, attack), runs in scored.items()]


def _same_run(case: Case, truth: Path | str) -> None:
    """Of another run's truth every attack is at chance: a leak would look like none.

    Raises:
        UserError: trace and truth say that they are of two runs.
    """
    heard, drawn = case.trace.manifest.about.get("run"), run_of(truth)
    if heard is not None and drawn is not None and str(heard) != drawn:
        raise UserError(
            f"the trace is of run {heard}, the truth of run {drawn}",
            where=str(truth),
            remedy="give traces and truths in the same order",
        )


def _server_round(number: int, stated: int | None) -> int:
    """Of a trace that does not say: rounds in order, from 1."""
    return number + 1 if stated is None else stated


@dataclass(frozen=True)
class _Run:
    rounds: tuple[int, ...]
    left_out: tuple[int, ...]
    inside: np.ndarray
    outside: np.ndarray

    @classmethod
    def of(
        cls,
        numbers: Sequence[int],
        scores: Sequence[float],
        present: Mapping[int, bool],
        place: Path | str,
    ) -> _Run:
        told = [(number, score) for number, score in zip(numbers, scores, strict=True)]
        told = [(number, score) for number, score in told if number in present]
        inside = np.array([score for number, score in told if present[number]])
        outside = np.array([score for number, score in told if not present[number]])
        if min(len(inside), len(outside)) < LEAST:
            raise UserError(
                f"{len(inside)} rounds with the property and {len(outside)} without are both in "
                f"trace and truth, wanted are {LEAST} of each",
                where=str(place),
                remedy="give the truth of the same run, or run more rounds",
            )
        rounds = tuple(number for number, _ in told)
        return cls(rounds, tuple(sorted(set(present) - set(rounds))), inside, outside)


def _judged(name: str, attack: str, runs: Sequence[_Run]) -> Judged:
    evaluation = evaluate([run.inside for run in runs], [run.outside for run in runs])
    rounds, left_out = zip(*((run.rounds, run.left_out) for run in runs), strict=True)
    return Judged(name, attack, rounds, left_out, evaluation)
