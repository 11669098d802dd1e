"""The run folder: where each stage leaves its results, and who may write there.

::

    scenario.json            the resolved scenario
    plan.json                what the results depend on: data, versions, whose code
    scenario.toml            the same, to run again: ``privaudit run RUN/scenario.toml``
    training/run-0.*         parameters after ordinary training, metrics of every round
    traces/run-0/CELL/       what the adversary saw (docs/trace.md)
    evidence/run-0/*.jsonl   hashes, verdicts and values of every round, for the ledger
    truth/run-0/CELL.json    which rounds held the property; written when all attacks are done
    scores/run-0/CELL.json   what the attacks made of it
    audited/run-0/CELL.json  how its audited rounds ended: who was heard, the last loss
    facts/run-0/CELL.json    what else a reader needs, in games that have it
    records.jsonl            scores joined with the truth: the result
    remarks.json             what a reader must know of the model; for most: []
    data.json                what the data are, in counts (privaudit.experiment.data_sheet)
    layers.jsonl             which layer the property can be told from
    layers/run-0/CELL.json   the scores of it, until all cells are there
    permuted/001.json        AUCs with the property permuted, where that was asked for
    timings.jsonl            seconds; apart from the records, which are the same bytes every time
    report/                  table, figures and page, made from the records
    anchor.json              where the ledger's head was anchored, if it was: ``privaudit anchor``
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from privaudit.engine.files import write_whole
from privaudit.errors import UserError
from privaudit.scenario.grid import Cell
from privaudit.scenario.load import check_scenario
from privaudit.scenario.schema import Scenario

REMARKS = "remarks.json"

BEFORE_IT_BEGAN = {".lock", "scenario.json.partial"}
"""What a run that was killed at once may leave: nothing anybody would miss."""


class RunFolder:
    """Paths of one run; writing goes through :meth:`write_text`, which leaves no half files."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    @contextmanager
    def create(cls, path: Path, scenario: Scenario, *, resume: bool) -> Iterator[RunFolder]:
        """Take the folder for this scenario, exclusively, until the block ends.

        Raises:
            UserError: another run holds it; it holds files and ``resume`` is off; it cannot be
                created; or, with ``resume``, it belongs to another scenario.
        """
        if not resume:
            with cls.new(path) as folder:
                folder.write_json("scenario.json", scenario.model_dump(mode="json"))
                yield folder
            return
        folder = cls(path)
        with folder._exclusively():
            if folder.scenario() != scenario:
                raise UserError(
                    "belongs to another scenario",
                    where=str(path),
                    remedy="resume with the scenario it was started with",
                )
            yield folder

    @classmethod
    @contextmanager
    def new(cls, path: Path) -> Iterator[RunFolder]:
        """Take a new or empty folder, exclusively, until the block ends.

        Raises:
            UserError: another run holds it, it holds files, or it cannot be created.
        """
        folder = cls(path)
        if not folder.file(".lock").exists():
            folder.refuse_unless_empty()  # before a lock file is put among somebody's files
        with folder._exclusively():
            folder.refuse_unless_empty()
            yield folder

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """An existing run folder, for reading.

        Raises:
            UserError: there is no run in it.
        """
        if not (path / "scenario.json").is_file():
            raise UserError("no run folder (no scenario.json)", where=str(path))
        return cls(path)

    def scenario(self) -> Scenario:
        """The resolved scenario of this run."""
        file = self.path / "scenario.json"
        try:
            table = parse_json(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"cannot be read: {error}", where=str(file)) from error
        return check_scenario(table, where=str(file))

    def file(self, *parts: str) -> Path:
        """A path below the folder."""
        return self.path.joinpath(*parts)

    def write_text(self, name: str, text: str) -> Path:
        """Write a file so that it is there whole or not at all."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, lambda partial: partial.write_text(text, encoding="utf-8"))
        return file

    def write_json(self, name: str, value: Any) -> Path:
        """JSON with sorted keys; NaN is refused."""
        return self.write_text(
            name, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n"
        )

    def write_lines(self, name: str, rows: list[dict[str, Any]]) -> Path:
        """One JSON document a line."""
        lines = (json.dumps(row, sort_keys=True, allow_nan=False) for row in rows)
        return self.write_text(name, "".join(f"{line}\n" for line in lines))

    def read_json(self, name: str) -> Any:
        """The content of a JSON file of this run."""
        file = self.path / name
        try:
            return parse_json(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"cannot be read: {error}", where=str(file)) from error

    def read_lines(self, name: str) -> list[dict[str, Any]]:
        """The rows of a JSON-lines file of this run."""
        file = self.path / name
        try:
            text = file.read_text(encoding="utf-8")
            return [parse_json(line) for line in text.splitlines() if line]
        except (OSError, ValueError) as error:
            raise UserError(
                f"cannot be read: {error}", where=str(file), remedy="the run may not be finished"
            ) from error

    def refuse_unless_empty(self) -> None:
        """Nothing is there that anybody would miss.

        Raises:
            UserError: there is.
        """
        if self.path.is_dir() and set(os.listdir(self.path)) - BEFORE_IT_BEGAN:
            raise UserError(
                "output folder is not empty",
                where=str(self.path),
                remedy=f"choose another --out, or go on with --resume {self.path}",
            )

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / ".lock", timeout=0)
            with lock:
                yield
        except Timeout as error:
            raise UserError(
                "output folder is in use by another run",
                where=str(self.path),
                remedy="wait for it or choose another --out",
            ) from error
        except (FileExistsError, NotADirectoryError, PermissionError) as error:
            raise UserError(
                f"cannot use output folder: {error.strerror}",
                where=str(self.path),
                remedy="choose another --out",
            ) from error


def trace_folder(folder: RunFolder, cell: Cell) -> Path:
    """Where the trace of a cell lies in a run folder."""
    return folder.file("traces", f"run-{cell.run}", cell.name)


DEEPEST = 1000
"""Python's own limit of nesting; the chain library lifts it beyond what the stack can take."""


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key '{twice}' stands there twice")
    return found


def parse_json(text: str) -> Any:
    """A JSON document of a run folder, whoever wrote it.

    Raises:
        ValueError: it is none, its values are nested too deeply, or a key stands there twice, so
            that two readers could see two values.
    """
    before = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(min(before, DEEPEST))
        return json.loads(text, object_pairs_hook=_each_once)
    except RecursionError as error:
        raise ValueError("values are nested too deeply") from error
    finally:
        sys.setrecursionlimit(before)
