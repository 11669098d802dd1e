"""Taps for Flower (flwr 1.42): what a node or the server sees of a federation (docs/live.md).

A tap passes every message through as it is. What it cannot keep it notes in the journal and in the
log; it never stops the federation. Put it first in ``mods``: then it sees what leaves the node,
after clipping and noise; but after ``secaggplus_mod``, outside of which vectors are masked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from privaudit.errors import UserError
from privaudit.observation.trace import TraceWriter
from privaudit.taps.journal import Journal
from privaudit.taps.state import Shape, StrangeStateError

try:
    from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MessageType, MetricRecord
    from flwr.serverapp import Grid
    from flwr.serverapp.strategy import Result, Strategy
except ImportError as error:
    raise UserError(
        "Flower is not installed",
        where="privaudit.taps.flower",
        remedy="pip install 'privaudit[flower]'",
    ) from error

FOLDER, PARTITION = "privaudit-tap", "privaudit-tap-partition"
"""In a node's configuration the folder for its journals, which switches the tap on. In a simulation
nodes have no configuration of their own: there both keys are of the run's."""
ROUNDS = ("server-round", "server_round")
EXAMPLES = ("num-examples", "num_examples")
MASKED = "secaggplus_configs"
"""The record that SecAgg+ puts into each of its messages."""

LOG = logging.getLogger(__name__)
Mod = Callable[[Message, Context, Callable[[Message, Context], Message]], Message]
TARGET = 1
"""The number of the client of interest in a server's trace; the others count on from there."""


def participant_tap(
    *,
    names: Sequence[str] | None = None,
    parameters: Sequence[str] | None = None,
    rules: Mapping[str, str] | None = None,
) -> Mod:
    """A client mod that keeps what one node is sent and sends, in ``DIR/run-ID``.

    It is off unless the node's operator switches it on (``flower-supernode --node-config
    'privaudit-tap="DIR"'``). In a simulation nodes have no configuration of their own: there the
    run's says which partition listens (``flwr run --run-config 'privaudit-tap="DIR"
    privaudit-tap-partition=0'``).

    Args:
        names: of all tensors, in the order they are sent in, for apps that send them without names
            (``NumPyClient``): ``list(model.state_dict())``.
        parameters: names of those that are trained (``named_parameters()``); None = all floating
            point tensors but the statistics of normalisation layers.
        rules: rule of :class:`privaudit.observation.rules.Rules` -> key of the run's or the
            round's configuration that holds it, e.g. ``{"lr": "learning-rate"}``.
    """

    def tap(
        message: Message, context: Context, call_next: Callable[[Message, Context], Message]
    ) -> Message:
        folder = _switched_on(context)
        if folder is None:
            return call_next(message, context)
        journal = Journal(folder / f"run-{context.run_id}")
        listener = _Listener(journal, names, parameters, dict(rules or {}))
        with _Careful(journal):
            listener.received(message, context)
        reply = call_next(message, context)
        with _Careful(journal):
            listener.replied(message, reply)
        return reply

    return tap


def _switched_on(context: Context) -> Path | None:
    """Where to keep the journals of this node; None = nothing is kept."""
    own, run = context.node_config, context.run_config
    if FOLDER in own:
        return Path(str(own[FOLDER]))
    listens = FOLDER in run and PARTITION in run and own.get("partition-id") == run[PARTITION]
    return Path(str(run[FOLDER])) if listens else None


class _Careful:
    """Around what the tap does itself: nothing of it may stop the federation."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, Exception):
            return False
        what = (
            str(error)
            if isinstance(error, StrangeStateError)
            else f"{type(error).__name__}: {error}"
        )
        LOG.warning("privaudit: not kept: %s", what)
        try:
            self._journal.note(what)
        except OSError:
            LOG.warning("privaudit: nor can it be noted in %s", self._journal.path)
        return True


class _Listener:
    """What one node keeps of one message and of its reply."""

    def __init__(
        self,
        journal: Journal,
        names: Sequence[str] | None,
        parameters: Sequence[str] | None,
        rules: Mapping[str, str],
    ) -> None:
        self._journal, self._names = journal, names
        self._parameters, self._rules = parameters, rules

    def received(self, message: Message, context: Context) -> None:
        """``train`` of round r carries the model before it, ``evaluate`` of r the one after it."""
        kind, number = _kind(message), _round(message)
        state = _state(message, self._names)
        if kind is None or number is None or state is None:
            return
        told = {
            key: value for c in message.content.config_records.values() for key, value in c.items()
        }
        told = dict(context.run_config) | told
        shape = self._journal.begin(
            state,
            run=str(context.run_id),
            parameters=self._parameters,
            rules={rule: told[key] for rule, key in self._rules.items() if key in told},
            about={"framework": "flower", "node": str(context.node_id)},
        )
        before = number - 1 if kind == MessageType.TRAIN else number
        self._journal.keep("seen", before, shape.flat(state))

    def replied(self, message: Message, reply: Message) -> None:
        """What the node sent, in a round of training."""
        if _kind(message) != MessageType.TRAIN or reply.has_error():
            return
        if MASKED in reply.content.config_records:
            raise StrangeStateError(
                "vectors are masked by SecAgg+: put the tap after secaggplus_mod in mods"
            )
        number, state = _round(message), _state(reply, self._names)
        if number is not None and state is not None:
            shape = self._journal.head().shape
            self._journal.keep("sent", number, shape.flat(state), _examples(reply))


def _kind(message: Message) -> str | None:
    kind = message.metadata.message_type.split(".")[0]
    return kind if kind in (MessageType.TRAIN, MessageType.EVALUATE) else None


def _round(message: Message) -> int | None:
    """Of the server, from 1."""
    for config in message.content.config_records.values():
        for key in ROUNDS:
            if key in config:
                return int(config[key])
    group = message.metadata.group_id
    return int(group) if group.isdigit() else None


def _state(message: Message, names: Sequence[str] | None = None) -> dict[str, Tensor] | None:
    """The model in a message; None where there is none."""
    records = [record for record in message.content.array_records.values() if len(record)]
    if not records:
        return None
    if len(records) > 1:
        raise StrangeStateError(
            f"{len(records)} records of arrays in a message: which is the model?"
        )
    return _tensors(records[0], names)


def _tensors(record: ArrayRecord, names: Sequence[str] | None = None) -> dict[str, Tensor]:
    arrays = {name: torch.from_numpy(array.numpy()) for name, array in record.items()}
    if names is None or not all(name.isdigit() for name in arrays):
        return arrays
    if len(names) != len(arrays):
        raise StrangeStateError(f"{len(arrays)} tensors are sent, there are {len(names)} names")
    return dict(zip(names, arrays.values(), strict=True))


def _examples(message: Message) -> float | None:
    for metrics in message.content.metric_records.values():
        for key in EXAMPLES:
            if key in metrics:
                return float(metrics[key])
    return None


class ServerTap(Strategy):
    """A strategy that writes a trace of another; see :func:`server_tap`."""

    def __init__(
        self,
        inner: Strategy,
        trace: Path,
        view: Literal["server", "sum"],
        target: Callable[[Message], bool],
        parameters: Sequence[str] | None,
        rules: Mapping[str, Any],
    ) -> None:
        self.inner = inner
        self._trace, self._view, self._target = trace, view, target
        self._parameters, self._rules = parameters, dict(rules)
        self._writer: TraceWriter | None = None
        self._shape: Shape | None = None
        self._before: dict[str, Tensor] = {}
        self._clients: dict[int, int] = {}
        self._broken = False

    def start(self, *args: Any, **settings: Any) -> Result:
        """The whole federation; the trace is closed when it ends."""
        try:
            return super().start(*args, **settings)
        finally:
            if self._writer is not None:
                self._writer.close()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Keep the model that a round starts from."""
        self._guarded(lambda: self._begin(arrays))
        return self.inner.configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Write the round."""
        answers = list(replies)  # they may come from a generator, which is used up
        good: list[tuple[Message, dict[str, Tensor], float]] = []
        self._guarded(lambda: good.extend(_deltas(answers, self._before)))
        arrays, metrics = self.inner.aggregate_train(server_round, answers)
        if arrays is not None and good:
            after = arrays
            self._guarded(lambda: self._tell(server_round, good, after))
        return arrays, metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """As the other strategy does."""
        return self.inner.configure_evaluate(server_round, arrays, config, grid)

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """As the other strategy does."""
        return self.inner.aggregate_evaluate(server_round, replies)

    def summary(self) -> None:
        """As the other strategy does."""
        self.inner.summary()

    def _guarded(self, what: Callable[[], None]) -> None:
        if self._broken:
            return
        try:
            what()
        except Exception as error:
            self._broken = True
            LOG.warning("privaudit: no more is written to %s: %s", self._trace, error)

    def _begin(self, arrays: ArrayRecord) -> None:
        self._before = _tensors(arrays)
        if self._writer is not None:
            return
        self._shape = Shape.of(self._before, self._parameters)
        start = self._shape.flat(self._before)
        single = self._view == "server"
        self._writer = TraceWriter(
            self._trace,
            start["parameters"],
            self._shape.layout,
            view="server" if single else "participant",
            target=TARGET if single else None,
            rules=self._rules,
            about={"framework": "flower"},
            buffers={name: self._before[name] for name, _ in self._shape.buffers},
        )

    def _tell(
        self,
        server_round: int,
        good: Sequence[tuple[Message, dict[str, Tensor], float]],
        arrays: ArrayRecord,
    ) -> None:
        assert self._writer is not None
        assert self._shape is not None
        after = _tensors(arrays)
        start, end = self._shape.flat(self._before), self._shape.flat(after)
        total = sum(examples for _, _, examples in good)
        deltas: dict[int, Tensor] = {}
        weights: dict[int, float] = {}
        for message, state, examples in good:
            client = self._number(message)
            deltas[client] = self._shape.flat(state)["parameters"] - start["parameters"]
            weights[client] = examples / total
        mean = torch.zeros_like(start["parameters"])
        for client, delta in deltas.items():
            mean = mean + weights[client] * delta
        single = self._view == "server"
        self._writer.append(
            mean,
            torch.zeros_like(mean),
            own_weight=0.0,
            participants=len(deltas),
            client_deltas=deltas if single else None,
            client_weights=weights if single else None,
            after=end["parameters"],
            server_round=server_round,
            buffers={name: after[name] for name, _ in self._shape.buffers},
        )

    def _number(self, message: Message) -> int:
        """Nodes have 64-bit numbers; here the target is client 1, the others follow."""
        node = message.metadata.src_node_id
        if node not in self._clients:
            others = len(set(self._clients.values()) - {TARGET})
            self._clients[node] = TARGET if self._target(message) else TARGET + 1 + others
        return self._clients[node]


def _deltas(
    replies: Sequence[Message], before: Mapping[str, Tensor]
) -> list[tuple[Message, dict[str, Tensor], float]]:
    """Replies that hold a model, their models, and what they count for."""
    found = []
    for reply in replies:
        state = None if reply.has_error() else _state(reply)
        if state is not None:
            found.append((reply, state, _examples(reply) or 1.0))
    return found


def server_tap(
    strategy: Strategy,
    trace: Path | str,
    *,
    view: Literal["server", "sum"] = "sum",
    target: int | Callable[[Message], bool] | None = None,
    parameters: Sequence[str] | None = None,
    rules: Mapping[str, Any] | None = None,
) -> ServerTap:
    """A strategy that does what ``strategy`` does and writes a trace of what the server sees.

    Args:
        strategy: any; ``start`` of the result runs the federation and closes the trace.
        trace: folder to create.
        view: ``server``: each client's delta, for an honest-but-curious server; ``sum``: their
            weighted average alone, what a server sees under secure aggregation.
        target: under ``server`` the client of interest: its node id, or what says of a reply that
            it is its.
        parameters: names of those that are trained; None = all floating point tensors but the
            statistics of normalisation layers.
        rules: what is known of the federation (:class:`privaudit.observation.rules.Rules`).

    Raises:
        UserError: a target is missing, or there is one and nobody is looked at alone.
    """
    if (view == "server") != (target is not None):
        raise UserError(
            "the server view is about one client, the sum about none",
            where=f"server_tap(view={view!r}, target={target!r})",
            remedy="give both, view='server' and target=NODE_ID, or neither",
        )
    is_target = target if callable(target) else lambda reply: reply.metadata.src_node_id == target
    return ServerTap(strategy, Path(trace), view, is_target, parameters, rules or {})
