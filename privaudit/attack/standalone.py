"""Properties inferred from a trace that any trainer wrote: no ground truth, only scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from privaudit.attack.adversary import MOST_SHADOWS, Adversary, AuxiliaryData
from privaudit.attack.auxiliary import read_own_records
from privaudit.attack.own_trace import OwnTrace, engine_of, open_trace
from privaudit.attack.reference import (
    LEAST,
    MadeUp,
    Standing,
    halves_of,
    made_up,
    units_held,
)
from privaudit.errors import UserError
from privaudit.observation.views import Observation
from privaudit.randomness import Seed

Show = Callable[[Sequence[tuple[MadeUp, MadeUp]]], Iterable[tuple[MadeUp, MadeUp]]]


@dataclass(frozen=True, eq=False)
class Case(OwnTrace):
    """A trace with what an adversary needs to infer properties from it.

    Attributes:
        shadows: shadow batches of each kind per round.
        references: made-up federations of each kind beside a trace whose property stays; 0 = none.
        held: records that each honest client is taken to hold; None = as many as the adversary.
    """

    game = "property"

    shadows: int = 8
    references: int = 0
    held: int | None = None

    def standings(
        self, name: str, attacks: Sequence[str], show: Show | None = None
    ) -> tuple[dict[str, list[float]], dict[str, Standing]]:
        """The scores, by attack, and where their sums stand among made-up federations.

        For a property that stays (``rules.persistent``). The attacks learn from one half of the
        records, for the other half is what the federations are made of.

        Args:
            name: of the property.
            attacks: names.
            show: wraps the federations, to show how far it is.

        Raises:
            UserError: as :meth:`scores`, or too few records for two halves.
        """
        self.refuse_unless_seen(attacks)
        own = self._own(name)
        learned, kept = halves_of(own, self.rules.batch_size, self.seed.child("halves", name))
        view = self.trace.view()
        (found,) = self._scored(name, attacks, learned, [view])
        totals: list[dict[str, tuple[float, float]]] = []
        federations = made_up(
            view,
            self.engine,
            kept,
            self.rules,
            self.seed.child("reference", name),
            self.references,
            held=units_held(own, self.held),
        )
        for pair in show(federations) if show else federations:
            without, present = self._scored(name, attacks, learned, pair)
            totals.append({a: (sum(without[a]), sum(present[a])) for a in attacks})
        standings = {
            attack: Standing(
                sum(found[attack]),
                tuple(total[attack][0] for total in totals),
                tuple(total[attack][1] for total in totals),
            )
            for attack in attacks
        }
        return found, standings

    def scores(self, name: str, attacks: Sequence[str]) -> dict[str, list[float]]:
        """Attack -> [T] scores, one per round: higher = property ``name`` more likely present.

        Raises:
            UserError: an attack is unknown, needs to see more, or fails on this trace.
        """
        self.refuse_unless_seen(attacks)
        (found,) = self._scored(name, attacks, self._own(name), [self.trace.view()])
        return found

    def _own(self, name: str) -> AuxiliaryData:
        records = self.records
        return AuxiliaryData(records.samples, records.properties[name], records.groups)

    def _scored(
        self,
        name: str,
        attacks: Sequence[str],
        own: AuxiliaryData,
        views: Sequence[Iterable[Observation]],
    ) -> list[dict[str, list[float]]]:
        """For each view, attack -> scores, by an adversary that learns from its ``own``."""
        adversary = Adversary(
            engine=self.engine,
            auxiliary=own,
            rules=self.rules,
            shadows=self.shadows,
            seed=self.seed.child("adversary", name),
        )
        return self.heard(adversary, attacks, views, name)


def open_case(
    trace_path: Path,
    auxiliary: Path,
    *,
    model: str | None = None,
    model_options: Mapping[str, Any] | None = None,
    properties: Sequence[str] = (),
    rules: Mapping[str, Any] | None = None,
    shadows: int = 8,
    seed: int = 1,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    references: int = LEAST,
    held: int | None = None,
) -> Case:
    """Read a trace and the adversary's records, and check that the model fits both.

    Args:
        trace_path: folder of the trace (docs/trace.md).
        auxiliary: .npz file (:func:`read_own_records`).
        model: bundled, or ``package.module:Class``; None = the bundled one that the trace states.
        model_options: arguments of its constructor; they go before those in the trace.
        properties: which of those in the file; empty = all.
        rules: rules of the federation (fields of :class:`privaudit.observation.rules.Rules`);
            they go before those in the trace.
        shadows: shadow batches with and without the property per round, each; at least 2.
        seed: of everything that is drawn.
        options: attack -> its options.
        references: made-up federations of each kind, at least :data:`LEAST`, where the property
            stays; 0 = scores only.
        held: records each honest client is taken to hold, at least 1; None = as many as in the
            file.

    Raises:
        UserError: something cannot be read; a rule is missing or impossible; the model is not the
            one whose parameters the trace holds, or does not take the records.
    """
    if not 2 <= shadows <= MOST_SHADOWS:
        raise UserError(f"must be 2 to {MOST_SHADOWS}, got {shadows}", where="--shadows")
    if references and references < LEAST:
        raise UserError(
            f"must be at least {LEAST}, got {references}",
            where="--references",
            remedy="0 gives scores without an answer",
        )
    if held is not None and held < 1:
        raise UserError(f"must be at least 1 record, got {held}", where="--held")
    trace, resolved, stated = open_trace(trace_path, rules or {}, model, model_options or {}, seed)
    if stated["persistent"] == "default":
        raise UserError(
            "the trace does not state whether the property stays or comes and goes",
            where=str(trace.path / "manifest.json"),
            remedy="say --set persistent=true if it is there in every round or in none (as with "
            "data that stay), --set persistent=false if it comes and goes",
        )
    records = read_own_records(auxiliary, properties, loss=resolved.local.loss)
    engine = engine_of(records, resolved, trace)
    return Case(
        trace,
        records,
        engine,
        resolved,
        stated,
        Seed(seed),
        options or {},
        shadows=shadows,
        references=references,
        held=held,
    )
