"""Checks that need only the files of a run. Each returns what is wrong; nothing wrong is empty."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise, product
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from privaudit.custody.evidence import RoundEvidence, digest
from privaudit.custody.folder import RunFolder
from privaudit.custody.manifest import (
    AFTER_THE_RUN,
    ANCHOR,
    MANIFEST,
    SEAL,
    differences,
    is_sealed,
    ledger_files,
    oddities,
    read_manifest,
    read_seal,
    run_files,
)
from privaudit.custody.plan import Plan, fingerprint, own_source, read_plan, versions
from privaudit.data.files import default_data_dir
from privaudit.errors import UserError
from privaudit.evaluation.records import Record, parse_records
from privaudit.federation.partition import ADVERSARY, TARGET, coalition
from privaudit.ledger.anchor_note import read_note
from privaudit.ledger.book import BOOK, Page, cell_evidence, pages, read_book, training_evidence
from privaudit.models.build import is_bundled
from privaudit.observation.trace import Trace
from privaudit.scenario.grid import UNPAID, Cell, cells_of, rounds_of
from privaudit.scenario.schema import PROPERTY, Scenario
from privaudit.scenario.truth import presence
from privaudit.world import World, load_world, rules_of

RECORDS = "records.jsonl"
SEALED = AFTER_THE_RUN | {MANIFEST}


class Subject:
    """A run under verification, and where data sets lie; what several checks read is read once."""

    def __init__(self, folder: RunFolder, data_dir: Path | None = None) -> None:
        self.folder = folder
        self.data_dir = data_dir
        self.without_data = ""

    @cached_property
    def scenario(self) -> Scenario:
        """The resolved scenario."""
        return self.folder.scenario()

    @cached_property
    def plan(self) -> Plan:
        """What was planned."""
        return read_plan(self.folder)

    @cached_property
    def same_code(self) -> bool:
        """Whether this is the code, and these the versions, that the run was made with."""
        return self.plan.audit.digest == own_source().digest and self.plan.versions == versions()

    @cached_property
    def records(self) -> list[Record]:
        """The records."""
        where = str(self.folder.file(RECORDS))
        return parse_records(self.folder.read_lines(RECORDS), where=where)

    @cached_property
    def checksum(self) -> str:
        """Of the data: the one whose fingerprint was planned.

        Raises:
            UserError: the records are of other data.
        """
        for record in self.records:
            if fingerprint(record.dataset.get("checksum", "")) == self.plan.dataset.fingerprint:
                return record.dataset["checksum"]
        raise UserError(f"{RECORDS}: not of the data that was planned")

    @cached_property
    def world(self) -> World | None:
        """The scenario with its data; None, and ``without_data`` says why, if not at hand."""
        try:
            data_dir = self.data_dir or default_data_dir()
            world = load_world(self.scenario.model_dump_json(), data_dir)
        except (UserError, OSError, MemoryError) as error:
            self.without_data = str(error)
            return None
        if fingerprint(world.dataset.checksum) != self.plan.dataset.fingerprint:
            self.without_data = f"'{world.dataset.name}' here is not the data that was planned"
            return None
        return world

    def presence(self, cell: Cell) -> list[bool]:
        """The ground truth of a cell, computed again."""
        return [bool(p) for p in presence(self.scenario, self.checksum, cell)]

    def is_scored(self, cell: Cell) -> bool:
        """Whether the attacks have scores for it."""
        return self.folder.file("scores", *place_of(cell)).is_file()

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


def place_of(cell: Cell) -> tuple[str, str]:
    """Folder and name of a cell's file below ``scores`` and ``truth``."""
    return f"run-{cell.run}", f"{cell.name}.json"


def check_manifest(subject: Subject) -> list[str]:
    """Every file of the run has the hash the manifest gives it; none is missing, none new."""
    folder = subject.folder
    wrong = differences(folder, read_manifest(folder), run_files(folder))
    told = [f"{name}: {what}" for name, what in [*wrong, *oddities(folder.path)]]
    return told + _odd_note(subject)


def _odd_note(subject: Subject) -> list[str]:
    """The manifest cannot list a note that comes after the run; so it must be one, and in place."""
    file = subject.folder.file(ANCHOR)
    if file.is_symlink():
        return []  # it is told as what it is
    try:
        note = read_note(subject.folder)
    except UserError as error:
        return [str(error)]
    if note is not None and subject.scenario.ledger.enabled is False:
        return [f"{ANCHOR}: a run without a ledger has no head to anchor"]
    return []


def check_seal(subject: Subject) -> list[str]:
    """Manifest and ledger folder are as they were when the run ended."""
    folder = subject.folder
    if not is_sealed(folder):
        return [f"{SEAL}: missing; the run is not finished, or somebody removed it"]
    listed, _ = read_seal(folder)
    present = [MANIFEST] if folder.file(MANIFEST).is_file() else []
    wrong = differences(folder, listed, [*present, *ledger_files(folder)])
    wrong += [(name, "no file of a ledger") for name in sorted(listed.keys() - SEALED)]
    return [f"{name}: {what}" for name, what in wrong]


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
        initial = training[0].before if training else trained
        games = {f"run-{cell.run}/{cell.name}": cell.game for cell in cells_of(subject.scenario)}
        for cell in (c for c in subject.audited if c.startswith(f"run-{run}/")):
            rounds = cell_evidence(subject.folder, cell)
            wrong += _broken_links(f"evidence/{cell}.jsonl", rounds)
            starts_at = trained if games.get(cell) == PROPERTY else initial
            if rounds[0].before != starts_at:
                what = name if starts_at == trained else "the initial model"
                wrong.append(f"evidence/{cell}.jsonl: does not start from {what}")
    return wrong


def check_traces(subject: Subject) -> list[str]:
    """What the adversary saw is what the federation did: models, averages, its own deltas.

    Without evidence: each trace has all its rounds, from the model that training led to.
    """
    if not subject.scenario.audit.keep_traces:
        return []
    wrong = []
    compare = _trace_differences if subject.plan.ledger != "none" else _trace_outline
    for cell in _with_traces(subject):
        try:
            wrong += list(compare(subject, cell))
            wrong += list(_misstated(subject, cell))
        except UserError as error:
            wrong.append(f"traces/run-{cell.run}/{cell.name}: {error}")
    return wrong


def _with_traces(subject: Subject) -> list[Cell]:
    """Cells with a federation of their own, under a tap, which somebody is paid for."""
    cells = cells_of(subject.scenario)
    return [c for c in cells if c.game not in UNPAID and subject.is_scored(c)]


def check_book(subject: Subject) -> list[str]:
    """The book follows from the evidence by the reward rule; no round pays more than its budget."""
    ledger, scenario = subject.scenario.ledger, subject.scenario
    scored = _with_traces(subject)
    trained = product(range(scenario.runs), range(scenario.training_rounds))
    due = [f"training/run-{run}/round-{number}" for run, number in trained]
    due += [f"audit/run-{cell.run}/{cell.name}" for cell in scored]
    numbers = {page.label: page.number for page in subject.book}
    expected = list(pages(subject.folder, ledger, numbers))
    wrong = [
        f"{BOOK}: '{page.label}' does not follow from its evidence by rule '{ledger.reward}'"
        for page, again in zip(subject.book, expected, strict=True)
        if page != again
    ]
    wrong += [f"{BOOK}: '{label}' is missing" for label in due if label not in numbers]
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


def _misstated(subject: Subject, cell: Cell) -> Iterator[str]:
    """What the manifest says of the federation, and scenario and data do not."""
    audit, place = subject.scenario.audit, f"traces/run-{cell.run}/{cell.name}"
    manifest = Trace.open(subject.folder.file(place)).manifest
    expected: dict[str, Any] = {
        "view": audit.threat_model,
        "target": TARGET if audit.threat_model == "server" else None,
        "precision": audit.trace_precision,
        "about": {},
    }
    stated = {name: getattr(manifest, name) for name in expected}
    if subject.same_code:  # another version may know other rules
        stated |= manifest.rules or {}
        options = stated.get("model_options", {})  # some follow from the data
        rules = rules_of(subject.scenario, cell, options)
        if subject.world and is_bundled(subject.scenario.model.name):
            rules = subject.world.rules(cell)
        expected |= rules.model_dump(mode="json")
    both = expected.keys() & stated.keys()
    names = [n for n in expected | stated if n not in both or stated[n] != expected[n]]
    if names:
        yield f"{place}/manifest.json: {', '.join(names)} not as scenario and data give"


def _trace_outline(subject: Subject, cell: Cell) -> Iterator[str]:
    name, rounds = f"traces/run-{cell.run}/{cell.name}", rounds_of(subject.scenario, cell)
    trace = Trace.open(subject.folder.file(name))
    if not trace.whole or len(trace) != rounds:
        yield f"{name}: {len(trace)} rounds of {rounds}"
    training = f"training/run-{cell.run}.safetensors"
    first = next(iter(trace))
    if cell.game != PROPERTY and subject.scenario.training_rounds:
        return  # it starts at the initial model, of which there is no file
    if digest(first.before) != digest(load_file(subject.folder.file(training))["parameters"]):
        yield f"{name}: does not start from {training}"


def _trace_differences(subject: Subject, of: Cell) -> Iterator[str]:
    cell = f"run-{of.run}/{of.name}"
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
        if trace.manifest.view == "participant":
            colluding = coalition(subject.scenario.audit.colluding(of.participants))[1:]
            taken = {d.client for d in done.cohort if d.accepted and d.client in colluding}
            if set(seen.client_deltas) != taken:
                file = f"traces/{cell}/round-{seen.round:06d}.safetensors"
                yield f"{file}: not the deltas of those who collude, clients {sorted(taken)}"
        sent = {d.client: d.sha256 for d in done.cohort}
        pairs += [
            (f"the delta of client {c}", digest(delta), sent.get(c, ""))
            for c, delta in seen.client_deltas.items()
        ]
        for what, found, expected in pairs:
            if found != expected:
                file = f"traces/{cell}/round-{seen.round:06d}.safetensors"
                yield f"{file}: {what} is not that of the evidence"
