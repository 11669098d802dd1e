"""Whether the folder of a judged live run is what it says (docs/live.md).

The truth follows from the secret of the audited client's schedule, where that was kept; records and
table follow from scores and truth. Scores follow from traces, the listener's records and the model:
they are computed again where somebody names the model, whose code is then run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from privaudit.attack.standalone import open_case
from privaudit.custody.folder import RunFolder
from privaudit.custody.manifest import all_files, file_sha256, is_sealed, read_seal
from privaudit.custody.plan import PLAN, fingerprint
from privaudit.errors import UserError
from privaudit.evaluation.live import (
    Live,
    LiveRun,
    LiveSettings,
    checksum_of,
    judge_live,
    server_rounds,
)
from privaudit.evaluation.live_folder import (
    RECORDS,
    ROUNDS,
    kept_names,
    kept_runs,
    scores_name,
    trace_name,
    truth_name,
)
from privaudit.evaluation.records import Record
from privaudit.observation.manifest import file_names
from privaudit.observation.trace import Trace
from privaudit.report.live import render_live
from privaudit.taps.audited_client import drawn_truth, read_truth, run_of, truth_files
from privaudit.verify.files import Subject, check_manifest, check_seal
from privaudit.verify.records import alike
from privaudit.verify.report import differing_files
from privaudit.verify.verdict import Check

CLOSE = 1e-4
"""Of the largest score: scores computed again may be off by so much."""


class LiveSubject(Subject):
    """A judged live run under verification."""

    def __init__(
        self, folder: RunFolder, data_dir: Path | None = None, model: str | None = None
    ) -> None:
        super().__init__(folder, data_dir)
        self.model = model

    @cached_property
    def settings(self) -> LiveSettings:
        """What was asked."""
        return LiveSettings.of(self.plan)

    @cached_property
    def runs(self) -> list[LiveRun]:
        """Scores and truth of every trace, as they lie there."""
        return kept_runs(self.folder, self.settings)

    @cached_property
    def again(self) -> Live:
        """The run judged again."""
        return judge_live(self.plan, self.runs)

    def trace(self, number: int) -> Trace:
        """The trace of a run."""
        return Trace.open(self.folder.file(trace_name(number)))

    def listener(self, number: int) -> Path:
        """The file of the listener's records of a run.

        Raises:
            UserError: it is not at hand.
        """
        stated = self.settings.live[number]
        path = Path(stated.auxiliary)
        places = [path] if self.data_dir is None else [self.data_dir / path.name, path]
        for place in places:
            if place.is_file() and file_sha256(place) == stated.sha256:
                return place
        raise UserError(
            f"no file with the SHA-256 of the listener's records ({stated.sha256[:12]}...)",
            where=str(places[0]),
            remedy="say with --data-dir where it is",
        )


def check_plan(subject: LiveSubject) -> list[str]:
    """The plan is of a live run, its attacks and records, and of the ledger that the seal has."""
    plan, settings, wrong = subject.plan, subject.settings, []
    if set(plan.attacks) != set(settings.audit.attacks):
        wrong.append(f"{PLAN}: not of the attacks of its settings")
    if plan.dataset.fingerprint != fingerprint(checksum_of(settings)):
        wrong.append(f"{PLAN}: not of the records of its settings")
    sealed = read_seal(subject.folder)[1] if is_sealed(subject.folder) else {}
    if sealed and sealed.get("kind") != plan.ledger:
        wrong.append(f"seal.json: ledger '{sealed.get('kind')}', the plan has '{plan.ledger}'")
    return wrong


def check_traces(subject: LiveSubject) -> list[str]:
    """Every file of a trace is the one that was written; its rounds are those that were scored."""
    wrong = list(_strangers(subject, "traces", _trace_files(subject)))
    for number, run in enumerate(subject.runs):
        trace, name = subject.trace(number), trace_name(number)
        trace.check_digests()
        if trace.manifest.view != subject.settings.audit.threat_model:
            wrong.append(f"{name}: of another threat model")
        if trace.manifest.about != subject.settings.live[number].about:
            wrong.append(f"{name}/manifest.json: 'about' is not what the plan has")
        if server_rounds(trace) != list(run.rounds):
            wrong.append(f"scores/run-{number}/{ROUNDS}: not the rounds of the trace")
    return wrong


def _trace_files(subject: LiveSubject) -> Iterator[str]:
    for number in range(len(subject.settings.live)):
        names = ["manifest.json", *file_names(len(subject.trace(number)))]
        yield from (f"{trace_name(number)}/{name}" for name in names)


def check_truth(subject: LiveSubject) -> list[str]:
    """It follows from the secret of the schedule, where that was kept, and is of the same run."""
    known, wrong = list[str](), []
    for number in range(len(subject.settings.live)):
        name = truth_name(number)
        place = subject.folder.file(name)
        known += [f"{name}/{file}" for file in truth_files(place)]
        found, drawn = read_truth(place), drawn_truth(place)
        if drawn is not None:
            wrong += [
                f"{name}: round {one} is not as the secret of the schedule gives"
                for one, here in found.items()
                if drawn.get(one) is not here
            ]
        heard, of = subject.settings.live[number].about.get("run"), run_of(place)
        if heard is not None and of is not None and str(heard) != of:
            wrong.append(f"{name}: of run {of}, the trace is of run {heard}")
    return [*wrong, *_strangers(subject, "truth", known)]


def check_scores(subject: LiveSubject) -> list[str]:
    """The attacks on the kept traces give them again."""
    return [line for number in range(len(subject.runs)) for line in _scored_again(subject, number)]


def _scored_again(subject: LiveSubject, number: int) -> Iterator[str]:
    settings, stated = subject.settings, subject.settings.live[number]
    case = open_case(
        subject.folder.file(trace_name(number)),
        subject.listener(number),
        model=subject.model,
        properties=settings.audit.properties,
        rules=stated.rules | {"model": subject.model},
        model_options=stated.rules["model_options"],
        shadows=settings.audit.shadows,
        seed=settings.seed,
        references=0,
    )
    for name in settings.audit.properties:
        found = subject.runs[number].scores[name]
        for attack, scores in case.scores(name, settings.audit.attacks).items():
            off = np.abs(np.subtract(scores, found[attack]))
            far = off > CLOSE * max(1e-12, float(np.abs(scores).max()))
            if far.any():
                yield (
                    f"{scores_name(settings, number, name)}: {attack}: {int(far.sum())} of "
                    f"{len(scores)} scores are not what the attack gives, by up to {off.max():.3g}"
                )


def check_records(subject: LiveSubject) -> list[str]:
    """Every record, every metric of it, follows from plan, scores and truth."""
    known = [n for k in range(len(subject.runs)) for n in kept_names(subject.settings, k)]
    wrong = list(_strangers(subject, "scores", known))
    again, found = subject.again.records, subject.records
    if len(found) != len(again):
        wrong.append(f"{RECORDS}: {len(found)} lines, the plan gives {len(again)}")
    for number, (one, other) in enumerate(zip(found, again, strict=False), 1):
        names = [n for n in Record.model_fields if not alike(getattr(one, n), getattr(other, n))]
        if not subject.same_code:
            names = [name for name in names if name != "metrics"]
        if names:
            wrong.append(
                f"{RECORDS}: line {number}: {', '.join(names)} not as plan, truth and scores give"
            )
    return wrong


def _strangers(subject: LiveSubject, below: str, known: Iterator[str] | list[str]) -> Iterator[str]:
    """Files that are of nothing that was judged."""
    place, names = subject.folder.file(below), set(known)
    for name in all_files(place) if place.is_dir() else ():
        if f"{below}/{name}" not in names:
            yield f"{below}/{name}: of no run that was judged"


def check_report(subject: LiveSubject) -> list[str]:
    """Every file of the report is what the records give, byte for byte."""
    return differing_files(subject.folder, render_live(subject.folder))


@dataclass(frozen=True)
class LiveCheck:
    """A check of a live run: its name, what it means when it holds, and how it is made."""

    name: str
    meaning: str
    made: Callable[[LiveSubject], list[str]]


CHECKS = (
    LiveCheck("files", "no file was changed, lost or added since it was judged", check_manifest),
    LiveCheck("seal", "the manifest is the one it ended with", check_seal),
    LiveCheck("plan", "it is of these traces, records and attacks", check_plan),
    LiveCheck("traces", "every file is the one the tap's trace had", check_traces),
    LiveCheck("truth", "it follows from the secret of the audited client's schedule", check_truth),
    LiveCheck("scores", "the attacks on the kept traces give them again", check_scores),
    LiveCheck("records", "every one follows from plan, scores and truth", check_records),
    LiveCheck("report", "every page and table is what the records give, to the byte", check_report),
)


def live_checks(
    subject: LiveSubject, problems: Callable[[Callable[[], list[str]]], tuple[str, ...]]
) -> list[Check]:
    """Every check; ``problems`` makes one, whatever it raises."""
    checks = []
    for check in CHECKS:
        why = _not_made(subject, check.name)
        found = () if why else problems(partial(check.made, subject))
        checks.append(Check(check.name, check.meaning, found, why))
    return checks


def _not_made(subject: LiveSubject, name: str) -> str:
    if name == "scores" and subject.model is None:
        return "not attacked again: name the model with --model, its code is then run"
    try:
        other = name in ("scores", "report") and not subject.same_code
    except UserError:
        return ""  # the check of the plan says so
    return "made by another version" if other else ""


def live_notes(subject: LiveSubject) -> list[str]:
    """What is not wrong, and good to know."""
    try:
        count = len(subject.settings.live)
        bare = [n for n in range(count) if drawn_truth(subject.folder.file(truth_name(n))) is None]
    except UserError:
        return []
    if not bare:
        return []
    runs = ", ".join(map(str, bare))
    return [f"The secret of the schedule was not kept of run {runs}: that truth is as it says."]
