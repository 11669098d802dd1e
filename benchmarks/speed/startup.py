"""What somebody waits for before anything happens.

``python benchmarks/speed/startup.py REPEATS`` prints one JSON line, seconds of wall time:
``import`` of torch alone, ``data`` the same and the letters drawn, one after
the other, ``help`` until ``privaudit --help`` is there, and ``trained`` from
``privaudit run quickstart`` until the model of a training of one round is: what is drawn, checked
and loaded before the first gradient, and five gradients.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LOOK, LONGEST = 0.005, 300.0
"""Seconds between two looks into the run's folder, and that one waits at most."""

TORCH = ("-c", "import torch")
DATA = (
    "-c",
    "import torch; from privaudit.data.registry import load_dataset; "
    "from privaudit.randomness import Seed; load_dataset('glyphs', {}, None, Seed(1))",
)
PRIVAUDIT = ("-m", "privaudit")


def main() -> None:
    found: dict[str, list[float]] = {"import": [], "data": [], "help": [], "trained": []}
    for _ in range(int(sys.argv[1])):
        found["import"].append(until_it_ends(*TORCH))
        found["data"].append(until_it_ends(*DATA))
        found["help"].append(until_it_ends(*PRIVAUDIT, "--help"))
        found["trained"].append(until_it_has_trained())
    print(json.dumps(found))


def until_it_ends(*arguments: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def until_it_has_trained() -> float:
    """Seconds until a run has the model of one round, a gradient of each client; it ends then."""
    with tempfile.TemporaryDirectory() as place:
        trained = Path(place) / "run" / "training" / "run-0.safetensors"
        one = "federation.protocol=fedsgd", "federation.momentum=0"  # a gradient of each client
        settings = (*one, "federation.rounds=1", "audit.rounds=4", "runs=1")
        sets = [argument for setting in settings for argument in ("--set", setting)]
        command = [sys.executable, *PRIVAUDIT, "run", "quickstart", *sets]
        started = time.perf_counter()
        run = subprocess.Popen(
            [*command, "--out", str(trained.parents[1])],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while not trained.is_file():
                passed = time.perf_counter() - started
                if run.poll() is not None or passed > LONGEST:
                    raise SystemExit(f"no trained model after {passed:.0f} s")
                time.sleep(LOOK)
            return time.perf_counter() - started
        finally:
            run.terminate()
            run.wait()


if __name__ == "__main__":
    main()
