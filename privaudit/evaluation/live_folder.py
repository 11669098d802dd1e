"""The folder of a judged live run: what is kept of it, and read again.

It is a run folder (:mod:`privaudit.custody.folder`) with a plan and no scenario::

    plan.json                what was attacked, by which rules, with whose records and code
    traces/run-0/            the trace
    truth/run-0/             what the audited client noted, and the secret of its schedule
    scores/run-0/CELL.json   of every round of the trace
    scores/run-0/rounds.json which rounds of the server these are
    records.jsonl            scores of the rounds that are in trace and truth: the result
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from privaudit.custody.folder import RunFolder
from privaudit.custody.plan import PLAN, read_plan
from privaudit.errors import UserError
from privaudit.evaluation.live import Live, LiveRun, LiveSettings, judge_live
from privaudit.evaluation.records import parse_records
from privaudit.observation.manifest import file_names, read_manifest, whole_rounds
from privaudit.taps.audited_client import read_truth, truth_files

RECORDS, ROUNDS = "records.jsonl", "rounds.json"


def is_live(path: Path) -> bool:
    """Whether a folder is of a judged live run."""
    folder = RunFolder(path)
    if folder.file("scenario.json").is_file() or not folder.file(PLAN).is_file():
        return False
    try:
        return "live" in read_plan(folder).scenario
    except UserError:
        return False  # whoever reads it says what is wrong with it


def keep_live(
    folder: RunFolder, live: Live, runs: Sequence[LiveRun], truths: Sequence[Path]
) -> None:
    """Leave everything that the table follows from.

    Args:
        folder: empty.
        live: judged.
        runs: what it was judged from, one per trace.
        truths: folders of the audited clients.
    """
    folder.write_json(PLAN, live.plan.model_dump(mode="json"))
    for number, (run, truth) in enumerate(zip(runs, truths, strict=True)):
        _copy(Path(run.place), folder.file(trace_name(number)), _files_of_trace(Path(run.place)))
        for name, scores in run.scores.items():
            rows = {attack: list(values) for attack, values in scores.items()}
            folder.write_json(scores_name(live.settings, number, name), rows)
        folder.write_json(f"scores/run-{number}/{ROUNDS}", list(run.rounds))
        _copy(truth, folder.file(truth_name(number)), truth_files(truth))
    folder.write_lines(RECORDS, [record.model_dump(mode="json") for record in live.records])


def read_live(folder: RunFolder) -> Live:
    """What the records in a folder say.

    Raises:
        UserError: they, or what they were judged from, cannot be read.
    """
    plan = read_plan(folder)
    again = judge_live(plan, kept_runs(folder, LiveSettings.of(plan)))
    where = str(folder.file(RECORDS))
    records = parse_records(folder.read_lines(RECORDS), where=where)
    return Live(plan, again.settings, records, again.rounds, again.missed)


def kept_runs(folder: RunFolder, settings: LiveSettings) -> list[LiveRun]:
    """Scores and truth of every trace, as they lie there.

    Raises:
        UserError: they cannot be read, or there is not one score for each round.
    """
    return [_kept(folder, settings, number) for number in range(len(settings.live))]


def _kept(folder: RunFolder, settings: LiveSettings, number: int) -> LiveRun:
    audit, name = settings.audit, f"scores/run-{number}/{ROUNDS}"
    rounds = folder.read_json(name)
    if not isinstance(rounds, list) or not all(isinstance(one, int) for one in rounds):
        raise UserError("does not list rounds", where=str(folder.file(name)))
    scores = {}
    for of in audit.properties:
        name = scores_name(settings, number, of)
        found = folder.read_json(name)
        if not isinstance(found, Mapping) or set(found) != set(audit.attacks):
            raise UserError("not the scores of the attacks", where=str(folder.file(name)))
        if any(not _are_scores(values, len(rounds)) for values in found.values()):
            raise UserError("not one number for each round", where=str(folder.file(name)))
        scores[of] = dict(found)
    place = folder.file(trace_name(number))
    return LiveRun(str(place), rounds, scores, read_truth(folder.file(truth_name(number))))


def _are_scores(values: object, rounds: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) == rounds
        and all(isinstance(one, int | float) and not isinstance(one, bool) for one in values)
    )


def trace_name(number: int) -> str:
    """Where the trace of a run lies in the folder."""
    return f"traces/run-{number}"


def truth_name(number: int) -> str:
    """Where what its audited client noted lies."""
    return f"truth/run-{number}"


def scores_name(settings: LiveSettings, number: int, name: str) -> str:
    """Where the scores of a property lie."""
    return f"scores/run-{number}/{settings.live[number].cell(number, name).name}.json"


def kept_names(settings: LiveSettings, number: int) -> set[str]:
    """All files of scores of a run."""
    names = {scores_name(settings, number, name) for name in settings.audit.properties}
    return names | {f"scores/run-{number}/{ROUNDS}"}


def _files_of_trace(path: Path) -> list[str]:
    rounds = read_manifest(path).rounds
    return ["manifest.json", *sorted(file_names(whole_rounds(path) if rounds is None else rounds))]


def _copy(source: Path, to: Path, names: Sequence[str]) -> None:
    """Files with their rights: the secret of a schedule is its owner's alone."""
    to.mkdir(parents=True)
    for name in names:
        shutil.copy(source / name, to / name)
