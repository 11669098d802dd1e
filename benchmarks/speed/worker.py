"""A process that does one piece of work (``variants.py``) each time it is told to.

``python worker.py NAME``: says ``{}`` when it is warm; then, for every line on stdin, works once
and answers with one JSON line: wall seconds, processor seconds of this process, units, FLOP.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from pathlib import Path

for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{library}_NUM_THREADS"] = "1"
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).resolve().parents[2])]

import variants  # noqa: E402

warnings.filterwarnings("ignore")


def main() -> None:
    work = variants.build(sys.argv[1])
    work.run()
    print("{}", flush=True)
    for _ in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        work.run()
        spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - processor}
        print(json.dumps({**spent, "units": work.units, "flop": work.flop}), flush=True)


if __name__ == "__main__":
    main()
