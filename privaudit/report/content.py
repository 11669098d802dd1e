"""What a finished run has to say, before it takes a form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from privaudit.custody.folder import REMARKS, RunFolder
from privaudit.custody.plan import PLAN
from privaudit.evaluation.appearing import Appearing, appearing
from privaudit.evaluation.cells import TableCell, table_cells
from privaudit.evaluation.layers import LAYERS, read_layers
from privaudit.evaluation.permuted import read_repetitions, with_repetitions
from privaudit.evaluation.rebuilt_cells import RebuiltCell, rebuilt_cells
from privaudit.evaluation.rebuilt_runs import SHOWN
from privaudit.evaluation.records import Record, parse_records
from privaudit.experiment.data_sheet import DATA
from privaudit.experiment.training import parameters_sent, training_rows
from privaudit.games.ending import read_endings
from privaudit.ledger.book import Page, read_book
from privaudit.ledger.entries import AUDITS, plan_file, plan_hash
from privaudit.report import defences, rebuilt
from privaudit.report.layers import LayerCell, layer_cells
from privaudit.report.notes import footnotes
from privaudit.report.troubles import Troubles, nothing_measured, troubles_of
from privaudit.scenario.schema import Scenario


@dataclass(frozen=True)
class Content:
    """The results of a run as its folder has them; every form of the report is made from this.

    Attributes:
        scenario: the resolved scenario.
        records: one per run, cell and attack.
        cells: of the inference-accuracy table, in table order.
        training: metrics of every round of ordinary training, of every run.
        timings: seconds by stage.
        book: rounds of the ledger; empty without a ledger.
        plan_file: name of the file that the ledger has as the audit plan.
        plan_sha256: its SHA-256.
        layers: one per layer of the model and property; empty where they were not measured.
        audits: entries of the records as the ledger took them; empty without a ledger.
        remarks: what a reader must know of the model; most have none.
        endings: how the audited rounds of every cell ended; empty where that was not kept.
        shown: of each size of batch rebuilt and nearest own images, where they may be shown.
        data: counts of the data set and of what the roles hold
            (:func:`privaudit.experiment.data_sheet.describe_data`).
    """

    scenario: Scenario
    records: Sequence[Record]
    cells: Sequence[TableCell]
    training: Sequence[dict[str, Any]] = ()
    timings: Sequence[dict[str, Any]] = ()
    book: Sequence[Page] = ()
    plan_file: str = PLAN
    plan_sha256: str = ""
    layers: Sequence[LayerCell] = ()
    audits: Sequence[dict[str, Any]] = ()
    remarks: Sequence[str] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    endings: Sequence[dict[str, Any]] = ()
    shown: Sequence[dict[str, Any]] = ()

    @property
    def colluders(self) -> int:
        """Clients that collude with the adversary in the largest federation."""
        return self.scenario.audit.colluding(max(self.scenario.participants))

    @property
    def title(self) -> str:
        """One line over the report."""
        return self.scenario.title or self.scenario.name

    @cached_property
    def rebuilt(self) -> list[RebuiltCell]:
        """Cells of the game reconstruction, which have no AUC."""
        return rebuilt_cells(self.records)

    @cached_property
    def scored(self) -> list[Record]:
        """Records of all other games."""
        return [record for record in self.records if not record.is_rebuilding]

    @cached_property
    def troubles(self) -> Troubles:
        """What keeps each property from being called leaked."""
        asked = [c.property for c in self.cells] + [c.property for c in self.rebuilt]
        names = dict.fromkeys([*self.scenario.audit.properties, *asked])
        return troubles_of(names, self.cells, self.training, self.endings)

    @cached_property
    def appearing(self) -> list[Appearing]:
        """What attacks say about when properties appeared; empty where none appears on the way."""
        return appearing(self.scored)

    @cached_property
    def nothing_measured(self) -> str:
        """Why no number of the run means anything; empty where some do."""
        answered = any(cell.runs for cell in self.rebuilt)
        return nothing_measured(self.cells, self.training, self.endings, answered=answered)

    @cached_property
    def defence_lines(self) -> list[str]:
        """What the defences promise and cost; empty where there are none."""
        found = defences.lines(self.scenario, self.cells)
        return found + defences.clients_line(self.scenario, self.cells, self.parameters)

    @cached_property
    def parameters(self) -> int:
        """Of the model, by the traffic of its training; 0 where there was none."""
        return parameters_sent(self.training)

    @cached_property
    def notes(self) -> list[str]:
        """What a reader must know to read the table."""
        return [
            *rebuilt.reading(self.scenario, self.rebuilt),
            *rebuilt.by_clients(self.rebuilt),
            *footnotes(self.scenario, self.cells, self.remarks, self.troubles),
        ]


def read_content(folder: RunFolder) -> Content:
    """What a finished run has to say.

    Raises:
        UserError: the run has no records yet, or they cannot be read.
    """
    scenario = folder.scenario()
    judged = _judged(folder.path, *(_bytes(folder, name) for name in ("records.jsonl", LAYERS)))
    return Content(
        scenario,
        judged.records,
        with_repetitions(judged.cells, read_repetitions(folder)),
        training_rows(folder, scenario.runs),
        folder.read_lines("timings.jsonl"),
        read_book(folder),
        plan_file(folder),
        plan_hash(folder).hex(),
        judged.layers,
        folder.read_lines(AUDITS) if folder.file(AUDITS).is_file() else (),
        folder.read_json(REMARKS) if folder.file(REMARKS).is_file() else (),
        folder.read_json(DATA) if folder.file(DATA).is_file() else {},
        read_endings(folder, scenario),
        [folder.read_json(name) for name in _shown(folder, scenario)],
    )


@dataclass(frozen=True)
class _Judged:
    records: list[Record]
    cells: list[TableCell]
    layers: list[LayerCell]


@lru_cache(maxsize=1)
def _judged(path: Path, *_: bytes) -> _Judged:
    """What takes a second or more: a command that wrote a report prints its table next.

    Args:
        path: of the run folder.
        _: content of the files it depends on.
    """
    folder = RunFolder(path)
    where = str(folder.file("records.jsonl"))
    records = parse_records(folder.read_lines("records.jsonl"), where=where)
    return _Judged(records, table_cells(records), layer_cells(read_layers(folder), records))


def _bytes(folder: RunFolder, name: str) -> bytes:
    """Of a file; none where it is not there, or cannot be read, which is told where it is."""
    try:
        return folder.file(name).read_bytes()
    except OSError:
        return b""


def _shown(folder: RunFolder, scenario: Scenario) -> list[str]:
    sizes = scenario.reconstruction.targets if scenario.reconstruction else []
    names = [f"{SHOWN}/{size}.json" for size in sizes]
    return [name for name in names if folder.file(name).is_file()]


def training_summary(training: Sequence[dict[str, Any]]) -> str | None:
    """One sentence on the federated training, or None when there was none."""
    if not training:
        return None
    last = max(row["round"] for row in training)
    final = [row for row in training if row["round"] == last]
    accuracy = [row["test_accuracy"] for row in final]
    losses = [row["train_loss"] for row in final]
    loss = "diverged" if None in losses else f"{sum(losses) / len(losses):.2f}"
    return (
        f"Training: {final[0]['clients']} clients a round; rounds: {last + 1}; runs: {len(final)}; "
        f"test accuracy {sum(accuracy) / len(accuracy):.3f} "
        f"(range over runs {min(accuracy):.3f} to {max(accuracy):.3f}), "
        f"mean client loss {loss}."
    )


def traffic_summary(training: Sequence[dict[str, Any]]) -> str | None:
    """One sentence on the bytes that ordinary training moved, or None when there was none."""
    if not training:
        return None
    runs = len({row["run"] for row in training})
    up, down = (sum(row[f"bytes_{way}"] for row in training) / runs for way in ("up", "down"))
    return (
        f"Traffic of the training of one run: {_megabytes(up)} from the clients to the server, "
        f"{_megabytes(down)} back (all clients together)."
    )


def training_lines(training: Sequence[dict[str, Any]]) -> list[str]:
    """Both sentences; empty when there was no training."""
    return [line for line in (training_summary(training), traffic_summary(training)) if line]


def _megabytes(count: float) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"
