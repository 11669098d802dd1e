"""The command line as a user has it: a process of its own, or the same entry point in this one."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TINY = (
    "--seeds=1",
    "--workers=1",
    *(
        part
        for override in (
            "audit.rounds=4",
            "audit.fractions=[1.0]",
            'audit.properties=["bold"]',
            "audit.shadows=2",
            "data.records=1500",
            "federation.rounds=1",
            "report.devices=[]",
            'audit.attacks=["melis-rf", "linear"]',
        )
        for part in ("--set", override)
    ),
)
"""Options that make ``quickstart`` a matter of seconds."""


@dataclass(frozen=True)
class Finished:
    """Exit code and what was printed."""

    code: int
    out: str
    err: str


def privaudit_process(*arguments: str, cwd: Path | None = None, **environment: str) -> Finished:
    """Run ``privaudit`` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "privaudit", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
    )
    return Finished(done.returncode, done.stdout, done.stderr)
