"""A run that is killed (SIGKILL) again and again: ``crashing_run.py OUT STEP:N STEP:N ...``.

Each time a fresh child process starts or resumes the run in ``OUT`` and is killed before the N-th
call of the step. Prints how each child ended. The parent only imports and forks.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from ledger_runs import small_scenario

from privaudit import audit
from privaudit.chain.client import LedgerClient
from privaudit.report import write


def deadly(original: Callable[..., Any], calls: int) -> Callable[..., Any]:
    """The function, until its ``calls``-th call."""
    left = [calls]

    def step(*arguments: Any, **settings: Any) -> Any:
        left[0] -= 1
        if left[0] <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **settings)

    return step


def child(out: Path, step: str, calls: int) -> None:
    """Start or resume the run and die as told."""
    owner: Any = {"write_seal": audit, "write_report": write}.get(step, LedgerClient)
    setattr(owner, step, deadly(getattr(owner, step), calls))
    audit.run_audit(small_scenario(), out, workers=1, resume=(out / "scenario.json").is_file())


def main() -> None:
    """One child per crash, one after the other."""
    for crash in sys.argv[2:]:
        step, calls = crash.split(":")
        process = os.fork()
        if not process:
            child(Path(sys.argv[1]), step, int(calls))
            os._exit(0)
        print(crash, os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
