"""A trace of what a tap saw: ``privaudit seal``.

A round of the server can be told where the global model was seen both before and after it. A node
that is not asked in every round, was killed, or hears of the last round no more, leaves gaps: they
are left out, each told round says which round of the server it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from privaudit.errors import UserError
from privaudit.observation.rules import check_stated
from privaudit.observation.trace import TraceWriter
from privaudit.taps.journal import Head, Journal


@dataclass(frozen=True)
class Sealed:
    """What became of a journal.

    Attributes:
        path: of the trace.
        rounds: rounds of the server that are in it, counted from 1.
        own: those of them in which the node sent something.
        lost: rounds in which it sent something that are not in it.
        assumed: what nobody told the node, in sentences.
        notes: what the tap could not keep, in sentences.
    """

    path: Path
    rounds: tuple[int, ...]
    own: tuple[int, ...]
    lost: tuple[int, ...]
    assumed: tuple[str, ...]
    notes: tuple[str, ...]


def seal(
    journal: Path | str,
    trace: Path | str,
    *,
    participants: int,
    total_examples: float | None = None,
    own_weight: float | None = None,
    server_lr: float = 1.0,
    rules: Mapping[str, Any] | None = None,
) -> Sealed:
    """Make a trace of what a node saw.

    Args:
        journal: folder of one run of a tap.
        trace: folder to create.
        participants: K, clients whose deltas the server averages in a round.
        total_examples: of all of them; what the node sent counts by its share of them.
        own_weight: the node's share c_n / c itself; at most one of the two. None of both: it is
            assumed to be 1 / K, which the trace says.
        server_lr: what the server multiplies the averaged delta with.
        rules: what is known of the federation; goes before what the tap was told.

    Raises:
        UserError: no journal, damaged files, a rule that does not exist, no round of which both
            ends were seen, or a weight outside (0, 1].
    """
    source = Journal(journal)
    head = source.head()
    known = dict(head.rules) | {"participants": participants} | dict(rules or {})
    check_stated(known, where="--set")
    weigh = _Weight(participants, total_examples, own_weight)
    seen, sent = source.numbers("seen"), source.numbers("sent")
    told = [number for number in seen if number + 1 in set(seen)]
    if not told:
        notes = source.notes()
        raise UserError(
            f"no round of which both ends were seen ({len(seen)} sightings)"
            + (f"; {notes[0]}" if notes else ""),
            where=str(journal),
            remedy="let the server evaluate on all nodes (fraction_evaluate=1), so that each is "
            "sent the model after every round",
        )
    if server_lr <= 0:
        raise UserError(f"must be above 0, got {server_lr}", where="--server-lr")
    place = _empty(Path(trace))
    with TemporaryDirectory(dir=place.parent, prefix=f".{place.name}.") as half:
        guessed = _write(Path(half) / "trace", source, head, told, known, weigh, server_lr)
        (Path(half) / "trace").replace(place)
    own = [number + 1 for number in told if number + 1 in set(sent)]
    lost = tuple(number for number in sent if number not in set(own))
    assumed = _assumed(guessed, server_lr)
    return Sealed(
        place,
        tuple(number + 1 for number in told),
        tuple(own),
        lost,
        tuple(assumed),
        tuple(source.notes()),
    )


def _empty(place: Path) -> Path:
    """The place of a new trace.

    Raises:
        UserError: something is there.
    """
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise UserError(f"trace folder '{place}' is not empty", remedy="choose another folder")
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def _write(
    place: Path,
    source: Journal,
    head: Head,
    told: Sequence[int],
    rules: Mapping[str, Any],
    weigh: _Weight,
    server_lr: float,
) -> int:
    """All rounds, each read when it is written: memory does not grow with them.

    Returns:
        In how many of them the node's weight is a guess.
    """
    start, _ = source.read("seen", told[0])
    _fits(start, head, source, told[0])
    about = dict(head.about) | {"run": head.run}
    layout, buffers = head.shape.layout, _buffers(start, head)
    with TraceWriter(
        place, start["parameters"], layout, rules=rules, about=about, buffers=buffers
    ) as writer:
        last, guessed = told[0], 0
        for number in told:
            guessed += not _tell(
                writer, source, head, number, weigh, server_lr, jumped=number != last
            )
            last = number + 1
    return guessed


@dataclass(frozen=True)
class _Weight:
    participants: int
    total: float | None
    own: float | None

    def __post_init__(self) -> None:
        if self.participants < 2:
            raise UserError(f"must be at least 2, got {self.participants}", where="--participants")
        if self.total is not None and self.own is not None:
            raise UserError(
                "both say what the node counts for",
                where="--total-examples, --own-weight",
                remedy="give one of them",
            )
        if self.own is not None and not 0 < self.own <= 1:
            raise UserError(f"must be in (0, 1], got {self.own}", where="--own-weight")
        if self.total is not None and not self.total > 0:
            raise UserError(f"must be above 0, got {self.total}", where="--total-examples")

    def of(self, examples: float | None) -> tuple[float, bool]:
        """The node's share in a round in which it sent something, and whether that is known."""
        if self.own is not None:
            return self.own, True
        if self.total is not None and examples is not None:
            if examples > self.total:
                raise UserError(
                    f"the node alone has {examples:g} examples, all of them {self.total:g}",
                    where="--total-examples",
                )
            return examples / self.total, True
        return 1 / self.participants, False


def _assumed(guessed: int, server_lr: float) -> list[str]:
    found = []
    if guessed:
        found.append(
            f"the node's weight in the average is 1 / participants, in {guessed} rounds "
            "(--total-examples says it where the node tells how many it has, or --own-weight)"
        )
    if server_lr != 1.0:
        return found
    return [
        *found,
        "the server adds the average of what it is sent to the model and nothing else (FedAvg); "
        "with a learning rate of its own say --server-lr",
    ]


def _tell(
    writer: TraceWriter,
    source: Journal,
    head: Head,
    number: int,
    weigh: _Weight,
    server_lr: float,
    *,
    jumped: bool,
) -> bool:
    """One round of the server, before which there were ``number``; is the node's weight known?"""
    before, _ = source.read("seen", number)
    after, _ = source.read("seen", number + 1)
    for state, at in ((before, number), (after, number + 1)):
        _fits(state, head, source, at)
    own, weight, known = torch.zeros_like(before["parameters"]), 0.0, True
    own_buffers = None
    if number + 1 in set(source.numbers("sent")):
        mine, examples = source.read("sent", number + 1)
        _fits(mine, head, source, number + 1)
        own = mine["parameters"] - before["parameters"]
        own_buffers = _buffers(mine, head)
        weight, known = weigh.of(examples)
    writer.append(
        (after["parameters"] - before["parameters"]) / server_lr,
        own,
        own_weight=weight,
        participants=weigh.participants,
        before=before["parameters"] if jumped else None,
        after=after["parameters"],
        server_round=number + 1,
        own_weight_known=known,
        buffers=_buffers(after, head),
        own_buffers=own_buffers,
    )
    return known


def _buffers(state: Mapping[str, Tensor], head: Head) -> dict[str, Tensor] | None:
    """By name and in shape."""
    if not head.buffers:
        return None
    found, at = {}, 0
    for name, shape in head.buffers:
        size = int(torch.Size(shape).numel())
        found[name] = state["buffers"][at : at + size].reshape(shape)
        at += size
    return found


def _fits(state: Mapping[str, Tensor], head: Head, source: Journal, number: int) -> None:
    sizes = {"parameters": head.parameters} | ({"buffers": head.buffers} if head.buffers else {})
    for name, rows in sizes.items():
        size = sum(int(torch.Size(shape).numel()) for _, shape in rows)
        if name not in state or state[name].shape != (size,):
            raise UserError(
                f"sighting {number} has no '{name}' of {size} values",
                where=str(source.path),
                remedy="remove the damaged file",
            )
