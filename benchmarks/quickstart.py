"""How long the quickstart takes, where its time goes, and how much memory it needs.

``python benchmarks/quickstart.py [SCENARIO] [--repeat N]`` runs the scenario from the command line,
as a user would, and prints one row per repeat. Wanted: at most 150 s and 2 GB on two cores, and at
most 3 % of the time for the ledger. Memory is sampled every 0.2 s over all processes of the run
(Linux): proportional set sizes, in which a page that several processes share counts once.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tabulate import tabulate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", nargs="?", default="quickstart")
    parser.add_argument("--repeat", type=int, default=1)
    arguments = parser.parse_args()
    rows = [measure(arguments.scenario) for _ in range(arguments.repeat)]
    print(f"{len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}")
    print(tabulate(rows, headers="keys", tablefmt="github", floatfmt=".1f"))


def measure(scenario: str) -> dict[str, float | str]:
    """Run once in a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "privaudit", "run", scenario, "--out", str(out)]
        started = time.perf_counter()
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        peak = 0
        while child.poll() is None:
            peak = max(peak, resident(child.pid))
            time.sleep(0.2)
        wall = time.perf_counter() - started
        if child.returncode:
            raise SystemExit(f"the run failed with exit code {child.returncode}")
        files = (out / "timings.jsonl", out / "ledger" / "timings.jsonl")
        timings = [json.loads(line) for file in files for line in file.open()]
        size = sum(f.stat().st_size for f in out.rglob("*") if f.is_file())
    stages = {name: sum(t["seconds"] for t in timings if t["stage"] == name) for name in STAGES}
    return {
        "scenario": scenario,
        "wall s": wall,
        "peak MB": peak / 1e6,
        "disk MB": size / 1e6,
        **{f"{name} process-s": seconds for name, seconds in stages.items()},
        "ledger % of wall": 100 * stages["ledger"] / wall,
    }


STAGES = ("training", "audit", "ledger")


def resident(root: int) -> int:
    """Bytes in memory for a process and all its descendants together."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(
                    (entry / "stat").read_text().rsplit(")", 1)[1].split()[1]
                )
            except OSError:  # it has ended
                continue
    family, grown = {root}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in family} - family
        family |= more
        grown = bool(more)
    return sum(map(proportional_size, family))


def proportional_size(pid: int) -> int:
    """Bytes; 0 for a process that has ended."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return 1024 * sum(int(line.split()[1]) for line in rollup.splitlines() if line[:4] == "Pss:")


if __name__ == "__main__":
    main()
