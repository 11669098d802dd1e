"""A worker computes on one thread, whatever libraries it loaded and whatever the shell says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from privaudit.engine import process

PROGRAM = """
import gc, json
from privaudit.engine.process import collect_rarely, tune_process

usual = gc.get_threshold()
collect_rarely()
rare = gc.get_threshold()
import numpy, scipy.linalg, sklearn.linear_model, torch
from threadpoolctl import threadpool_info

def threads():
    return [torch.get_num_threads(), *(pool["num_threads"] for pool in threadpool_info())]

before = threads()
tune_process()
print(json.dumps([before, threads(), [usual, rare, gc.get_threshold()]]))
"""


def test_one_thread_for_torch_and_linear_algebra_and_garbage_is_looked_for_as_usual() -> None:
    several = {f"{library}_NUM_THREADS": "2" for library in ("OMP", "OPENBLAS", "MKL")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | several,
    )
    _, after, (usual, rare, at_work) = json.loads(done.stdout)
    assert len(after) >= 2
    assert set(after) == {1}
    assert at_work == usual != rare  # of a model of users it may hold tensors


FRAGMENTED = """
import sys
import numpy as np
from privaudit.engine.process import KeptMemory, resident, tune_process

tune_process()
memory = KeptMemory(growth=int(sys.argv[1]))
blocks = [(np.ones(1 << 20), np.ones(8192)) for _ in range(64)]
between = [small for _, small in blocks]
del blocks  # 512 MB of large ones, with small ones that stay between them
memory.after_round()
print(resident())
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux says how much it is")
def test_memory_that_nobody_uses_is_given_back() -> None:
    def size(growth: int) -> int:
        command = [sys.executable, "-c", FRAGMENTED, str(growth)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    never, often = size(1 << 40), size(1 << 26)
    assert never - often > 1 << 28


def test_where_the_system_does_not_say_nothing_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "resident", lambda: 0)
    monkeypatch.setattr(process.ctypes, "CDLL", pytest.fail)
    process.KeptMemory().after_round()
