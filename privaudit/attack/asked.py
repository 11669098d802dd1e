"""Membership inferred from a trace that any trainer wrote: which of these records were in it?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from privaudit.attack.auxiliary import SEVERAL, OwnRecords, read_own_records
from privaudit.attack.membership import Candidates
from privaudit.attack.own_trace import OwnTrace, check_vocabulary, engine_of, open_trace
from privaudit.data.archive import array_names
from privaudit.data.user_checks import user_file
from privaudit.engine.engine import Engine, Samples
from privaudit.engine.local_rule import SHARED
from privaudit.errors import UserError
from privaudit.randomness import Seed

MEMBER = "member"
"""Array of the file of candidates: 1 trained on, 0 not, -1 unknown; for the judge, not the attacks.
"""


TRAINED = "trained"
"""Array of the auxiliary file: 1 where the adversary trained on the record in this federation."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Asked(OwnTrace):
    """A trace with what an adversary needs to ask about candidates.

    Attributes:
        candidates: the N records asked about.
        member: [N] int8, 1 trained on, 0 not, -1 unknown, where somebody says so; else None.
    """

    game = "membership"

    candidates: Samples
    member: np.ndarray | None = None

    def scores(self, attacks: Sequence[str]) -> dict[str, list[float]]:
        """Attack -> [N] scores, one per candidate: higher = more likely trained on.

        Raises:
            UserError: an attack is unknown, needs to see more, or fails on this trace.
        """
        trained = self.records.properties.get(TRAINED)
        given = Candidates(
            engine=self.engine,
            samples=self.candidates,
            own=self.records.samples,
            rules=self.rules,
            seed=self.seed.child("adversary", self.game),
            trained=None if trained is None else trained == 1,
        )
        self.refuse_unless_seen(attacks)
        (found,) = self.heard(given, attacks, [self.trace.view()], self.game)
        return found


def open_asked(
    trace_path: Path,
    auxiliary: Path,
    candidates: Path,
    *,
    model: str | None = None,
    model_options: Mapping[str, Any] | None = None,
    rules: Mapping[str, Any] | None = None,
    seed: int = 1,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Asked:
    """Read a trace, the adversary's records and the candidates, and check that they go together.

    Args:
        trace_path: folder of the trace (docs/trace.md).
        auxiliary: .npz file with the adversary's own records (:func:`read_own_records`).
        candidates: .npz file with ``inputs`` and ``labels`` like those, optionally ``member``.
        model: as in :func:`privaudit.attack.standalone.open_case`, and so the others.
        model_options: arguments of its constructor.
        rules: of the federation.
        seed: of everything that is drawn.
        options: attack -> its options.

    Raises:
        UserError: something cannot be read; the model is not the one of the trace, or does not take
            the records; candidates are of another kind, or among the adversary's own.
    """
    trace, resolved, stated = open_trace(trace_path, rules or {}, model, model_options or {}, seed)
    records = _records(auxiliary, TRAINED)
    if resolved.local.statistics == SHARED:
        raise UserError(
            "membership tells by models of the adversary's own, which have no shared statistics",
            where="local.statistics",
            remedy="say --set local.statistics=kept: models are then looked at by the batch",
        )
    engine = engine_of(records, resolved, trace)
    asked = _records(candidates, MEMBER)
    _check_candidates(engine, asked, records, str(candidates))
    return Asked(
        trace,
        records,
        engine,
        resolved,
        stated,
        Seed(seed),
        options or {},
        candidates=asked.samples,
        member=asked.properties.get(MEMBER),
    )


def _records(path: Path, optional: str) -> OwnRecords:
    """Records, and one array of 0 and 1 if it is there."""
    path = user_file(str(path))
    found = [optional] if optional in array_names(path) else []
    return read_own_records(path, found, needs_property=False)


def _check_candidates(engine: Engine, asked: OwnRecords, own: OwnRecords, where: str) -> None:
    """They are records like the adversary's own, none of which they are, and the model takes them.

    Raises:
        UserError: they are not.
    """
    if SEVERAL in (asked.kind, own.kind):
        raise UserError("membership is asked of records with one array of inputs", where=where)
    shapes = [list(one.samples.inputs.shape[1:]) for one in (asked, own)]
    if asked.kind != own.kind or shapes[0] != shapes[1]:
        raise UserError(
            f"a candidate is {asked.kind} of shape {shapes[0]}, an auxiliary record {own.kind} of "
            f"shape {shapes[1]}",
            where=where,
            remedy="give both as the federation's model takes them",
        )
    if len(asked.samples) < 2:
        raise UserError("holds one candidate, and nothing to compare it with", where=where)
    check_vocabulary(engine, asked, where)
    known = {row: number for number, row in enumerate(_rows(own.samples))}
    both = [(n, known[row]) for n, row in enumerate(_rows(asked.samples)) if row in known]
    if both:
        first, own_one = both[0]
        raise UserError(
            f"{len(both)} of {len(asked.samples)} candidates are among the adversary's own records "
            f"(candidate {first + 1} is auxiliary record {own_one + 1})",
            where=where,
            remedy="leave them out here or there: what the adversary holds it need not ask about",
        )
    try:
        engine.log_odds(engine.initial, asked.samples)
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"the model cannot be asked about the candidates: {error}",
            where=where,
            remedy="labels are the class indices of the federation's model",
        ) from error


def _rows(samples: Samples) -> list[bytes]:
    """Each record, label and all."""
    labels = samples.labels.numpy()
    return [
        row.tobytes() + label.tobytes()
        for row, label in zip(samples.inputs.numpy(), labels, strict=True)
    ]
