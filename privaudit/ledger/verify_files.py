"""Checks that need only the files of a run. Each returns what is wrong; nothing wrong is empty."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise

import numpy as np
from safetensors.torch import load_file

from privaudit.errors import UserError
from privaudit.evaluation.cells import TableCell, table_cells
from privaudit.evaluation.layers import LAYERS, LayerScores, read_layers, sizes_of
from privaudit.evaluation.records import Record, parse_records
from privaudit.experiment.cells import Cell
from privaudit.experiment.folder import RunFolder
from privaudit.federation.partition import ADVERSARY
from privaudit.ledger.book import BOOK, Page, cell_evidence, pages, read_book, training_evidence
from privaudit.ledger.evidence import RoundEvidence, digest
from privaudit.ledger.files import (
    MANIFEST,
    SEAL,
    differences,
    is_sealed,
    ledger_files,
    read_manifest,
    read_seal,
    run_files,
)
from privaudit.observation.trace import Trace
from privaudit.scenario.schema import Scenario

RECORDS = "records.jsonl"


class Subject:
    """A run under verification; what several checks read is read once."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    @cached_property
    def scenario(self) -> Scenario:
        """The resolved scenario."""
        return self.folder.scenario()

    @cached_property
    def records(self) -> list[Record]:
        """The records."""
        where = str(self.folder.file(RECORDS))
        return parse_records(self.folder.read_lines(RECORDS), where=where)

    @cached_property
    def cells(self) -> list[TableCell]:
        """The table, computed again from the records."""
        return table_cells(self.records)

    @cached_property
    def book(self) -> list[Page]:
        """The book as it lies there."""
        return read_book(self.folder)

    @property
    def audited(self) -> list[str]:
        """``run-0/CELL`` of every cell with evidence, as the book has them."""
        return [
            page.label.removeprefix("audit/")
            for page in self.book
            if page.label.startswith("audit/")
        ]


def check_manifest(subject: Subject) -> list[str]:
    """Every file of the run has the hash the manifest gives it; none is missing, none new."""
    folder = subject.folder
    wrong = differences(folder, read_manifest(folder), run_files(folder))
    return [f"{name}: {what}" for name, what in wrong]


def check_seal(subject: Subject) -> list[str]:
    """Manifest and ledger folder are as they were when the run ended."""
    folder = subject.folder
    if not is_sealed(folder):
        return [f"{SEAL}: missing; the run is not finished, or somebody removed it"]
    listed, _ = read_seal(folder)
    present = [MANIFEST] if folder.file(MANIFEST).is_file() else []
    wrong = differences(folder, listed, [*present, *ledger_files(folder)])
    return [f"{name}: {what}" for name, what in wrong]


def check_records(subject: Subject) -> list[str]:
    """Records repeat the scenario, the attacks' scores and the ground truth, and nothing else."""
    resolved, wrong = subject.scenario.model_dump(mode="json"), []
    for number, record in enumerate(subject.records, start=1):
        name = f"run-{record.run}/{_cell_of(record).name}.json"
        if record.configuration != resolved:
            wrong.append(f"{RECORDS}: line {number} is of another scenario than scenario.json")
        if record.status != "ok":
            continue
        if subject.folder.read_json(f"scores/{name}").get(record.attack) != record.scores:
            wrong.append(f"scores/{name}: not the scores of {RECORDS} line {number}")
        if subject.folder.read_json(f"truth/{name}") != record.present:
            wrong.append(f"truth/{name}: not the truth of {RECORDS} line {number}")
    return wrong


def check_layers(subject: Subject) -> list[str]:
    """Each line is of a cell of the run: its truth, its rounds, the layers its trace has.

    The scores themselves are of an adversary that learned from its own records: who has the data
    gets them by running the scenario again, files alone do not give them. A run of before they were
    measured has none; that the file was not removed the manifest says.
    """
    folder = subject.folder
    found: dict[tuple[int, str], list[LayerScores]] = {}
    for row in read_layers(folder):
        cell = Cell(row.run, row.property, row.rule, row.fraction, row.participants)
        found.setdefault((row.run, cell.name), []).append(row)
    wrong = []
    for (run, name), rows in found.items():
        truth = folder.read_json(f"truth/run-{run}/{name}.json")
        scored = [row for row in rows if row.scores or row.present]
        if any(row.present != truth for row in scored):
            wrong.append(f"{LAYERS}: run {run}, {name}: not the ground truth")
        elif any(
            len(row.scores) != len(truth) or not np.isfinite(row.scores).all() for row in scored
        ):
            wrong.append(f"{LAYERS}: run {run}, {name}: not one finite score for every round")
        elif subject.scenario.audit.keep_traces:
            layout = Trace.open(folder.file("traces", f"run-{run}", name)).layout
            if {row.layer: row.parameters for row in rows} != sizes_of(layout):
                wrong.append(f"{LAYERS}: run {run}, {name}: not the layers of its trace")
    return wrong


def _one_each(scores: list[float], rounds: int) -> bool:
    return len(scores) == rounds and bool(np.isfinite(scores).all())


def check_models(subject: Subject) -> list[str]:
    """The global model of every round is the result of the round before, through all stages."""
    wrong = []
    for run in range(subject.scenario.runs):
        training = training_evidence(subject.folder, run)
        wrong += _broken_links(f"evidence/run-{run}/training.jsonl", training)
        name = f"training/run-{run}.safetensors"
        trained = digest(load_file(subject.folder.file(name))["parameters"])
        if training and training[-1].after != trained:
            wrong.append(f"{name}: not the model the last round of training led to")
        for cell in (c for c in subject.audited if c.startswith(f"run-{run}/")):
            rounds = cell_evidence(subject.folder, cell)
            wrong += _broken_links(f"evidence/{cell}.jsonl", rounds)
            if rounds[0].before != trained:
                wrong.append(f"evidence/{cell}.jsonl: does not start from {name}")
    return wrong


def check_traces(subject: Subject) -> list[str]:
    """What the adversary saw is what the federation did: models, averages, its own deltas."""
    if not subject.scenario.audit.keep_traces:
        return []
    wrong = []
    for cell in subject.audited:
        try:
            wrong += list(_trace_differences(subject, cell))
        except UserError as error:
            wrong.append(f"traces/{cell}: {error}")
    return wrong


def check_book(subject: Subject) -> list[str]:
    """The book follows from the evidence by the reward rule; no round pays more than its budget."""
    ledger = subject.scenario.ledger
    numbers = {page.label: page.number for page in subject.book}
    expected = list(pages(subject.folder, ledger, numbers))
    wrong = [
        f"{BOOK}: '{page.label}' does not follow from its evidence by rule '{ledger.reward}'"
        for page, again in zip(subject.book, expected, strict=True)
        if page != again
    ]
    wrong += [
        f"{BOOK}: '{page.label}' pays {page.paid} wei out of a budget of {page.budget}"
        for page in subject.book
        if page.paid > page.budget
    ]
    return wrong


def _broken_links(name: str, rounds: list[RoundEvidence]) -> list[str]:
    return [
        f"{name}: round {later.round} does not start from the result of the round before"
        for earlier, later in pairwise(rounds)
        if earlier.after != later.before
    ]


def _trace_differences(subject: Subject, cell: str) -> Iterator[str]:
    path = subject.folder.file("traces", cell)
    trace = Trace.open(path)
    if not trace.whole:
        yield f"traces/{cell}/manifest.json: the trace is not finished"
    rounds = cell_evidence(subject.folder, cell)
    if len(trace) != len(rounds):
        yield f"traces/{cell}: {len(trace)} rounds, evidence of {len(rounds)}"
    for seen, done in zip(trace, rounds, strict=False):
        own = next((d for d in done.cohort if d.client == ADVERSARY and d.accepted), None)
        pairs = [
            ("the global model", digest(seen.before), done.before),
            ("the next global model", digest(seen.after), done.after),
        ]
        exact = trace.manifest.precision == "single"
        if exact:  # else only the trace's own digests speak for the deltas
            pairs.append(("the average", digest(seen.global_delta), done.delta))
        if own is not None and exact:
            pairs.append(("the adversary's delta", digest(seen.own_delta), own.sha256))
        sent = {d.client: d.sha256 for d in done.cohort}
        pairs += [
            (f"the delta of client {c}", digest(delta), sent.get(c, ""))
            for c, delta in seen.client_deltas.items()
        ]
        for what, found, expected in pairs:
            if found != expected:
                file = f"traces/{cell}/round-{seen.round:06d}.safetensors"
                yield f"{file}: {what} is not that of the evidence"


def _cell_of(record: Record) -> Cell:
    return Cell(record.run, record.property, record.rule, record.fraction, record.participants)
