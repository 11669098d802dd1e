"""A whole audit of a large model: one JSON line with seconds and memory.

``python benchmarks/speed/large.py 100000000 [--set KEY=VALUE ...]``: `privaudit run` of a dense
model of about so many parameters, five devices, four audited rounds, three attacks, on one worker.
``peak`` are MB of all its processes at the same time, at the most, and ``largest`` of the largest
one; pages of files that are mapped count, and pages that processes share count in each. On Linux.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCENARIO = """
name = "large"
title = "A large model"
seed = 1
runs = 1
[data]
name = "glyphs"
records = 600
classes = "digits"
[model]
name = "mlp"
[federation]
participants = 5
rounds = 1
batch_size = 32
lr = 0.01
[audit]
properties = ["serif"]
rules = ["all"]
fractions = [1.0]
rounds = 4
batch_size = 8
shadows = 8
attacks = ["melis-rf", "linear", "magnitude-stack"]
"""
PIXELS, DIGITS = 28 * 28, 10
LOOK = 0.1
"""Seconds between two looks."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parameters", type=int)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    beside = PIXELS + DIGITS + 2
    width = round((math.sqrt(beside**2 + 4 * options.parameters) - beside) / 2)
    sets = [f"model.hidden=[{width},{width}]", *options.set]
    with tempfile.TemporaryDirectory() as place:
        scenario = Path(place) / "large.toml"
        scenario.write_text(SCENARIO)
        command = [sys.executable, "-m", "privaudit", "run", str(scenario), "--workers", "1"]
        command += ["--out", f"{place}/run", *(part for one in sets for part in ("--set", one))]
        started = time.perf_counter()
        with (Path(place) / "said").open("w") as said:
            process = subprocess.Popen(command, stdout=said, stderr=said)
            together, largest = watched(process)
        if process.returncode:
            raise SystemExit((Path(place) / "said").read_text()[-2000:])
    found = {
        "parameters": width * (width + beside) + DIGITS,
        "seconds": time.perf_counter() - started,
        "peak": together,
        "largest": largest,
    }
    print(json.dumps(found))


def watched(process: subprocess.Popen[bytes]) -> tuple[float, float]:
    """MB at the most until it ends: of it and all below it, and of the largest of them."""
    together = largest = 0.0
    while process.poll() is None:
        sizes = [resident(number) for number in tree(process.pid)]
        together, largest = max(together, sum(sizes)), max(largest, *sizes)
        time.sleep(LOOK)
    return together, largest


def tree(root: int) -> list[int]:
    """A process and all that are below it."""
    children: dict[int, list[int]] = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:  # it has ended
            continue
        children.setdefault(parent, []).append(int(place.name))
    found = [root]
    for number in found:
        found += children.get(number, [])
    return found


def resident(number: int) -> float:
    """MB of a process in memory; 0 of one that has ended."""
    try:
        text = Path(f"/proc/{number}/status").read_text()
    except OSError:
        return 0.0
    rows = [line.split()[1] for line in text.splitlines() if line.startswith("VmRSS:")]
    return int(rows[0]) / 1e3 if rows else 0.0


if __name__ == "__main__":
    main()
