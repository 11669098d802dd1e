"""An attack on a trace that any trainer wrote: no scenario, no ground truth, only scores.

The adversary needs what every participant has: its own records (:mod:`.auxiliary`) and the rules of
the federation, its model among them. They are in the manifest of the trace, as far as its writer
knew them; the user may state others, and must state what is needed and not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch

from privaudit.attack.adversary import MOST_SHADOWS, Adversary, AuxiliaryData
from privaudit.attack.apart import score_apart
from privaudit.attack.auxiliary import OwnRecords, read_own_records
from privaudit.attack.reference import (
    LEAST,
    MadeUp,
    Standing,
    halves_of,
    made_up,
    units_held,
)
from privaudit.attack.registry import load_attack
from privaudit.attack.scoring import Failure, Hearing, Scores, Wanted
from privaudit.engine.engine import Engine
from privaudit.engine.layout import Layout
from privaudit.errors import UserError
from privaudit.models.build import MODELS, InputShape, build_model
from privaudit.observation.rules import Rules, Speaker, resolve_rules
from privaudit.observation.trace import Trace
from privaudit.observation.views import Observation
from privaudit.randomness import Seed

Show = Callable[[Sequence[tuple[MadeUp, MadeUp]]], Iterable[tuple[MadeUp, MadeUp]]]


@dataclass(frozen=True, eq=False)
class Case:
    """A trace with what an adversary needs to attack it.

    Attributes:
        trace: what was seen.
        records: the adversary's own.
        engine: the model of the federation.
        rules: of the federation.
        stated: rule -> ``trace``, ``option`` or ``default``: who said so.
        shadows: shadow batches of each kind per round.
        seed: of shadows and attacks.
        options: attack -> its options, as far as given.
        references: made-up federations of each kind beside a trace whose property stays; 0 = none.
        held: records that each honest client is taken to hold; None = as many as the adversary.
    """

    trace: Trace
    records: OwnRecords
    engine: Engine
    rules: Rules
    stated: dict[str, Speaker]
    shadows: int
    seed: Seed
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
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
        self._refuse_unless_seen(attacks)
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
        self._refuse_unless_seen(attacks)
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
        wanted = tuple(
            Wanted(a, self.options.get(a, {}), self.seed.child("attack", a, name)) for a in attacks
        )
        found = score_apart([Hearing(adversary, wanted)] * len(views), views)
        return [self._without_failures(scores) for scores in found]

    def _without_failures(self, found: Mapping[str, Scores]) -> dict[str, list[float]]:
        scores: dict[str, list[float]] = {}
        for attack, result in found.items():
            if isinstance(result, Failure):
                raise UserError(
                    result.reason,
                    where=str(self.trace.path),
                    remedy="check that model, records and rules are those of the federation",
                )
            scores[attack] = result
        return scores

    def settings(self, attack: str) -> dict[str, tuple[Any, Speaker]]:
        """Option of an attack -> its value, and whether it was given or is the default."""
        given = self.options.get(attack, {})
        return {
            name: (given[name], "option") if name in given else (parameter.default, "default")
            for name, parameter in signature(load_attack(attack)).parameters.items()
            if name != "seed"
        }

    def _refuse_unless_seen(self, attacks: Sequence[str]) -> None:
        view = self.trace.view()
        for attack in attacks:
            needed = load_attack(attack).view
            if not isinstance(view, needed):
                raise UserError(
                    f"attack '{attack}' needs the {needed.name} view, the trace has the "
                    f"{self.trace.manifest.view} view",
                    where=str(self.trace.path),
                )


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
    if not 0 <= seed < 2**63:
        raise UserError(f"must be in 0 to 2**63 - 1, got {seed}", where="--seed")
    if references and references < LEAST:
        raise UserError(
            f"must be at least {LEAST}, got {references}",
            where="--references",
            remedy="0 gives scores without an answer",
        )
    if held is not None and held < 1:
        raise UserError(f"must be at least 1 record, got {held}", where="--held")
    trace = Trace.open(trace_path)
    trace.check_digests()
    _check_rounds(trace)
    resolved, stated = _rules(trace, rules or {}, model, model_options or {})
    assert resolved.model is not None
    if stated["persistent"] == "default":
        raise UserError(
            "the trace does not state whether the property stays or comes and goes",
            where=str(trace.path / "manifest.json"),
            remedy="say --set persistent=true if it is there in every round or in none (as with "
            "data that stay), --set persistent=false if it comes and goes",
        )
    records = read_own_records(auxiliary, properties)
    engine = _engine(records, resolved.model, resolved.model_options)
    _check_layout(engine.layout, trace)
    _check_gradient(engine, records, resolved.model)
    return Case(
        trace,
        records,
        engine,
        resolved,
        stated,
        shadows,
        Seed(seed),
        options or {},
        references,
        held,
    )


def _check_rounds(trace: Trace) -> None:
    """Every round can be read and is finite, and somebody is heard: found before hours of work."""
    heard = False
    for seen in trace:
        alone = (
            seen.own_weight == 1 or seen.contributors < 1
            if seen.target is None
            else seen.target not in seen.client_deltas
        )
        heard = heard or not alone
        if not bool(torch.isfinite(seen.signal).all() and torch.isfinite(seen.after).all()):
            raise UserError(
                f"round {seen.round} is not finite: the federation diverged",
                where=str(trace.path),
                remedy="attack a trace that ends before it",
            )
    if not heard:
        of_target = trace.manifest.target is not None
        why = "no round has the target's delta" if of_target else "own_weight is 1 in every round"
        raise UserError(
            f"{why}: the trace holds nothing of other clients",
            where=str(trace.path),
            remedy="check what was written for each round",
        )


def _rules(
    trace: Trace,
    given: Mapping[str, Any],
    model: str | None,
    options: Mapping[str, Any],
) -> tuple[Rules, dict[str, Speaker]]:
    """What the trace states and the user gives; the head count of round 0 states participants."""
    where = str(trace.path / "manifest.json")
    stated = {"participants": next(iter(trace)).participants} | trace.manifest.stated
    own = dict(given)
    if model is not None:
        own["model"] = model
    elif "model" not in own:
        _refuse_unless_bundled(stated.get("model"), where)
    if options or (model is not None and model != stated.get("model")):
        same = own.get("model") in (None, stated.get("model"))
        known = stated.get("model_options") if same else None
        own["model_options"] = (known if isinstance(known, dict) else {}) | dict(options)
    return resolve_rules(stated, own, where=where)


def _refuse_unless_bundled(model: object, where: str) -> None:
    """Code that only a trace names is not imported."""
    if model not in MODELS:
        said = f"states the model '{model}', which is not ours" if model else "states no model"
        raise UserError(
            f"the trace {said}",
            where=where,
            remedy=f"say --model {model} if you trust that code" if model else "say --model",
        )


def _engine(records: OwnRecords, model: str, options: Mapping[str, Any]) -> Engine:
    inputs = records.samples.inputs
    shape = InputShape.of(
        records.kind,
        tuple(inputs.shape),
        num_classes=int(records.samples.labels.max()) + 1,
        vocabulary_size=int(inputs.max()) + 1 if records.kind == "text" else 0,
    )
    return Engine(build_model(model, options, shape, Seed(0)))


def _check_layout(layout: Layout, trace: Trace) -> None:
    rows = [[f"{s.name} {list(s.shape)}" for s in one.slices] for one in (layout, trace.layout)]
    for number in range(max(map(len, rows))):
        ours, theirs = (row[number] if number < len(row) else "nothing" for row in rows)
        if ours != theirs:
            raise UserError(
                f"parameter {number} of the model is {ours}, of the trace {theirs}",
                where="--model",
                remedy="give the model of the federation; its arguments with --option, e.g. "
                "--option num_classes=10",
            )


def _check_gradient(engine: Engine, records: OwnRecords, model: str) -> None:
    """One gradient on two records, one of them of the last class that occurs."""
    two = np.array([0, int(records.samples.labels.argmax())])
    try:
        engine.gradients(engine.initial, records.samples, [two], Seed(0))
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"model '{model}' cannot be trained on the auxiliary records: {error}",
            where="--model",
            remedy="its forward takes a batch of inputs and gives logits [b, classes]",
        ) from error
