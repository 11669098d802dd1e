"""The journal of a tap: one file per sighting, so that any number of processes may add to it.

A node of a live system often is a process per message, may be killed, and hears messages twice.
So a sighting is one file that appears under its name when it is whole, and is never changed::

    JOURNAL/
      journal.json                which tensors are sent, and what the node knows of the federation
      seen-NNNNNN.safetensors     the global model after N rounds of the server
      sent-NNNNNN.safetensors     what this node sent in round N, counted from 1
      note-XXXXXXXX.json          something that could not be kept, and why

:func:`privaudit.taps.sealing.seal` makes a trace of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from privaudit.engine.files import write_once, write_tensors
from privaudit.errors import UserError, first_problem
from privaudit.taps.state import Shape, StrangeStateError

HEAD = "journal.json"
Kind = Literal["seen", "sent"]
Rows = list[tuple[str, tuple[int, ...]]]


class Head(BaseModel):
    """What holds for the whole journal.

    Attributes:
        run: what the framework calls the run.
        parameters: names and shapes of the parameters, in the order of the vectors.
        buffers: of what else is sent.
        rules: what the node knows of the federation, by the names of
            :class:`privaudit.observation.rules.Rules`.
        about: anything else.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["privaudit-journal"] = "privaudit-journal"
    version: Literal[1] = 1
    run: str
    parameters: Rows
    buffers: Rows = Field(default_factory=list)
    rules: dict[str, Any] = Field(default_factory=dict)
    about: dict[str, Any] = Field(default_factory=dict)

    @property
    def shape(self) -> Shape:
        """Which tensors are sent."""
        return Shape(tuple(self.parameters), tuple(self.buffers))


class Journal:
    """Of one node in one run.

    Args:
        path: its folder; made when something is kept.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def begin(
        self,
        state: Mapping[str, Tensor],
        *,
        run: str,
        parameters: Sequence[str] | None = None,
        rules: Mapping[str, Any] | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> Shape:
        """State which tensors are sent, unless somebody has; the first one counts.

        Raises:
            StrangeStateError: of the tensors, or the journal is of another run.
        """
        if not (self.path / HEAD).is_file():
            shape = Shape.of(state, parameters)
            head = Head(
                run=run,
                parameters=list(shape.parameters),
                buffers=list(shape.buffers),
                rules=dict(rules or {}),
                about=dict(about or {}),
            )
            write_once(
                self.path / HEAD,
                lambda file: file.write_text(head.model_dump_json(indent=1) + "\n"),
            )
        head = self.head()
        if head.run != run:
            raise StrangeStateError(f"the journal is of run {head.run}, this is run {run}")
        return head.shape

    def keep(
        self, kind: Kind, number: int, tensors: Mapping[str, Tensor], examples: float | None = None
    ) -> None:
        """Keep a sighting, unless it is there: messages come twice.

        Args:
            kind: ``seen`` or ``sent``.
            number: rounds of the server before it, or the round it was sent in, from 1.
            tensors: :meth:`Shape.flat`.
            examples: how many records the node says it trained on.
        """
        metadata = {} if examples is None else {"examples": json.dumps(examples)}
        name = f"{kind}-{number:06d}.safetensors"
        write_once(self.path / name, lambda file: write_tensors(file, tensors, metadata))

    def note(self, what: str) -> None:
        """Something that could not be kept; the same thing once."""
        name = f"note-{hashlib.sha256(what.encode()).hexdigest()[:8]}.json"
        write_once(
            self.path / name, lambda file: file.write_text(json.dumps({"what": what}) + "\n")
        )

    def head(self) -> Head:
        """What holds for all of it.

        Raises:
            UserError: there is none, or it cannot be read.
        """
        file = self.path / HEAD
        try:
            return Head.model_validate_json(file.read_bytes())
        except OSError as error:
            notes = f" ({self.notes()[0]})" if self.path.is_dir() and self.notes() else ""
            raise UserError(
                f"no journal: {error.strerror or error}{notes}",
                where=str(file),
                remedy="give the folder of one run of a tap (docs/live.md)",
            ) from error
        except ValidationError as error:
            raise UserError(f"not a journal: {first_problem(error)}", where=str(file)) from error

    def numbers(self, kind: Kind) -> list[int]:
        """Of the sightings of a kind, in order."""
        files = self.path.glob(f"{kind}-*.safetensors")
        return sorted(int(n) for f in files if (n := f.stem.removeprefix(f"{kind}-")).isdigit())

    def read(self, kind: Kind, number: int) -> tuple[dict[str, Tensor], float | None]:
        """A sighting, and the examples it was sent with.

        Raises:
            UserError: it is damaged.
        """
        file = self.path / f"{kind}-{number:06d}.safetensors"
        try:
            with safe_open(file, "pt") as opened:
                tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
                examples = (opened.metadata() or {}).get("examples")
            return tensors, None if examples is None else float(json.loads(examples))
        except (OSError, SafetensorError, ValueError, TypeError) as error:
            raise UserError(
                f"cannot be read: {error}", where=str(file), remedy="remove the damaged file"
            ) from error

    def notes(self) -> list[str]:
        """What could not be kept, and why."""
        found = []
        for file in sorted(self.path.glob("note-*.json")):
            try:
                found.append(str(json.loads(file.read_text())["what"]))
            except (OSError, ValueError, LookupError, TypeError):
                found.append(f"{file.name} cannot be read")
        return found

    def _write(self, name: str, text: str) -> None:
        write_once(self.path / name, lambda file: file.write_text(text + "\n"))
