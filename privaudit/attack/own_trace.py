"""A trace that any trainer wrote, opened: what an attack on it needs, whatever is asked.

The adversary needs what every participant has: its own records (:mod:`.auxiliary`) and the rules of
the federation, its model among them. They are in the manifest of the trace, as far as its writer
knew them; the user may state others, and must state what is needed and not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from privaudit.attack.apart import score_apart
from privaudit.attack.auxiliary import SEVERAL, OwnRecords
from privaudit.attack.protocol import options_of_attack
from privaudit.attack.registry import load_attack
from privaudit.attack.scoring import Failure, Given, Hearing, Scores, Wanted
from privaudit.engine.engine import Engine
from privaudit.engine.layout import Layout
from privaudit.engine.local_rule import foreign_code
from privaudit.errors import UserError
from privaudit.models.build import MODELS, InputShape, build_model
from privaudit.observation.rules import Rules, Speaker, resolve_rules
from privaudit.observation.trace import Trace
from privaudit.observation.views import Observation
from privaudit.randomness import Seed


@dataclass(frozen=True, eq=False)
class OwnTrace:
    """A trace with what an adversary needs to attack it.

    Attributes:
        trace: what was seen.
        records: the adversary's own.
        engine: the model of the federation.
        rules: of the federation.
        stated: rule -> ``trace``, ``option`` or ``default``: who said so.
        seed: of all that is drawn.
        options: attack -> its options, as far as given.
    """

    game: ClassVar[str]

    trace: Trace
    records: OwnRecords
    engine: Engine
    rules: Rules
    stated: dict[str, Speaker]
    seed: Seed
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def heard(
        self, given: Given, attacks: Sequence[str], views: Sequence[Iterable[Observation]], at: str
    ) -> list[dict[str, list[float]]]:
        """For each view, attack -> scores.

        Args:
            given: what the game gives an adversary besides.
            attacks: names.
            views: the trace, or what is set beside it.
            at: names the attacks' streams.

        Raises:
            UserError: an attack fails.
        """
        wanted = tuple(
            Wanted(a, self.options.get(a, {}), self.seed.child("attack", a, at)) for a in attacks
        )
        found = score_apart([Hearing(given, wanted)] * len(views), views)
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
            o.name: (given[o.name], "option") if o.name in given else (o.default, "default")
            for o in options_of_attack(load_attack(attack))
        }

    def refuse_unless_seen(self, attacks: Sequence[str]) -> None:
        """Before anything is computed: attacks on this game, that the trace shows enough.

        Raises:
            UserError: an attack is unknown, answers another question, or needs to see more.
        """
        view = self.trace.view()
        for attack in attacks:
            loaded = load_attack(attack)
            if loaded.game != self.game:
                raise UserError(
                    f"attack '{attack}' answers the question of the game '{loaded.game}'",
                    where="--attack",
                    remedy=f"name an attack on the game '{self.game}' (privaudit list), or say "
                    f"--game {loaded.game}",
                )
            needed = loaded.view
            if not isinstance(view, needed):
                raise UserError(
                    f"attack '{attack}' needs the {needed.name} view, the trace has the "
                    f"{self.trace.manifest.view} view",
                    where=str(self.trace.path),
                )


def open_trace(
    path: Path,
    given: Mapping[str, Any],
    model: str | None,
    options: Mapping[str, Any],
    seed: int,
) -> tuple[Trace, Rules, dict[str, Speaker]]:
    """A trace that is whole and says something, and the rules of its federation.

    Args:
        path: folder of the trace (docs/trace.md).
        given: rules of the user; they go before those in the trace.
        model: bundled, or ``package.module:Class``; None = the bundled one that the trace states.
        options: arguments of its constructor; they go before those in the trace.
        seed: of what will be drawn; checked first.

    Raises:
        UserError: it cannot be read, diverged, or holds nobody else; a rule is missing or wrong.
    """
    if not 0 <= seed < 2**63:
        raise UserError(f"must be in 0 to 2**63 - 1, got {seed}", where="--seed")
    trace = Trace.open(path)
    trace.check_digests()
    _check_rounds(trace)
    rules, stated = _rules(trace, given, model, options)
    rules.local_rule.check(rounds=sum(1 for _ in trace), steps=rules.local_steps)
    return trace, rules, stated


def engine_of(records: OwnRecords, rules: Rules, trace: Trace) -> Engine:
    """The model of the federation.

    Raises:
        UserError: it is not the one whose parameters the trace holds, or does not take the records.
    """
    assert rules.model is not None
    engine = _engine(records, rules)
    _check_layout(engine.layout, trace)
    _check_frozen(engine, rules)
    _check_buffers(engine, trace)
    check_vocabulary(engine, records, "--auxiliary")
    _check_gradient(engine, records, rules.model)
    return engine


def check_vocabulary(engine: Engine, records: OwnRecords, where: str) -> None:
    """Texts have no word that the model does not know.

    Raises:
        UserError: they have; names the largest.
    """
    known = [m.num_embeddings for m in engine.model.modules() if isinstance(m, nn.Embedding)]
    if records.kind != "text" or not known:
        return
    most = int(records.samples.inputs.max())
    if most >= min(known):
        raise UserError(
            f"token ids up to {most}, the model's vocabulary has {min(known)}",
            where=where,
            remedy="number words as the federation's model does, unknown ones by its id for these",
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
        if seen.span > 1:
            raise UserError(
                f"round {seen.round} sums what was sent in {seen.span} rounds of the server",
                where=str(trace.path),
                remedy="write rounds of which both ends were seen; privaudit seal does",
            )
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
    own = _nested(given, stated)
    _refuse_foreign_code(stated, given, where)
    if model is not None:
        own["model"] = model
    elif "model" not in own:
        _refuse_unless_bundled(stated.get("model"), where)
    if options or (model is not None and model != stated.get("model")):
        same = own.get("model") in (None, stated.get("model"))
        known = stated.get("model_options") if same else None
        own["model_options"] = (known if isinstance(known, dict) else {}) | dict(options)
    return resolve_rules(stated, own, where=where)


def _nested(given: Mapping[str, Any], stated: Mapping[str, Any]) -> dict[str, Any]:
    """Rules of the user's with ``table.key`` put into the table that the trace states."""
    own: dict[str, Any] = {}
    for name, value in given.items():
        table, dot, key = name.partition(".")
        if not dot:
            own[name] = value
            continue
        known = own.get(table, stated.get(table))
        own[table] = {**(known if isinstance(known, Mapping) else {}), key: value}
    return own


def _refuse_foreign_code(stated: Mapping[str, Any], given: Mapping[str, Any], where: str) -> None:
    """As with the model: a loss or an update that only a trace names is not imported."""
    table = stated.get("local")
    if not isinstance(table, Mapping) or "local" in given:
        return
    for name in foreign_code(table):
        if f"local.{name}" not in given:
            raise UserError(
                f"the trace states {name} '{table[name]}', which is not ours",
                where=where,
                remedy=f"say --set local.{name}={table[name]} if you trust that code",
            )


def _refuse_unless_bundled(model: object, where: str) -> None:
    """Code that only a trace names is not imported."""
    if model not in MODELS:
        said = f"states the model '{model}', which is not ours" if model else "states no model"
        raise UserError(
            f"the trace {said}",
            where=where,
            remedy=f"say --model {model} if you trust that code" if model else "say --model",
        )


def _engine(records: OwnRecords, rules: Rules) -> Engine:
    assert rules.model is not None
    inputs, labels = records.samples.inputs, records.samples.labels
    outputs = labels.shape[1] if labels.dim() == 2 else 1
    if labels.dim() == 1 and not labels.is_floating_point():
        outputs = int(labels.max()) + 1
    shape = InputShape.of(
        records.kind,
        () if records.kind == SEVERAL else tuple(inputs.shape),
        num_classes=outputs,
        vocabulary_size=int(inputs.max()) + 1 if records.kind == "text" else 0,
    )
    model = build_model(rules.model, rules.model_options, shape, Seed(0))
    return Engine(model, loss=rules.local.loss, statistics=rules.local.statistics)


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


def _check_frozen(engine: Engine, rules: Rules) -> None:
    if rules.frozen is not None and engine.frozen != rules.frozen:
        ours = f"have digest {engine.frozen[:12]}..." if engine.frozen else "are not there"
        raise UserError(
            f"the model's frozen parameters {ours}, those of the federation "
            f"{rules.frozen[:12]}...: another base model",
            where="--model",
            remedy="give the model with the checkpoint that the federation started from",
        )


def _check_buffers(engine: Engine, trace: Trace) -> None:
    """Where buffers are shared, the trace has those of the model."""
    if not engine.shares_buffers:
        return
    ours = {n: list(v.shape) for n, v in engine.named_buffers(engine.initial_buffers).items()}
    theirs = {row.name: row.shape for row in trace.manifest.buffers}
    if list(ours.items()) != list(theirs.items()):
        raise UserError(
            f"local.statistics is shared: the model has the buffers {', '.join(ours)}, the trace "
            f"{', '.join(theirs) or 'none'}",
            where=str(trace.path / "manifest.json"),
            remedy="write them with the trace, in this order, or say --set local.statistics=kept",
        )


def _check_gradient(engine: Engine, records: OwnRecords, model: str) -> None:
    """One gradient on two records, one of them of the last class that occurs."""
    labels = records.samples.labels
    two = np.array([0, int(labels.argmax()) if labels.dim() == 1 else len(labels) - 1])
    try:
        engine.gradients(engine.initial, records.samples, [two], Seed(0))
    except UserError:  # of the loss
        raise
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"model '{model}' cannot be trained on the auxiliary records: {error}",
            where="--model",
            remedy="its forward takes a batch of inputs and gives logits [b, classes]",
        ) from error
