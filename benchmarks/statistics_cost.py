"""What share of an audit's processor time its statistics take.

Runs a scenario with one worker in a temporary folder and adds up the processor seconds of what is
statistics: how alike a target's records are, what it holds, the table's tests and intervals, and
those of the layers. The whole is the processor time of this
process and of its children; the process for attacks is ended first, so that it counts. Run with
``python benchmarks/statistics_cost.py [SCENARIO] [--data-dir DIR] [--set KEY=VALUE ...]``.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tabulate import tabulate

import privaudit.attack.apart
import privaudit.audit
import privaudit.evaluation.truth
import privaudit.experiment.alikeness
import privaudit.report.content
from privaudit.scenario.load import load_scenario

PARTS = (
    (privaudit.experiment.alikeness, "measured"),
    (privaudit.evaluation.truth, "holdings_of"),
    (privaudit.evaluation.truth, "judge"),
    (privaudit.audit, "write_report"),
    (privaudit.report.content, "table_cells"),
    (privaudit.report.content, "layer_cells"),
)
"""Where each is looked up; the last two are part of ``write_report``, which is shown for itself."""


def timed(spent: dict[str, float], name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, adding up its processor seconds."""

    def call(*args: Any, **options: Any) -> Any:
        started = time.process_time()
        try:
            return function(*args, **options)
        finally:
            spent[name] += time.process_time() - started

    return call


def processor_seconds() -> float:
    """Of this process and its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in used)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", nargs="?", default="quickstart")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    spent: dict[str, float] = defaultdict(float)
    for module, name in PARTS:
        setattr(module, name, timed(spent, name, getattr(module, name)))
    started = processor_seconds()
    with tempfile.TemporaryDirectory() as place:
        privaudit.audit.run_audit(
            load_scenario(given.scenario, given.set),
            Path(place) / "run",
            data_dir=given.data_dir,
            workers=1,
        )
    privaudit.attack.apart.end()
    whole = processor_seconds() - started
    statistics = sum(seconds for name, seconds in spent.items() if name != "write_report")
    rows = [[name, seconds, seconds / whole] for name, seconds in spent.items()]
    rows += [["statistics (all but the report's drawing)", statistics, statistics / whole]]
    rows += [["the whole audit", whole, 1.0]]
    print(tabulate(rows, headers=["what", "s", "share"], tablefmt="github", floatfmt=".3f"))


if __name__ == "__main__":
    main()
