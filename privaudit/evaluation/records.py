"""Records: one JSON line per run, cell and attack; the result of a run, never changed afterwards.

A record holds no times and no host names, so the same scenario and seed give the same bytes on the
same machine; times are in ``timings.jsonl``.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any, Literal

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from privaudit.accounting.claims import Ceiling, Claim
from privaudit.errors import UserError, first_problem
from privaudit.evaluation.rebuilding import Rebuilt
from privaudit.federation.schedule import stretches, targets_of
from privaudit.scenario.schema import RECONSTRUCTION, colluding
from privaudit.statistics.pools import Holdings
from privaudit.statistics.runs import RunScores, complete_pairs


class Metric(BaseModel):
    """A number with its 95 % interval; ``n`` is the number of rounds behind it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: float
    low: float
    high: float
    n: int
    method: str


class Record(BaseModel):
    """One attack on one federation.

    Attributes:
        scenario: name of the scenario.
        configuration: the resolved scenario.
        dataset: name and checksum.
        versions: of Python, torch, privaudit, ...
        commit: of the source tree, null outside a checkout.
        dirty: whether that tree had changes that are in no commit; null where it is not known.
        model_source: distribution, version and source digest of the model's code; empty in records
            of before plans were kept.
        attack_source: the same of the attack's code.
        run: 0-based federation run; ``seed`` is the root seed of the scenario.
        game: what was asked (:mod:`privaudit.games`).
        property: private property that was inferred; in another game its name.
        rule: sharing rule, ``all`` at fraction 1.
        fraction: shared fraction, in (0, 1].
        participants: K.
        attack: name of the attack.
        view: threat model.
        status: ``ok``, or ``failed`` with a ``reason``.
        chance: value of the AUC for a blind guess.
        metrics: by name; null where this run alone does not allow one.
        scores: [T], one per audited round; in the game membership one per candidate.
        present: [T], the ground truth.
        facts: what a reader needs beside the result, by name (``Game.facts``).
        defence: name of the defence, empty where there was none.
        claim: what it promises; null where it is no matter of promises.
        ceiling: what no attack can exceed while the claim is true; null where nothing is known.
        rebuilt: in the game reconstruction what was rebuilt; then ``scores`` are its diagonal.
        holdings: what the target drew from (where targets rotate, each of them); null in records
            of before it was written down.
        pair: the federation that this run is one of two states of; null where it is one by itself.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    scenario: str
    configuration: dict[str, Any]
    dataset: dict[str, str]
    versions: dict[str, str]
    commit: str | None
    dirty: bool | None = None
    model_source: dict[str, str] = {}
    attack_source: dict[str, str] = {}
    run: int
    seed: int
    game: str = "property"
    property: str
    rule: str
    fraction: float
    participants: int
    attack: str
    view: str
    status: Literal["ok", "failed"]
    reason: str = ""
    chance: float = 0.5
    metrics: dict[str, Metric | None] = {}
    scores: list[float] = []
    present: list[bool] = []
    facts: dict[str, float] = {}
    holdings: Holdings | list[Holdings] | None = None
    pair: int | None = None
    rebuilt: Rebuilt | None = None
    defence: str = ""
    claim: Claim | None = None
    ceiling: Ceiling | None = None

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        table: dict[str, Any] = handler(self)
        for name in ("rebuilt", "defence", "claim", "ceiling"):
            if not table[name]:
                del table[name]
        return table

    @cached_property
    def is_rebuilding(self) -> bool:
        """Whether it is of the game reconstruction, which has no AUC."""
        return self.game == RECONSTRUCTION

    def run_scores(self) -> RunScores:
        """What statistics work on, of a record that is ``ok``."""
        by_round = self.game == "property"
        targets = targets_in(self.configuration, self.participants) if by_round else None
        possible = possible_in(self.configuration) if by_round else None
        return RunScores(
            np.array(self.scores), np.array(self.present), self.pair, targets, possible
        )

    def held(self) -> list[Holdings]:
        """What each target drew from; empty where nobody wrote it down."""
        if self.holdings is None:
            return []
        return self.holdings if isinstance(self.holdings, list) else [self.holdings]


def targets_in(configuration: dict[str, Any], participants: int) -> np.ndarray | None:
    """[T] whose records each round was about, where targets rotate; None where there is one.

    Args:
        configuration: the resolved scenario; of before rotation was a setting it has no word of it.
        participants: K.
    """
    audit = configuration["audit"]
    if audit.get("targets") != "rotate":
        return None
    return targets_of(audit["rounds"], participants, rotate=True)


def colluders_in(configuration: dict[str, Any], participants: int) -> int:
    """How many of so many participants collude with the adversary; 0 where nobody said so."""
    return colluding(configuration["audit"].get("colluders", 0), participants)


def possible_in(configuration: dict[str, Any]) -> np.ndarray | None:
    """[S, T] the stretches of rounds that may hold the property; None where it is in no stretch."""
    audit = configuration["audit"]
    if audit.get("schedule") != "episodes":
        return None
    return stretches(audit["rounds"], audit.get("episode"))


def with_scores(records: Iterable[Record]) -> list[Record]:
    """Those that an AUC is computed of, in the order of their runs.

    Where each federation is there in both states, one whose other state failed is left out; where
    the property appears in half of the runs, the others are.
    """
    good = sorted((r for r in records if r.status == "ok"), key=lambda record: record.run)
    if good and possible_in(good[0].configuration) is not None:
        good = [record for record in good if any(record.present)]
    runs = [record.run_scores() for record in good]
    whole = {id(run) for run in complete_pairs(runs)}
    return [record for record, run in zip(good, runs, strict=True) if id(run) in whole]


def parse_records(rows: list[dict[str, Any]], *, where: str) -> list[Record]:
    """Records from parsed JSON lines.

    Raises:
        UserError: a line is not a record; names the line.
    """
    records = []
    for number, row in enumerate(rows, start=1):
        try:
            records.append(Record.model_validate(row))
        except ValidationError as error:
            raise UserError(
                f"line {number} is not a record: {first_problem(error)}", where=where
            ) from error
    return records
