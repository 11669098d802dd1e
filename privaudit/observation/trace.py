"""The trace: what an adversary saw, on disk, one file a round (docs/trace.md).

A trace is a folder with ``manifest.json``, ``initial.safetensors`` and one
``round-NNNNNN.safetensors`` per round. Each file appears under its name only when it is whole, so a
trace cut off by a crash is readable up to its last whole round. Anything that can write these files
can be audited.
"""

from __future__ import annotations

import hashlib
import json
import reprlib
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from privaudit.engine.files import write_tensors, write_whole
from privaudit.engine.layout import Layout
from privaudit.errors import UserError
from privaudit.observation.manifest import (
    LayoutRow,
    Manifest,
    file_names,
    read_manifest,
    round_file,
    whole_rounds,
)
from privaudit.observation.rules import Rules
from privaudit.observation.vectors import PRECISIONS, apart, is_packed, numbers, pack, unpack
from privaudit.observation.views import Observation, ParticipantView, view_named

MAX_PARTICIPANTS = 10_000_000


class TraceWriter:
    """Writes a trace round by round; memory does not grow with the rounds.

    Args:
        path: folder to create; must not exist or be empty.
        initial: [P] global parameters before the first round.
        layout: of the parameters.
        view: threat model.
        target: under the ``server`` view the client of interest.
        rules: what a participant knows beforehand: all of it, or as far as it is known, by name.
        about: anything else worth noting; JSON values.
        precision: of what is stored of deltas: ``half`` takes half the space; the global parameters
            are exact either way.
        quantum: absolute rounding step of the averaged delta, where clients or server rounded it.
        buffers: what the server sends out besides the parameters (BatchNorm statistics), as before
            the first round, by name.

    Raises:
        UserError: the folder is not empty.
    """

    def __init__(
        self,
        path: Path | str,
        initial: Tensor,
        layout: Layout,
        *,
        view: Literal["participant", "server"] = "participant",
        target: int | None = None,
        rules: Rules | Mapping[str, Any] | None = None,
        about: dict[str, Any] | None = None,
        precision: Literal["single", "half"] = "single",
        quantum: float = 0.0,
        buffers: Mapping[str, Tensor] | None = None,
    ) -> None:
        path = Path(path)
        if path.exists() and any(path.iterdir()):
            raise UserError(f"trace folder '{path}' is not empty", remedy="choose another folder")
        path.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._manifest = Manifest(
            view=view,
            layout=[LayoutRow.model_validate(row) for row in layout.to_json()],
            target=target,
            precision=precision,
            quantum=quantum,
            buffers=[
                LayoutRow(name=name, shape=list(value.shape))
                for name, value in (buffers or {}).items()
            ],
            rules=rules.model_dump(mode="json") if isinstance(rules, Rules) else rules,
            about=about or {},
        )
        self._digests: dict[str, str] = {}
        self._rounds = 0
        self._save("initial.safetensors", {"parameters": initial} | self._flat("buffers", buffers))
        self._write_manifest(self._manifest)

    @classmethod
    def resume(cls, path: Path | str) -> TraceWriter:
        """Go on with a trace that was not closed, after its last whole round (``len(writer)``).

        Raises:
            UserError: there is no trace there, it is closed, or it has no whole beginning.
        """
        path = Path(path)
        writer = cls.__new__(cls)
        writer._path, writer._manifest = path, read_manifest(path)
        if writer._manifest.rounds is not None:
            raise UserError("the trace is closed", where=str(path), remedy="write another")
        writer._rounds = whole_rounds(path)
        if writer._rounds and _is_torn(path / round_file(writer._rounds - 1)):
            writer._rounds -= 1  # the machine went down while it was on its way to the disk
        written = file_names(writer._rounds)
        for name in written:
            _load(path / name)
        writer._digests = {name: _digest(path / name) for name in sorted(written)}
        return writer

    def __len__(self) -> int:
        """Rounds that are on disk."""
        return self._rounds

    def append(
        self,
        global_delta: Tensor,
        own_delta: Tensor,
        *,
        own_weight: float,
        participants: int,
        step: Tensor | None = None,
        client_deltas: dict[int, Tensor] | None = None,
        client_weights: dict[int, float] | None = None,
        told: Mapping[str, float] | None = None,
        before: Tensor | None = None,
        after: Tensor | None = None,
        server_round: int | None = None,
        span: int = 1,
        own_weight_known: bool = True,
        buffers: Mapping[str, Tensor] | Tensor | None = None,
        own_buffers: Mapping[str, Tensor] | Tensor | None = None,
    ) -> None:
        """Add the next round (vectors [P]); it is on disk when this returns.

        ``step`` is what the global model moved by, where that is not ``global_delta``; who has the
        parameters themselves gives those ``after`` the round instead, which are kept bit for bit,
        and those ``before`` it where rounds were missed. ``told`` are numbers that the server told
        everybody when the round began. For the others see :class:`Observation`.
        """
        precision = self._manifest.precision
        if precision == "half" and step is None and after is None:
            step = global_delta  # the parameters must not drift
        tensors = {} if step is None else pack("step", step)
        exact = {"before": before, "after": after}
        tensors |= {name: vector for name, vector in exact.items() if vector is not None}
        tensors |= self._flat("buffers", buffers) | self._flat("own_buffers", own_buffers)
        deltas = {"global_delta": global_delta, "own_delta": own_delta}
        deltas |= {f"client.{client}": delta for client, delta in (client_deltas or {}).items()}
        for name, delta in deltas.items():
            tensors |= pack(name, delta, precision)
        facts = {
            "own_weight": float(own_weight),
            "participants": participants,
            "client_weights": {str(c): w for c, w in (client_weights or {}).items()},
        }
        more = {
            "told": dict(told or {}),
            "server_round": server_round,
            "span": span if span != 1 else None,
            "own_weight_known": None if own_weight_known else False,
        }
        facts |= {name: value for name, value in more.items() if value not in (None, {})}
        self._save(round_file(self._rounds), tensors, facts)
        self._rounds += 1

    def close(self) -> None:
        """Seal the trace: the manifest states the number of rounds and every file's digest."""
        self._write_manifest(
            self._manifest.model_copy(update={"rounds": self._rounds, "sha256": self._digests})
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is None:
            self.close()

    def _flat(self, name: str, buffers: Mapping[str, Tensor] | Tensor | None) -> dict[str, Tensor]:
        """Buffers as one vector, in the order of the manifest; nothing where there are none."""
        if isinstance(buffers, Tensor):
            assert buffers.shape == (self._manifest.size_of_buffers,), "in the manifest's order"
            return {name: buffers}
        if not buffers:
            return {}
        rows = self._manifest.buffers
        shapes = {key: list(value.shape) for key, value in buffers.items()}
        if shapes != {row.name: row.shape for row in rows}:
            raise UserError(
                f"'{name}' has other names or shapes than at the beginning", where=str(self._path)
            )
        return {name: torch.cat([buffers[row.name].detach().float().flatten() for row in rows])}

    def _save(
        self, name: str, tensors: dict[str, Tensor], facts: dict[str, Any] | None = None
    ) -> None:
        # One entry: the library writes several in an order that changes from call to call.
        metadata = {"round": json.dumps(facts, sort_keys=True)} if facts else None

        def write(partial: Path) -> None:
            write_tensors(partial, apart(tensors), metadata)
            self._digests[name] = _digest(partial)

        write_whole(self._path / name, write)

    def _write_manifest(self, manifest: Manifest) -> None:
        text = manifest.model_dump_json(indent=1) + "\n"
        write_whole(self._path / "manifest.json", lambda partial: partial.write_text(text))


class Trace:
    """A trace opened for reading; iterate it for :class:`Observation`, one at a time."""

    def __init__(self, path: Path, manifest: Manifest, rounds: int) -> None:
        self.path = path
        self.manifest = manifest
        self.layout = Layout.from_json([row.model_dump() for row in manifest.layout])
        self._rounds = rounds

    @classmethod
    def open(cls, path: Path | str) -> Trace:
        """Open a finished trace, or one cut off by a crash up to its last whole round.

        Raises:
            UserError: no trace there, a manifest that cannot be read or contradicts itself, a
                finished trace with files missing, or parameters that do not fit the layout.
        """
        path = Path(path)
        manifest = read_manifest(path)
        found = whole_rounds(path)
        if manifest.rounds is not None and found != manifest.rounds:
            raise UserError(
                f"trace has {found} rounds, its manifest says {manifest.rounds}",
                where=str(path),
                remedy="restore the missing files or run the scenario again",
            )
        if manifest.rounds is None and found and _is_torn(path / round_file(found - 1)):
            found -= 1  # the machine went down while the last round was on its way to the disk
        if not found:
            raise UserError("trace has no whole round", where=str(path))
        trace = cls(path, manifest, found)
        trace._initial()
        return trace

    def check_digests(self) -> None:
        """Compare every file that the manifest has a digest of.

        Raises:
            UserError: names the first file that is not what was written.
        """
        for name, digest in self.manifest.sha256.items():
            try:
                found = _digest(self.path / name)
            except (OSError, ValueError) as error:
                raise UserError(f"cannot be read: {error}", where=str(self.path / name)) from error
            if found != digest:
                raise UserError(
                    "is not what was written: its SHA-256 differs from the manifest's",
                    where=str(self.path / name),
                    remedy="restore the file",
                )

    @property
    def whole(self) -> bool:
        """False for a trace that was cut off before it was sealed."""
        return self.manifest.rounds is not None

    def view(self) -> ParticipantView:
        """The threat model this trace offers."""
        return view_named(self.manifest.view)(self)

    def __len__(self) -> int:
        return self._rounds

    def __iter__(self) -> Iterator[Observation]:
        before, handed_out = self._initial(), self._initial_buffers()
        for number in range(self._rounds):
            observation = self._read(number, before, handed_out)
            yield observation
            before, handed_out = observation.after, observation.buffers

    def _initial(self) -> Tensor:
        file = self.path / "initial.safetensors"
        parameters, size = _load(file)[0].get("parameters"), self.layout.size
        if parameters is None or parameters.shape != (size,):
            raise UserError(f"'parameters' is missing or not [{size}]", where=str(file))
        try:
            return numbers("parameters", parameters)
        except ValueError as error:
            raise UserError(str(error), where=str(file)) from error

    def _initial_buffers(self) -> Tensor | None:
        """[B] before the first round; None where there are none."""
        if not self.manifest.buffers:
            return None
        return self._buffers("buffers", _load(self.path / "initial.safetensors")[0])

    def _buffers(self, name: str, tensors: dict[str, Tensor]) -> Tensor | None:
        return unpack(name, tensors, self.manifest.size_of_buffers) if name in tensors else None

    def _read(self, number: int, before: Tensor, handed_out: Tensor | None) -> Observation:
        file = self.path / round_file(number)
        tensors, metadata = _load(file)
        try:
            facts = json.loads(metadata["round"])
            size, exact = len(before), {}
            for name in ("before", "after"):
                if name in tensors:
                    exact[name] = unpack(name, tensors, size)
            before = exact.get("before", before)
            clients = sorted(
                int(name.removeprefix("client.").split("/")[0])
                for name in tensors
                if name.startswith("client.") and not name.endswith("/values")
            )
            return Observation(
                round=number,
                before=before,
                global_delta=unpack("global_delta", tensors, len(before)),
                own_delta=unpack("own_delta", tensors, len(before)),
                own_weight=_within("own_weight", float(facts["own_weight"]), 1.0),
                participants=_head_count(facts["participants"]),
                step=unpack("step", tensors, len(before)) if is_packed("step", tensors) else None,
                client_deltas={c: unpack(f"client.{c}", tensors, len(before)) for c in clients},
                client_weights={
                    int(c): _within(f"weight of client {c}", float(w), 1.0)
                    for c, w in facts["client_weights"].items()
                },
                target=self.manifest.target,
                precision=torch.finfo(PRECISIONS[self.manifest.precision]).eps,
                told={str(n): float(v) for n, v in facts.get("told", {}).items()},
                arrived=exact.get("after"),
                server_round=_whole("server_round", facts.get("server_round"), 0),
                span=_whole("span", facts.get("span", 1), 1) or 1,
                own_weight_known=bool(facts.get("own_weight_known", True)),
                quantum=self.manifest.quantum,
                buffers=self._buffers("buffers", tensors),
                own_buffers=self._buffers("own_buffers", tensors),
                buffers_before=handed_out,
            )
        except (
            LookupError,
            ValueError,
            TypeError,
            AttributeError,
            ArithmeticError,
            RuntimeError,
        ) as error:
            raise UserError(
                f"round {number} cannot be read: {error}",
                where=str(file),
                remedy="see docs/trace.md for what a round holds",
            ) from error


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _within(name: str, value: float, high: float) -> float:
    if not 0.0 <= value <= high:
        raise ValueError(f"'{name}' is {value}, not in [0, {high:g}]")
    return value


def _whole(name: str, value: Any, least: int) -> int | None:
    if value is not None and (not isinstance(value, int) or not least <= value < 2**63):
        raise ValueError(f"'{name}' is {reprlib.repr(value)}, not a whole number from {least}")
    return value


def _head_count(value: Any) -> int:
    if not isinstance(value, int) or not 1 <= value <= MAX_PARTICIPANTS:
        raise ValueError(f"'participants' is {reprlib.repr(value)}, not 1 to {MAX_PARTICIPANTS:,}")
    return value


def _load(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        if not file.is_file():  # a pipe would be waited for
            raise OSError("not a file")
        tensors = load_file(file)
        with file.open("rb") as stream:
            header = json.loads(stream.read(struct.unpack("<Q", stream.read(8))[0]))
        return tensors, header.get("__metadata__", {})
    except (OSError, SafetensorError, ValueError, struct.error, RecursionError) as error:
        raise UserError(
            f"cannot be read: {error}", where=str(file), remedy="the file is truncated or damaged"
        ) from error


def _is_torn(file: Path) -> bool:
    try:
        _load(file)
    except UserError:
        return True
    return False
