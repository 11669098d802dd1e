"""What the data of a run are, in counts: computed once, for dry run, report and ``data.json``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from privaudit.data.dataset import UNKNOWN, Dataset
from privaudit.experiment.each_value import why_not_dealt
from privaudit.experiment.holdings import label_agreement
from privaudit.federation.partition import TARGET
from privaudit.world import World

DATA = "data.json"


def describe_data(world: World) -> dict[str, Any]:
    """Counts of the data set and of what the two roles hold, as JSON takes them.

    Keys: ``name``, ``file`` (base name, empty for a data set by name), ``sha256``, ``kind``,
    ``records``, ``input_shape`` (of one record), ``columns`` (of the user's file: name, role,
    inputs, detail), ``classes`` (pairs of class and records), ``groups``, ``group_kind``,
    ``properties`` (name -> present, absent, unknown, why it is left out of the audit, empty where
    it is not, and how well the label tells it), ``test_records`` (one number per run), ``holdings``
    (role -> one entry per run: records, and of each audited property present, absent, unknown; the
    adversary's with those of its colluders in the largest federation),
    ``notes``.
    """
    dataset, audited = world.dataset, world.scenario.audit.properties
    runs, largest = range(world.scenario.runs), max(world.scenario.participants)
    deals = [world.deal(run).largest for run in runs]
    roles = {
        "target": [deal.clients[TARGET] for deal in deals],
        "adversary": [world.pooled(run, largest) for run in runs],
    }
    counts = np.bincount(dataset.labels, minlength=dataset.num_classes)
    return {
        "name": dataset.name,
        "file": dataset.file,
        "sha256": dataset.checksum,
        "kind": dataset.kind,
        "records": len(dataset),
        "input_shape": list(dataset.inputs.shape[1:]),
        "columns": [asdict(column) for column in dataset.columns],
        "classes": [[n, int(c)] for n, c in zip(dataset.class_names, counts, strict=True)],
        "groups": None if dataset.groups is None else len(np.unique(dataset.groups)),
        "group_kind": dataset.group_kind,
        "properties": {
            name: _counts(values)
            | {
                "left_out": _left_out(world, name),
                "label_agreement": label_agreement(dataset, name),
            }
            for name, values in dataset.properties.items()
        },
        "test_records": [len(deal.test) for deal in deals],
        "holdings": {
            role: [_held(dataset, records, audited) for records in held]
            for role, held in roles.items()
        },
        "notes": list(dataset.notes),
    }


def _left_out(world: World, name: str) -> str:
    if name in world.scenario.audit.properties:
        return ""
    rare = why_not_dealt(world, name) if world.dataset.columns else ""  # of the user's own data
    return rare or "not asked for"


def _held(dataset: Dataset, records: np.ndarray, audited: list[str]) -> dict[str, Any]:
    return {
        "records": len(records),
        "properties": {name: _counts(dataset.properties[name][records]) for name in audited},
    }


def _counts(values: np.ndarray) -> dict[str, int]:
    return {
        "present": int((values == 1).sum()),
        "absent": int((values == 0).sum()),
        "unknown": int((values == UNKNOWN).sum()),
    }
