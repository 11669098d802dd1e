"""The check of what a run says of its data: computed again where the data are at hand."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from privaudit.custody.folder import REMARKS
from privaudit.evaluation.records import Record
from privaudit.experiment.data_sheet import DATA, describe_data
from privaudit.experiment.holdings import counted, is_measured
from privaudit.models.build import is_bundled
from privaudit.scenario.schema import PROPERTY
from privaudit.statistics.pools import Holdings
from privaudit.verify.files import RECORDS, Subject
from privaudit.verify.records import alike
from privaudit.world import World, audited_phase, check_model_takes_data


def check_data(subject: Subject) -> list[str]:
    """What the target held, ``data.json`` and remarks on a bundled model are what the data give.

    Where the data are not at hand: records and ``data.json`` agree on what the target held, and
    what it drew from that for a round is what the scenario says.
    """
    world = subject.world
    wrong = [] if world is None else list(_of_the_data(subject, world))
    held = {} if world is None else dict(counted(world))
    for number, record in enumerate(subject.records, 1):
        if record.game != PROPERTY:  # no pools: who is in is drawn by the challenger
            if record.holdings is not None:
                wrong.append(f"{RECORDS}: line {number}: holdings of another game")
            continue
        differing = _differing(subject, record)
        if world is not None:
            expected = held[record.run, record.property, record.participants]
            differing = _unlike(record.held(), expected, measured=is_measured(world))
        if differing:
            wrong.append(
                f"{RECORDS}: line {number}: holdings: {', '.join(differing)} not as "
                f"{'scenario and data' if world else f'scenario and {DATA}'} give"
            )
    return wrong


def _of_the_data(subject: Subject, world: World) -> Iterator[str]:
    if subject.folder.read_json(DATA) != json.loads(json.dumps(describe_data(world))):
        yield f"{DATA}: not what the data give"
    if is_bundled(subject.scenario.model.name):  # others' code does not run here
        remarks = list(check_model_takes_data(world))
        if subject.folder.read_json(REMARKS) != remarks:
            yield f"{REMARKS}: not what the model gives"


def _unlike(
    stated: Sequence[Holdings], expected: Sequence[Holdings], *, measured: bool
) -> list[str]:
    """Names of what differs, of one target or of each of several."""
    if len(stated) != len(expected):
        return ["all"]
    pairs = zip(stated, expected, strict=True)
    return list(dict.fromkeys(n for pair in pairs for n in _unlike_one(*pair, measured=measured)))


def _unlike_one(stated: Holdings, expected: Holdings, *, measured: bool) -> list[str]:
    """Of one; what was measured with the model is taken as stated, if possible."""
    if measured and 0 <= (stated.icc or 0) <= 1 and 0 < stated.other_variance < math.inf:
        expected = replace(expected, icc=stated.icc, other_variance=stated.other_variance)
    given = asdict(stated)
    return [name for name, value in asdict(expected).items() if not alike(given[name], value)]


def _differing(subject: Subject, record: Record) -> list[str]:
    """The same without the data."""
    if not record.held():
        return ["all"]
    phase = audited_phase(
        subject.scenario, record.rule, record.fraction, record.participants, record.defence
    )
    target = subject.folder.read_json(DATA)["holdings"]["target"][record.run]
    counts: dict[str, Any] = target["properties"][record.property]
    drawn = {"batch": phase.batch_size * phase.local_steps, "share": phase.property_share}
    expected = drawn | {name: counts[name] for name in ("present", "absent")}
    first, *others = record.held()  # of further targets data.json has no counts
    wrong = [n for n, value in expected.items() if getattr(first, n) != value]
    return wrong + [n for n, v in drawn.items() if any(getattr(o, n) != v for o in others)]
