"""What holds for a whole trace: its manifest, and the names of its files (docs/trace.md)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from privaudit.errors import UserError, first_problem
from privaudit.observation.rules import Rules

MAX_ROUNDS = 1_000_000
"""File names have six digits."""


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
        precision: of the values of deltas: ``single`` (float32) or ``half`` (bfloat16).
        quantum: absolute rounding step of the averaged delta; 0 = it was not rounded.
        buffers: what is sent out besides the parameters, by name and shape, in the order of the
            flat vector of them.
        rules: what a participant knows beforehand, the fields of
            :class:`privaudit.observation.rules.Rules` as far as the writer knew them; None =
            nothing was stated.
        about: free-form facts; rules among them are read where ``rules`` does not state them.
        rounds: number of rounds; None while the trace is being written or after a crash.
        sha256: digest of every file of a finished trace.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["privaudit-trace"] = "privaudit-trace"
    version: Literal[1, 2] = 2
    view: Literal["participant", "server"] = "participant"
    layout: list[LayoutRow]
    target: int | None = None
    precision: Literal["single", "half"] = "single"
    quantum: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    buffers: list[LayoutRow] = Field(default_factory=list)
    rules: dict[str, Any] | None = None
    about: dict[str, Any] = Field(default_factory=dict)
    rounds: Annotated[int, Field(ge=0, le=MAX_ROUNDS)] | None = None
    sha256: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [row.name for row in self.layout]
        if len(set(names)) < len(names) or not any(math.prod(row.shape) for row in self.layout):
            raise ValueError("layout names a tensor twice, or no parameters at all")
        if (self.view == "server") != (self.target is not None):
            raise ValueError("target must be there under the server view, and only there")
        if len({row.name for row in self.buffers}) < len(self.buffers):
            raise ValueError("buffers name a tensor twice")
        if self.version == 1 and (self.quantum or self.buffers):
            raise ValueError("version 1 has neither quantum nor buffers")
        if self.rounds is not None and set(self.sha256) != file_names(self.rounds):
            raise ValueError(f"sha256 does not name the files of a trace of {self.rounds} rounds")
        return self

    @model_serializer(mode="wrap")
    def _as_short_as_it_is(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        table: dict[str, Any] = handler(self)
        for name in ("rules", "quantum", "buffers"):
            if table[name] in (None, 0.0, []):
                del table[name]
        return table

    @property
    def size_of_buffers(self) -> int:
        """How many values there are in all of them."""
        return sum(math.prod(row.shape) for row in self.buffers)

    @property
    def stated(self) -> dict[str, Any]:
        """Rules of the federation, by name, as far as they are stated."""
        old = {name: value for name, value in self.about.items() if name in Rules.model_fields}
        return old | (self.rules or {})


def whole_rounds(path: Path) -> int:
    """How many files of rounds there are in a trace's folder, from the first without a gap."""
    found = 0
    while (path / round_file(found)).is_file():
        found += 1
    return found


def file_names(rounds: int) -> set[str]:
    """Of a trace of this many rounds, the manifest left out."""
    return {"initial.safetensors", *(round_file(number) for number in range(rounds))}


def round_file(number: int) -> str:
    """The name of a round's file."""
    return f"round-{number:06d}.safetensors"


def read_manifest(path: Path) -> Manifest:
    """The manifest of the trace in this folder.

    Raises:
        UserError: there is none, or it cannot be read, or it contradicts itself.
    """
    file = path / "manifest.json"
    try:
        if file.exists() and not file.is_file():  # a pipe would be waited for
            raise OSError("not a file")
        return Manifest.model_validate_json(file.read_bytes())
    except OSError as error:
        raise UserError(
            f"no trace: {error.strerror or error}", where=str(file), remedy="see docs/trace.md"
        ) from error
    except ValidationError as error:
        raise UserError(
            f"not a trace manifest: {first_problem(error)}",
            where=str(file),
            remedy="see docs/trace.md",
        ) from error
