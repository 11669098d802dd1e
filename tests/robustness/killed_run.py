"""Runs that are ended again and again: ``killed_run.py FOLDER KILLS SEED``.

``privaudit run`` in processes of its own (forked: the imports are paid once) with two worker
processes each, ended at a random moment by Ctrl-C, SIGTERM, SIGKILL, or a SIGKILL to one of its
workers, and resumed by the next; one whole run beside them. Prints one JSON document.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from ledger_runs import SMALL

from privaudit import audit as _audit
from privaudit.cli import main
from privaudit.data.files import default_data_dir
from privaudit.ledger import recording as _recording
from privaudit.scenario.load import load_scenario
from privaudit.world import load_world

LOADED = (_audit, _recording)
"""Imported before the first fork."""

WAYS = ("SIGINT", "SIGTERM", "SIGKILL", "worker")
PATIENCE = 10.0
"""Seconds until processes whose parent is gone must be gone, too."""


def start(out: Path) -> int:
    """A child that runs, or resumes, the run in ``out``; its process id."""
    process = os.fork()
    if process:
        return process
    # A shell that puts the tests in the background has made them deaf to it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assignments = [part for value in SMALL for part in ("--set", value)]
    begun = (out / "scenario.json").is_file()
    more = ["--resume", str(out)] if begun else ["quickstart", "--out", str(out), *assignments]
    for stream, name in ((1, "out"), (2, "err")):
        file = os.open(f"{out}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, stream)
    sys.argv = ["privaudit", "run", *more, "--workers", "2"]
    code = 1
    try:
        main()
    except SystemExit as left:
        code = int(left.code or 0)
    finally:
        os._exit(code)


def wait(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def below(process: int) -> list[int]:
    """Its children and theirs, those that are gone but not yet waited for left out."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent, *_ = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if state != "Z":
                parents[int(entry.name)] = int(parent)
    found = [child for child, parent in parents.items() if parent == process]
    return found + [grandchild for child in found for grandchild in below(child)]


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ended(process: int, seconds: float, way: str, rng: random.Random) -> tuple[int, list[int]]:
    """Exit code of a child that is ended after a time, if it still lives, and who is left of it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status), []
        time.sleep(0.005)
    workers = below(process)
    if way == "worker":
        if workers:
            os.kill(rng.choice(workers), signal.SIGKILL)
    else:
        os.kill(process, signal.Signals[way])
    code = wait(process)
    end = time.monotonic() + PATIENCE
    while any(map(alive, workers)) and time.monotonic() < end:
        time.sleep(0.02)
    return code, [worker for worker in workers if alive(worker)]


def story(folder: Path, kills: int, seed: int) -> dict[str, object]:
    secrets.token_bytes = lambda count=32: bytes(range(count))  # type: ignore[assignment]
    load_world(load_scenario("quickstart", SMALL).model_dump_json(), default_data_dir())
    started = time.monotonic()
    codes = [wait(start(folder / "whole"))]
    whole = time.monotonic() - started
    rng = random.Random(seed)
    runs, attempts = [folder / "killed-0"], []
    while len(attempts) < 3 * kills and sum(code != 0 for _, code, *_ in attempts) < kills:
        way = WAYS[len(attempts) % len(WAYS)]
        code, orphans = ended(start(runs[-1]), rng.uniform(0.05, 0.9) * whole, way, rng)
        attempts.append((way, code, len(orphans), Path(f"{runs[-1]}.err").read_text()))
        if code == 0:
            runs.append(folder / f"killed-{len(runs)}")
    codes.append(wait(start(runs[-1])))
    return {
        "codes": codes,
        "attempts": attempts,
        "runs": [run.name for run in runs],
        "seconds": [whole, time.monotonic() - started],
    }


if __name__ == "__main__":
    print(json.dumps(story(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))), flush=True)
