"""A worker computes on one thread, whatever libraries it loaded and whatever the shell says."""

from __future__ import annotations

import json
import os
import subprocess
import sys

PROGRAM = """
import json
import numpy, scipy.linalg, sklearn.linear_model, torch
from threadpoolctl import threadpool_info
from privaudit.engine.process import tune_process

def threads():
    return [torch.get_num_threads(), *(pool["num_threads"] for pool in threadpool_info())]

before = threads()
tune_process()
print(json.dumps([before, threads()]))
"""


def test_one_thread_for_torch_and_for_linear_algebra() -> None:
    several = {f"{library}_NUM_THREADS": "2" for library in ("OMP", "OPENBLAS", "MKL")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | several,
    )
    _, after = json.loads(done.stdout)
    assert len(after) >= 2
    assert set(after) == {1}
