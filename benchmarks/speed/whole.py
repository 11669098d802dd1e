"""What users wait for: the whole audit, set against the training of the rounds that it audits.

``python benchmarks/speed/whole.py SCENARIO [--set KEY=VALUE ...] [--data-dir DIR]`` audits every
cell of a scenario on one thread and prints one JSON line: processor seconds of the audits, the
processes of the attacks counted, of which so many train clients, and how many cells. ``--least``
audits with an attack that looks at nothing: clients and shadows, as they are computed today.
Neither the ordinary training nor imports are counted.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{library}_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import attacks_process  # noqa: E402
import only_shadows  # noqa: E402

from privaudit.attack.registry import GROUP  # noqa: E402
from privaudit.data.files import default_data_dir  # noqa: E402
from privaudit.engine.engine import Engine  # noqa: E402
from privaudit.experiment import tasks  # noqa: E402
from privaudit.experiment.tasks import Job, audit_task, training_task  # noqa: E402
from privaudit.scenario.grid import groups_of  # noqa: E402
from privaudit.scenario.load import load_scenario  # noqa: E402

spent = [0.0]
"""Seconds in which clients trained so far."""


def main() -> None:
    options = _options()
    sets = ["ledger.enabled=false", "audit.keep_traces=false", "report.devices=[]", *options.set]
    if options.least:
        sets.append(f'audit.attacks=["{only_shadows.NAME}"]')
    count_training()
    with tempfile.TemporaryDirectory() as place, tempfile.TemporaryDirectory() as plugins:
        register_only_shadows(Path(plugins) / "site-packages")
        scenario = load_scenario(options.scenario, sets)
        data = options.data_dir or default_data_dir()
        job = Job(scenario.model_dump_json(), data, Path(place))
        if options.least:
            tasks.cells_for_layers = lambda scenario: []  # type: ignore[attr-defined]
        job.world()
        for run in range(scenario.runs):
            training_task(job, run)
        imports = attacks_process.imported()
        spent[0], started, cells = 0.0, time.process_time(), 0
        for group in groups_of(scenario, workers=1):
            for outcome in audit_task(job, group):
                cells += 1
                if outcome.failures:
                    raise SystemExit(f"{outcome.task}: {outcome.failures}")
        own = time.process_time() - started
    attacks = attacks_process.ended() - imports
    print(json.dumps({"training": spent[0], "audit": own + attacks, "cells": cells}))


def register_only_shadows(place: Path) -> None:
    """As the attack of a package that is installed."""
    info = place / "only_shadows-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: only-shadows\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[{GROUP}]\n{only_shadows.NAME} = only_shadows:OnlyShadows\n"
    )
    shutil.copy(only_shadows.__file__, place)
    sys.path.append(str(place))


def count_training() -> None:
    """Let the engine of this process count the seconds in which clients train.

    Shadows are trained in the process of the attacks, which is started anew and counts nothing.
    """
    many: Callable[..., Iterator[Any]] = Engine.train_clients

    def train_clients(*arguments: Any, **named: Any) -> Iterator[Any]:
        made = many(*arguments, **named)
        while True:
            started = time.process_time()
            try:
                update = next(made)
            except StopIteration:
                return
            finally:
                spent[0] += time.process_time() - started
            yield update

    Engine.train_clients = train_clients  # type: ignore[method-assign]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scenario")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--least", action="store_true", help="clients and shadows only")
    return parser.parse_args()


if __name__ == "__main__":
    main()
