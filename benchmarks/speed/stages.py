"""Where the time of a whole grid goes: seconds by stage, attacks included.

``python benchmarks/speed/stages.py SCENARIO [--set KEY=VALUE ...] [--data-dir DIR]``: audits every
cell of the first run of a scenario in this process, on one thread, under Python's profiler (which
adds something to what is made of many small calls), and prints a Markdown table. Wall time, so on a
machine with nothing else to do. The ordinary training before it is not counted.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import sys
import tempfile
import time
from pathlib import Path

for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{library}_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import pandas as pd  # noqa: E402

from privaudit.data.files import default_data_dir  # noqa: E402
from privaudit.experiment.tasks import Job, audit_task, training_task  # noqa: E402
from privaudit.scenario.grid import groups_of  # noqa: E402
from privaudit.scenario.load import load_scenario  # noqa: E402

STAGES = {
    "clients train": [("engine.py", "train_clients")],
    "shadows: base gradients": [("adversary.py", "_deltas")],
    "deltas clipped, noised, shared": [("transforms.py", "apply")],
    "traces written": [("trace.py", "append")],
    "traces read": [("trace.py", "_read")],
    "`melis-rf`": [("melis_rf.py", "partial_fit"), ("melis_rf.py", "score")],
    "`linear`": [("linear.py", "partial_fit"), ("linear.py", "score")],
    "`magnitude-stack`": [("magnitude_stack.py", "partial_fit"), ("magnitude_stack.py", "score")],
}
"""Functions of the stages, by file; none calls one of another stage."""


def main() -> None:
    options = _options()
    sets = ["runs=1", "ledger.enabled=false", "audit.keep_traces=false", *options.set]
    scenario = load_scenario(options.scenario, sets)
    with tempfile.TemporaryDirectory() as place:
        data = options.data_dir or default_data_dir()
        job = Job(scenario.model_dump_json(), data, Path(place))
        training_task(job, 0)
        profile, started = cProfile.Profile(), time.perf_counter()
        for group in groups_of(scenario, workers=1):
            profile.runcall(audit_task, job, group)
        whole = time.perf_counter() - started
    spent = _by_function(profile)
    seconds = {name: sum(spent.get(f, 0.0) for f in parts) for name, parts in STAGES.items()}
    seconds["the rest"] = whole - sum(seconds.values())
    rows = [
        {"stage": name, "s": took, "share": f"{took / whole:.0%}"}
        for name, took in seconds.items()
        if took
    ]
    print(pd.DataFrame(rows).to_markdown(index=False, floatfmt=".1f"))
    cells = sum(len(group) for group in groups_of(scenario, workers=1))
    print(f"\n{whole:.1f} s for {cells} cells with {len(scenario.audit.attacks)} attacks")


def _by_function(profile: cProfile.Profile) -> dict[tuple[str, str], float]:
    """(file, function) -> seconds in it and in what it calls."""
    found: dict[tuple[str, str], float] = {}
    for (path, _, name), (_, _, _, seconds, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        key = (Path(path).name, name)
        found[key] = found.get(key, 0.0) + seconds
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scenario")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--data-dir", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
