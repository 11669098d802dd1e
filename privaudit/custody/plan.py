"""The plan: everything a result depends on, written down before the first round.

``plan.json`` holds the resolved scenario, a fingerprint of the data, and whose code the model, the
attacks and the audit itself are. Its SHA-256 is what the ledger has as the plan. A run that goes
on compares its plan with what would be planned now; records repeat what it says.

The plan lies beside the traces while attacks run, and the ground truth follows from scenario and
data checksum (:mod:`privaudit.scenario.truth`). So it has the SHA-256 of the checksum, which
fixes it and does not tell it; the checksum itself is in the records, which come after the attacks.
"""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from privaudit.attack.registry import source_of
from privaudit.custody.folder import RunFolder
from privaudit.data.dataset import Dataset
from privaudit.errors import UserError, first_problem
from privaudit.models.build import model_source
from privaudit.scenario.schema import Scenario
from privaudit.source import Source, source_of_package

PLAN = "plan.json"
PACKAGES = ("privaudit", "torch", "numpy", "scipy", "scikit-learn", "matplotlib")
"""Whose versions decide on a byte of the results or of the report."""
BEFORE_COMPUTING = {".lock", "scenario.json", f"{PLAN}.partial", "ledger"}
"""What a run holds that was killed before its plan was written."""

LedgerKind = Literal["none", "embedded", "rpc"]


class Origin(BaseModel):
    """Whose code something is: see :class:`privaudit.source.Source`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    distribution: str = ""
    version: str = ""
    digest: str = ""

    @classmethod
    def of(cls, source: Source) -> Self:
        """The same, to be written down."""
        return cls(distribution=source.distribution, version=source.version, digest=source.digest)

    def __str__(self) -> str:
        owner = f"{self.distribution} {self.version}" if self.distribution else "no distribution"
        return f"{owner}, source {self.digest[:12]}"


class PlannedData(BaseModel):
    """Which data: its name, and the SHA-256 of its checksum (:func:`fingerprint`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    fingerprint: str


class Plan(BaseModel):
    """What will be measured, on what, and with whose code.

    Attributes:
        scenario: the resolved scenario.
        dataset: name and fingerprint.
        model: whose code it is.
        attacks: name -> whose code it is.
        audit: of privaudit itself.
        versions: of Python and of every package a byte depends on.
        commit: of the source tree, null outside a checkout.
        dirty: whether the source tree had changes that are in no commit; null outside a checkout.
        device: where models are computed.
        ledger: the kind of chain, or ``none``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["privaudit-plan"] = "privaudit-plan"
    version: Literal[1] = 1
    scenario: dict[str, Any]
    dataset: PlannedData
    model: Origin
    attacks: dict[str, Origin] = Field(min_length=1)
    audit: Origin
    versions: dict[str, str]
    commit: str | None
    dirty: bool | None
    device: str
    ledger: LedgerKind


def make_plan(
    scenario: Scenario,
    dataset: Dataset,
    *,
    device: str = "cpu",
    on_node: bool = False,
    attacks: Mapping[str, Source] | None = None,
) -> Plan:
    """What would be planned now.

    Args:
        scenario: the resolved scenario.
        dataset: its data, loaded.
        device: where models are computed.
        on_node: whether the ledger is on a JSON-RPC chain.
        attacks: whose code they are; None = those registered under their names.

    Raises:
        UserError: an attack or the model is unknown, or its code cannot be found.
    """
    if attacks is None:
        attacks = {name: source_of(name) for name in scenario.attacks}
    ledger: LedgerKind = "rpc" if on_node else "embedded"
    return Plan(
        scenario=scenario.model_dump(mode="json"),
        dataset=PlannedData(name=dataset.name, fingerprint=fingerprint(dataset.checksum)),
        model=Origin.of(model_source(scenario.model.name)),
        attacks={name: Origin.of(source) for name, source in attacks.items()},
        audit=Origin.of(own_source()),
        versions=versions(),
        commit=commit(),
        dirty=dirty(),
        device=device,
        ledger=ledger if scenario.ledger.enabled else "none",
    )


def keep_plan(folder: RunFolder, now: Plan) -> Plan:
    """The plan of a run: written by a new one; by one that goes on, held against what is now.

    Raises:
        UserError: what the run depends on has changed since, or it has results and no plan.
    """
    if folder.file(PLAN).is_file():
        plan = read_plan(folder)
        refuse_changes(plan, now, where=str(folder.path))
        return plan
    if {entry.name for entry in folder.path.iterdir()} - BEFORE_COMPUTING:
        raise UserError(
            f"has results but no {PLAN}: what they were computed from is not known",
            where=str(folder.path),
            remedy="go on with the version of privaudit that began it, or start a new run",
        )
    folder.write_json(PLAN, now.model_dump(mode="json"))
    return now


def read_plan(folder: RunFolder) -> Plan:
    """The plan of a run.

    Raises:
        UserError: there is none, or it is not one.
    """
    try:
        return Plan.model_validate(folder.read_json(PLAN))
    except ValidationError as error:
        where = str(folder.file(PLAN))
        raise UserError(f"not a plan: {first_problem(error)}", where=where) from error


def refuse_changes(plan: Plan, now: Plan, *, where: str) -> None:
    """Nothing that a byte of the results may depend on has changed.

    Commit and ``dirty`` may: the digests of the source say the same, and better.

    Raises:
        UserError: names all that changed.
    """
    changed = changes(plan, now)
    if changed:
        raise UserError(
            f"cannot go on, because something changed since the run began: {'; '.join(changed)}",
            where=where,
            remedy="put back what it was, or start a new run",
        )


def changes(plan: Plan, now: Plan) -> list[str]:
    """What differs between two plans, in words; the kind of chain aside, which is pinned."""
    said = [
        (f"the data set '{plan.dataset.name}', fingerprint", *_short(plan.dataset, now.dataset)),
        (f"the code of model '{_model(plan)}'", str(plan.model), str(now.model)),
        *(
            (f"the code of attack '{name}'", str(origin), str(now.attacks.get(name, "missing")))
            for name, origin in plan.attacks.items()
        ),
        ("privaudit itself", str(plan.audit), str(now.audit)),
        *(
            (f"{name}", version, now.versions.get(name, "missing"))
            for name, version in plan.versions.items()
            if name != "privaudit"
        ),
        ("the device", plan.device, now.device),
    ]
    if plan.scenario != now.scenario:
        said.insert(0, ("the scenario", "as planned", "another"))
    return [f"{what} ({before} -> {after})" for what, before, after in said if before != after]


def fingerprint(checksum: str) -> str:
    """SHA-256 of a data set's checksum: what the plan has in its place."""
    return hashlib.sha256(f"privaudit.data.v1\0{checksum}".encode()).hexdigest()


def _short(*sets: PlannedData) -> list[str]:
    return [found.fingerprint[:12] for found in sets]


def _model(plan: Plan) -> str:
    return str(plan.scenario["model"]["name"])


@lru_cache(maxsize=1)
def own_source() -> Source:
    """Of privaudit, as it was when it was first asked for."""
    return source_of_package("privaudit")


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Of Python and of every package a number depends on."""
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}


@lru_cache(maxsize=1)
def commit() -> str | None:
    """The commit of the source tree this package runs from; None outside a checkout."""
    return _git("rev-parse", "HEAD")


@lru_cache(maxsize=1)
def dirty() -> bool | None:
    """Whether that tree holds changes to the code that are in no commit; None outside one."""
    said = _git("status", "--porcelain", "--", "privaudit", "attacks")
    return None if said is None else bool(said)


def _git(*arguments: str) -> str | None:
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
