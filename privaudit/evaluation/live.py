"""Federations that run elsewhere: scores joined with the truth that an audited client kept.

The plan of such a run has what was stated of each trace in place of a scenario. The truth follows
from no scenario: it is the audited client's, by the round of the server.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from privaudit.attack.registry import source_of
from privaudit.attack.standalone import Case
from privaudit.custody.plan import (
    PLAN,
    LedgerKind,
    Origin,
    Plan,
    PlannedData,
    commit,
    dirty,
    fingerprint,
    own_source,
    versions,
)
from privaudit.errors import UserError, first_problem
from privaudit.evaluation.cells import TableCell, table_cells
from privaudit.evaluation.judge import judge
from privaudit.evaluation.records import Record
from privaudit.models.build import model_source
from privaudit.observation.rules import Rules
from privaudit.observation.trace import Trace
from privaudit.scenario.grid import Cell

LEAST = 2
"""Rounds of a kind that a run must have: fewer order nothing."""

LISTENER = "the listener's records"
LEFT_OUT, UNTOLD = "left_out", "untold"
"""Facts of a record: rounds of the truth that its trace does not tell, and the other way round."""


class LiveTrace(BaseModel):
    """What was stated of one trace.

    Attributes:
        about: what its writer noted.
        rules: of the federation, as they were resolved.
        stated: rule -> who stated it.
        guessed: rounds in which the listener's weight is a guess, 1 / participants.
        auxiliary: file of the listener's records, as it was given.
        sha256: of that file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    about: dict[str, Any]
    rules: dict[str, Any]
    stated: dict[str, str]
    guessed: int = Field(ge=0)
    auxiliary: str
    sha256: str

    def cell(self, run: int, name: str) -> Cell:
        """Of the table, for a property."""
        rules = Rules.model_validate(self.rules)
        whole = rules.shared_fraction == 1.0
        rule = "all" if whole else rules.sharing_rule
        return Cell(run, name, rule, rules.shared_fraction, rules.participants)


class LiveAudit(BaseModel):
    """What was asked of all traces."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threat_model: Literal["participant", "server"]
    schedule: Literal["audited-client"] = "audited-client"
    properties: list[str] = Field(min_length=1)
    attacks: list[str] = Field(min_length=1)
    shadows: int


class LivePublished(BaseModel):
    """Nothing was published about it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    published: dict[str, Any] = {}


class LiveSettings(BaseModel):
    """What stands in the plan of a live run in place of a scenario."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["live"] = "live"
    title: str = "A live federation"
    seed: int
    audit: LiveAudit
    report: LivePublished = LivePublished()
    live: list[LiveTrace] = Field(min_length=1)

    @classmethod
    def of(cls, plan: Plan) -> LiveSettings:
        """Those of a plan.

        Raises:
            UserError: it is the plan of something else.
        """
        try:
            return cls.model_validate(plan.scenario)
        except ValidationError as error:
            raise UserError(f"not of a live run: {first_problem(error)}", where=PLAN) from error


Scores = Mapping[str, Mapping[str, Sequence[float]]]
"""Property -> attack -> [T], one per round of the trace."""


@dataclass(frozen=True)
class LiveRun:
    """One trace, scored, and the truth about it.

    Attributes:
        place: where the trace lies, for messages.
        rounds: [T] of the server, from 1.
        scores: of every property.
        present: round of the server -> whether the property was there.
    """

    place: str
    rounds: Sequence[int]
    scores: Scores
    present: Mapping[int, bool]


@dataclass(frozen=True)
class Live:
    """A judged live run.

    Attributes:
        plan: of the run.
        settings: its settings, read.
        records: one per trace, property and attack.
        rounds: for each trace the rounds of the server that were scored and are in the truth.
        missed: for each trace the rounds of the truth that it does not tell.
    """

    plan: Plan
    settings: LiveSettings
    records: Sequence[Record]
    rounds: Sequence[Sequence[int]]
    missed: Sequence[Sequence[int]]
    cells: Sequence[TableCell] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cells", table_cells(self.records))


def make_live_plan(
    cases: Sequence[Case],
    auxiliary: Sequence[Path],
    attacks: Sequence[str],
    *,
    seed: int,
    ledger: LedgerKind = "none",
) -> Plan:
    """The plan of a live run.

    Args:
        cases: one per trace.
        auxiliary: the file of the listener's records of each.
        attacks: names.
        seed: of everything that is drawn.
        ledger: that it will be put on.

    Raises:
        UserError: the traces are of several threat models, models or sets of properties.
    """
    first = cases[0]
    for what, of in (
        ("threat models", lambda case: case.trace.manifest.view),
        ("models", lambda case: case.rules.model),
        ("sets of properties", lambda case: sorted(case.records.properties)),
    ):
        if any(of(case) != of(first) for case in cases):
            raise UserError(
                f"the runs have several {what}", where="TRACE", remedy="judge them apart"
            )
    told = [
        LiveTrace(
            about=case.trace.manifest.about,
            rules=case.rules.model_dump(mode="json"),
            stated=dict(case.stated),
            guessed=sum(not seen.own_weight_known for seen in case.trace),
            auxiliary=str(file),
            sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        )
        for case, file in zip(cases, auxiliary, strict=True)
    ]
    view = "server" if first.trace.manifest.view == "server" else "participant"
    settings = LiveSettings(
        seed=seed,
        audit=LiveAudit(
            threat_model=view,
            properties=list(first.records.properties),
            attacks=list(attacks),
            shadows=first.shadows,
        ),
        live=told,
    )
    assert first.rules.model is not None
    return Plan(
        scenario=settings.model_dump(mode="json"),
        dataset=PlannedData(name=LISTENER, fingerprint=fingerprint(checksum_of(settings))),
        model=Origin.of(model_source(first.rules.model)),
        attacks={name: Origin.of(source_of(name)) for name in attacks},
        audit=Origin.of(own_source()),
        versions=versions(),
        commit=commit(),
        dirty=dirty(),
        device="cpu",
        ledger=ledger,
    )


def checksum_of(settings: LiveSettings) -> str:
    """Of the listener's records of all runs."""
    return hashlib.sha256(" ".join(run.sha256 for run in settings.live).encode()).hexdigest()


def judge_live(plan: Plan, runs: Sequence[LiveRun]) -> Live:
    """Join scores and truth by the round of the server.

    Raises:
        UserError: a run has fewer than :data:`LEAST` rounds of a kind.
    """
    settings = LiveSettings.of(plan)
    told = [[number for number in run.rounds if number in run.present] for run in runs]
    missed = [sorted(run.present.keys() - set(run.rounds)) for run in runs]
    for run, rounds in zip(runs, told, strict=True):
        _refuse_few(run, rounds)
    records = [
        record
        for number, run in enumerate(runs)
        for record in _records(plan, settings, number, run)
    ]
    return Live(plan, settings, records, told, missed)


def _refuse_few(run: LiveRun, rounds: Sequence[int]) -> None:
    inside = sum(run.present[number] for number in rounds)
    if min(inside, len(rounds) - inside) < LEAST:
        raise UserError(
            f"{inside} rounds with the property and {len(rounds) - inside} without are both in "
            f"trace and truth, wanted are {LEAST} of each",
            where=run.place,
            remedy="give the truth of the same run, or run more rounds",
        )


def _records(plan: Plan, settings: LiveSettings, number: int, run: LiveRun) -> Iterator[Record]:
    known = [at for at, one in enumerate(run.rounds) if one in run.present]
    facts = {
        LEFT_OUT: float(len(run.present) - len(known)),
        UNTOLD: float(len(run.rounds) - len(known)),
    }
    for name in settings.audit.properties:
        for attack in settings.audit.attacks:
            yield judge(
                plan,
                settings.live[number].cell(number, name),
                attack,
                checksum=checksum_of(settings),
                scores=[float(run.scores[name][attack][at]) for at in known],
                present=[run.present[run.rounds[at]] for at in known],
                facts=facts,
            )


def server_rounds(trace: Trace) -> list[int]:
    """[T] rounds of the server, from 1; of a trace that does not say, in order."""
    return [seen.round + 1 if seen.server_round is None else seen.server_round for seen in trace]
