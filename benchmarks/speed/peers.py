"""W1 on the other simulators, in their own environment; what is missing is said, not guessed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import textbook

HERE = Path(__file__).parent
MODULES = {"flower": "flwr", "pfl-research": "pfl"}
TIMEOUT = 240
LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"


def missing(python: str | None) -> dict[str, str]:
    """Peer -> why it cannot be measured."""
    if python is None:
        return dict.fromkeys(
            MODULES, "not measured: see requirements-peers.txt, then --peers-python PYTHON"
        )
    reasons = {}
    for peer, module in MODULES.items():
        probe = [python, "-c", f"import {module}, torch"]
        done = subprocess.run(probe, capture_output=True, check=False)
        if done.returncode:
            reasons[peer] = f"'{module}' cannot be imported by {Path(python).name}"
    return reasons


def rates(peer: str, python: str, rounds: int) -> tuple[float, float]:
    """Client updates per wall second on two cores and per processor second of all its processes.

    Medians over rounds; the first warms up.
    """
    command = {
        "flower": [python, str(HERE / "peer_flower.py")],
        "pfl-research": [
            *(python, "-m", "torch.distributed.run", "--local-addr", "127.0.0.1"),
            *("--nproc_per_node", "2"),
            str(HERE / "peer_pfl.py"),
        ],
    }[peer]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [*command, str(rounds + 1)],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
        # Where nobody resolves the machine's own name, looking for it takes minutes.
        env=environment | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": LOOPBACK},
    )
    for line in reversed(done.stdout.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            walls, processor = zip(*json.loads(line)[1:], strict=True)
            return textbook.CLIENTS / median(walls), textbook.CLIENTS / median(processor)
    sys.stderr.write(done.stderr[-2000:])
    raise RuntimeError(f"{peer} ended with exit code {done.returncode} and no times")
