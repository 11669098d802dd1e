"""An attack on a trace that any trainer wrote: no scenario, no ground truth, only scores.

The adversary needs what every participant has: its own records (:mod:`.auxiliary`), the model, and
the rules of the federation. The rules come from ``about`` in the manifest of the trace; what is not
there must be said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field

from privaudit.attack.adversary import MOST_SHADOWS, Adversary, AuxiliaryData, ProtocolFacts
from privaudit.attack.auxiliary import OwnRecords, read_own_records
from privaudit.attack.protocol import Attack, fit_together, make_attack
from privaudit.attack.registry import load_attack
from privaudit.data.options import Options, parse_options
from privaudit.engine.engine import Engine
from privaudit.engine.layout import Layout
from privaudit.errors import UserError
from privaudit.federation.sharing import Sharing
from privaudit.federation.transforms import Transforms
from privaudit.models.build import InputShape, build_model
from privaudit.observation.trace import Trace
from privaudit.randomness import Seed


class Facts(Options):
    """The rules of the federation, as ``about`` of a trace or the user states them."""

    batch_size: int = Field(ge=1, description="records per batch, at least 1")
    lr: float = Field(gt=0, description="learning rate of the clients, above 0")
    participants: int = Field(ge=1, description="clients in a round, the adversary included")
    local_steps: int = Field(1, ge=1, description="batches per client and round, at least 1")
    momentum: float = Field(0.0, ge=0, lt=1, description="of the clients' SGD, in [0, 1)")
    sharing_rule: str = Field("all", description="which coordinates of a delta are shared")
    shared_fraction: float = Field(1.0, gt=0, le=1, description="how many of them, in (0, 1]")
    clip_norm: float | None = Field(None, gt=0, description="L2 norm deltas are clipped to")
    noise: float = Field(0.0, ge=0, description="deviation of the noise on each coordinate")
    property_share: float = Field(
        1.0, gt=0, le=1, description="share of a batch that has the property when present"
    )
    others: Literal["without", "natural"] = Field(
        "natural", description="without (bystanders never have the property) or natural"
    )
    persistent: bool = Field(
        False, description="true where the property is there in every round or in none"
    )

    def for_attacks(self) -> ProtocolFacts:
        """In the form that attacks are given."""
        sharing = Sharing(self.sharing_rule, self.shared_fraction)
        return ProtocolFacts(
            participants=self.participants,
            batch_size=self.batch_size,
            local_steps=self.local_steps,
            lr=self.lr,
            momentum=self.momentum,
            transforms=Transforms(self.clip_norm, self.noise, sharing),
            property_share=self.property_share,
            others=self.others,
            persistent=self.persistent,
        )


@dataclass(frozen=True, eq=False)
class Case:
    """A trace with what an adversary needs to attack it.

    Attributes:
        trace: what was seen.
        records: the adversary's own.
        engine: the model of the federation.
        facts: its rules.
        stated: rule -> ``trace``, ``option`` or ``default``: who said so.
        shadows: shadow batches of each kind per round.
        seed: of shadows and attacks.
    """

    trace: Trace
    records: OwnRecords
    engine: Engine
    facts: Facts
    stated: dict[str, str]
    shadows: int
    seed: Seed

    def scores(self, name: str, attacks: Sequence[str]) -> dict[str, list[float]]:
        """Attack -> [T] scores, one per round: higher = property ``name`` more likely present.

        Raises:
            UserError: an attack is unknown, needs to see more, or fails on this trace.
        """
        view = self.trace.view()
        made = [self._attack(attack, name) for attack in attacks]
        adversary = Adversary(
            engine=self.engine,
            auxiliary=AuxiliaryData(
                self.records.samples, self.records.properties[name], self.records.groups
            ),
            facts=self.facts.for_attacks(),
            shadows=self.shadows,
            seed=self.seed.child("adversary", name),
        )
        try:
            fit_together(made, view, adversary)
            return {attack.name: _finite(attack, len(view)) for attack in made}
        except UserError:
            raise
        except (ArithmeticError, RuntimeError, ValueError) as error:
            raise UserError(
                f"the attack failed: {type(error).__name__}: {error}",
                where=str(self.trace.path),
                remedy="check that model, records and rules are those of the federation",
            ) from error

    def _attack(self, attack: str, name: str) -> Attack:
        loaded = load_attack(attack)
        if not isinstance(self.trace.view(), loaded.view):
            raise UserError(
                f"attack '{attack}' needs the {loaded.view.name} view, the trace has the "
                f"{self.trace.manifest.view} view",
                where=str(self.trace.path),
            )
        return make_attack(loaded, {}, self.seed.child("attack", attack, name))


def open_case(
    trace_path: Path,
    auxiliary: Path,
    *,
    model: str,
    model_options: Mapping[str, Any] | None = None,
    properties: Sequence[str] = (),
    facts: Mapping[str, Any] | None = None,
    shadows: int = 8,
    seed: int = 1,
) -> Case:
    """Read a trace and the adversary's records, and check that the model fits both.

    Args:
        trace_path: folder of the trace (docs/trace.md).
        auxiliary: .npz file (:func:`read_own_records`).
        model: bundled, or ``package.module:Class``.
        model_options: arguments of its constructor.
        properties: which of those in the file; empty = all.
        facts: rules of the federation (fields of :class:`Facts`); they go before those in the
            trace.
        shadows: shadow batches with and without the property per round, each; at least 2.
        seed: of everything that is drawn.

    Raises:
        UserError: something cannot be read; a rule is missing or impossible; the model is not the
            one whose parameters the trace holds, or does not take the records.
    """
    if not 2 <= shadows <= MOST_SHADOWS:
        raise UserError(f"must be 2 to {MOST_SHADOWS}, got {shadows}", where="--shadows")
    if not 0 <= seed < 2**63:
        raise UserError(f"must be in 0 to 2**63 - 1, got {seed}", where="--seed")
    trace = Trace.open(trace_path)
    trace.check_digests()
    _check_rounds(trace)
    resolved, stated = _facts(trace, facts or {})
    records = read_own_records(auxiliary, properties)
    engine = _engine(records, model, model_options or {})
    _check_layout(engine.layout, trace)
    _check_gradient(engine, records, model)
    return Case(trace, records, engine, resolved, stated, shadows, Seed(seed))


def _check_rounds(trace: Trace) -> None:
    """Every round can be read and is finite: found before hours of work, not after."""
    for seen in trace:
        if not bool(torch.isfinite(seen.signal).all() and torch.isfinite(seen.after).all()):
            raise UserError(
                f"round {seen.round} is not finite: the federation diverged",
                where=str(trace.path),
                remedy="attack a trace that ends before it",
            )


def _facts(trace: Trace, given: Mapping[str, Any]) -> tuple[Facts, dict[str, str]]:
    about = {k: v for k, v in trace.manifest.about.items() if k in Facts.model_fields}
    about.setdefault("participants", next(iter(trace)).participants)
    needed = [name for name, field in Facts.model_fields.items() if field.is_required()]
    for name in needed:
        if name not in about and name not in given:
            raise UserError(
                f"the trace does not state '{name}' ({Facts.model_fields[name].description})",
                where=str(trace.path / "manifest.json"),
                remedy=f"say it with --set {name}=...",
            )
    where = "--set" if given else str(trace.path / "manifest.json")
    facts = parse_options(Facts, {**about, **given}, where=where)
    facts.for_attacks()  # an unknown sharing rule is refused here
    stated = {
        name: "option" if name in given else "trace" if name in about else "default"
        for name in Facts.model_fields
    }
    return facts, stated


def _engine(records: OwnRecords, model: str, options: Mapping[str, Any]) -> Engine:
    inputs = records.samples.inputs
    shape = InputShape(
        kind=records.kind,
        num_classes=int(records.samples.labels.max()) + 1,
        side=inputs.shape[1] if records.kind == "image" else 0,
        vocabulary_size=int(inputs.max()) + 1 if records.kind == "text" else 0,
        features=inputs.shape[1] if records.kind == "table" else 0,
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


def _finite(attack: Attack, rounds: int) -> list[float]:
    scores = np.asarray(attack.score(), dtype=np.float64)
    if scores.shape != (rounds,) or not np.isfinite(scores).all():
        raise RuntimeError(f"'{attack.name}' gave {scores.shape} scores, or some not finite")
    return [float(score) for score in scores]
