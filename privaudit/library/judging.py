"""Traces of live federations judged by the truth that an audited client kept (docs/live.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from privaudit.attack.standalone import Case, open_case
from privaudit.custody.folder import RunFolder
from privaudit.custody.manifest import write_manifest, write_seal
from privaudit.errors import UserError
from privaudit.evaluation.live import Live, LiveRun, judge_live, make_live_plan, server_rounds
from privaudit.evaluation.live_folder import keep_live
from privaudit.experiment.listener import Listener
from privaudit.ledger.live import keep_live_ledger
from privaudit.ledger.place import Place, kind_of
from privaudit.report.live import write_live
from privaudit.taps.audited_client import read_truth, run_of


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
    out: Path | None = None,
    ledger: Place | None = None,
    before: Callable[[Case], None] = lambda case: None,
) -> Live:
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
        out: new or empty folder that takes the run (:mod:`privaudit.evaluation.live_folder`), for
            ``table``, ``report`` and ``verify``; None = nothing is kept.
        ledger: that plan and results are put on (:mod:`privaudit.ledger.live`); needs ``out``.
        before: told each case before it is attacked; may refuse it.

    Raises:
        UserError: as many traces as truths are wanted; something cannot be read; the runs are not
            of one kind; a run has fewer than two rounds of a kind; the folder or the ledger cannot
            be used.
    """
    files = list(auxiliary) * len(traces) if len(auxiliary) == 1 else list(auxiliary)
    if not len(traces) == len(truths) == len(files):
        raise UserError(
            f"{len(traces)} traces, {len(truths)} truths, {len(auxiliary)} files of records",
            where="TRACE, --truth, --auxiliary",
            remedy="give one of each per run, in the same order",
        )
    if out is not None:
        RunFolder(out).refuse_unless_empty()
    elif ledger is not None:
        raise UserError("a ledger is of a kept run", where="--ledger", remedy="say --out")
    accounts = None if ledger is None else ledger.accounts()
    if ledger is not None:
        ledger.check_reachable()
    # The property of an audited client comes and goes; the other clients are as they are.
    known = {"persistent": False, "others": "natural"} | dict(rules or {})
    cases = []
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
        _same_run(case, truth)
        before(case)
        cases.append(case)
    plan = make_live_plan(
        cases, [Path(file) for file in files], attacks, seed=seed, ledger=kind_of(ledger)
    )
    scored = [{n: case.scores(n, list(attacks)) for n in case.records.properties} for case in cases]
    runs = [
        LiveRun(str(case.trace.path), server_rounds(case.trace), scores, read_truth(truth))
        for case, scores, truth in zip(cases, scored, truths, strict=True)
    ]
    live = judge_live(plan, runs)
    if out is not None:

        def recorded(folder: RunFolder) -> AbstractContextManager[Listener]:
            if ledger is None:
                return nullcontext(Listener())
            return keep_live_ledger(folder, live, ledger, accounts)

        _keep(out, live, runs, [Path(truth) for truth in truths], recorded)
    return live


def _keep(
    out: Path,
    live: Live,
    runs: Sequence[LiveRun],
    truths: Sequence[Path],
    recorded: Callable[[RunFolder], AbstractContextManager[Listener]],
) -> None:
    """The run folder, with its report, what ``recorded`` puts on a ledger, manifest and seal."""
    with RunFolder.new(out) as folder:
        keep_live(folder, live, runs, truths)
        with recorded(folder) as listener:
            listener.judged()
            write_live(folder)
            write_manifest(folder)
            listener.reported()
        write_seal(folder, listener.facts)


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
