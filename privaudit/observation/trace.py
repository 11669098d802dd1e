"""The trace: what an adversary saw, on disk, one file a round (docs/trace.md).

A trace is a folder with ``manifest.json``, ``initial.safetensors`` and one
``round-NNNNNN.safetensors`` per round. Each file appears under its name only when it is whole, so a
trace cut off by a crash is readable up to its last whole round. Anything that can write these files
can be audited.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from privaudit.engine.layout import Layout
from privaudit.errors import UserError
from privaudit.observation.views import Observation, ParticipantView, view_named


class LayoutRow(BaseModel):
    """One parameter tensor, in the order of the flat vector."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    shape: list[NonNegativeInt]


class Manifest(BaseModel):
    """What holds for the whole trace.

    Attributes:
        view: threat model, ``participant`` or ``server``.
        layout: names and shapes of the parameters, in the order of the flat vector.
        target: client of interest under the ``server`` view.
        about: free-form facts a participant knows (learning rate, batch size, ...).
        rounds: number of rounds; None while the trace is being written or after a crash.
        sha256: digest of every file of a finished trace.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["privaudit-trace"] = "privaudit-trace"
    version: Literal[1] = 1
    view: Literal["participant", "server"] = "participant"
    layout: list[LayoutRow]
    target: int | None = None
    about: dict[str, Any] = Field(default_factory=dict)
    rounds: int | None = None
    sha256: dict[str, str] = Field(default_factory=dict)


class TraceWriter:
    """Writes a trace round by round; memory does not grow with the rounds.

    Args:
        path: folder to create; must not exist or be empty.
        initial: [P] global parameters before the first round.
        layout: of the parameters.
        view: threat model.
        target: under the ``server`` view the client of interest.
        about: facts a participant knows; JSON values.

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
        about: dict[str, Any] | None = None,
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
            about=about or {},
        )
        self._digests: dict[str, str] = {}
        self._rounds = 0
        self._save("initial.safetensors", {"parameters": initial})
        self._write_manifest(self._manifest)

    def append(
        self,
        global_delta: Tensor,
        own_delta: Tensor,
        *,
        own_weight: float,
        participants: int,
        client_deltas: dict[int, Tensor] | None = None,
        client_weights: dict[int, float] | None = None,
    ) -> None:
        """Add the next round (vectors [P]); it is on disk when this returns."""
        tensors = _pack("global_delta", global_delta) | _pack("own_delta", own_delta)
        for client, delta in (client_deltas or {}).items():
            tensors |= _pack(f"client.{client}", delta)
        facts = {
            "own_weight": float(own_weight),
            "participants": participants,
            "client_weights": {str(c): w for c, w in (client_weights or {}).items()},
        }
        self._save(_round_file(self._rounds), tensors, facts)
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

    def _save(
        self, name: str, tensors: dict[str, Tensor], facts: dict[str, Any] | None = None
    ) -> None:
        partial = self._path / f"{name}.partial"
        # One entry: the library writes several in an order that changes from call to call.
        metadata = {"round": json.dumps(facts, sort_keys=True)} if facts else None
        save_file(tensors, partial, metadata=metadata)
        self._digests[name] = hashlib.sha256(partial.read_bytes()).hexdigest()
        partial.replace(self._path / name)

    def _write_manifest(self, manifest: Manifest) -> None:
        partial = self._path / "manifest.json.partial"
        partial.write_text(manifest.model_dump_json(indent=1) + "\n")
        partial.replace(self._path / "manifest.json")


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
            UserError: no trace there, unreadable manifest, or a finished trace with files missing.
        """
        path = Path(path)
        manifest = _read_manifest(path)
        found = 0
        while (path / _round_file(found)).is_file():
            found += 1
        if manifest.rounds is not None and found != manifest.rounds:
            raise UserError(
                f"trace has {found} rounds, its manifest says {manifest.rounds}",
                where=str(path),
                remedy="restore the missing files or run the scenario again",
            )
        if manifest.rounds is None and found and _is_torn(path / _round_file(found - 1)):
            found -= 1  # the machine went down while the last round was on its way to the disk
        if not found:
            raise UserError("trace has no whole round", where=str(path))
        return cls(path, manifest, found)

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
        before = _load(self.path / "initial.safetensors")[0].get("parameters")
        size = self.layout.size
        if before is None or before.shape != (size,):
            raise UserError(
                f"'parameters' is missing or not [{size}]",
                where=str(self.path / "initial.safetensors"),
            )
        for number in range(self._rounds):
            observation = self._read(number, before)
            yield observation
            before = observation.after

    def _read(self, number: int, before: Tensor) -> Observation:
        file = self.path / _round_file(number)
        tensors, metadata = _load(file)
        try:
            facts = json.loads(metadata["round"])
            clients = sorted(
                int(name.removeprefix("client.").split("/")[0])
                for name in tensors
                if name.startswith("client.") and not name.endswith("/values")
            )
            return Observation(
                round=number,
                before=before,
                global_delta=_unpack("global_delta", tensors, len(before)),
                own_delta=_unpack("own_delta", tensors, len(before)),
                own_weight=_within("own_weight", float(facts["own_weight"]), 0.0, 1.0),
                participants=int(_within("participants", facts["participants"], 1)),
                client_deltas={c: _unpack(f"client.{c}", tensors, len(before)) for c in clients},
                client_weights={int(c): float(w) for c, w in facts["client_weights"].items()},
                target=self.manifest.target,
            )
        except (LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            raise UserError(
                f"round {number} cannot be read: {error}",
                where=str(file),
                remedy="see docs/trace.md for what a round holds",
            ) from error


def _pack(name: str, vector: Tensor) -> dict[str, Tensor]:
    """A vector as it is or, where under 40 % is non-zero, as indices and values."""
    nonzero = vector.nonzero().squeeze(1)
    if len(nonzero) > 0.4 * len(vector):
        # A copy: the file format refuses tensors that share memory, and a server's list of deltas
        # holds the adversary's own once more.
        return {name: vector.clone(memory_format=torch.contiguous_format)}
    return {f"{name}/indices": nonzero.to(torch.int32), f"{name}/values": vector[nonzero]}


def _unpack(name: str, tensors: dict[str, Tensor], size: int) -> Tensor:
    if name in tensors:
        vector = tensors[name]
        if vector.shape != (size,):
            raise ValueError(f"'{name}' is {tuple(vector.shape)}, not ({size},)")
        return vector
    vector = torch.zeros(size)
    vector[tensors[f"{name}/indices"].long()] = tensors[f"{name}/values"]
    return vector


def _within(name: str, value: float, low: float, high: float = math.inf) -> float:
    if not low <= value <= high:
        raise ValueError(f"'{name}' is {value}, not in [{low:g}, {high:g}]")
    return value


def _round_file(number: int) -> str:
    return f"round-{number:06d}.safetensors"


def _load(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        tensors = load_file(file)
        with file.open("rb") as stream:
            header = json.loads(stream.read(struct.unpack("<Q", stream.read(8))[0]))
        return tensors, header.get("__metadata__", {})
    except (OSError, SafetensorError, ValueError, struct.error) as error:
        raise UserError(
            f"cannot be read: {error}", where=str(file), remedy="the file is truncated or damaged"
        ) from error


def _is_torn(file: Path) -> bool:
    try:
        _load(file)
    except UserError:
        return True
    return False


def _read_manifest(path: Path) -> Manifest:
    file = path / "manifest.json"
    try:
        return Manifest.model_validate_json(file.read_bytes())
    except OSError as error:
        raise UserError(
            f"no trace: {error.strerror or error}", where=str(file), remedy="see docs/trace.md"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(str(part) for part in first["loc"])
        raise UserError(
            f"not a trace manifest: {at} {first['msg']}",
            where=str(file),
            remedy="see docs/trace.md",
        ) from error
