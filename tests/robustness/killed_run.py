"""Runs that are killed again and again: ``killed_run.py FOLDER KILLS SEED``.

``privaudit run`` in processes of its own (forked: the imports are paid once), each killed by
SIGKILL at a random moment and resumed by the next; one whole run beside them, and one interrupted
by SIGINT. Prints one JSON document.
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
from privaudit.experiment.world import load_world
from privaudit.ledger import recording as _recording
from privaudit.scenario.load import load_scenario

LOADED = (_audit, _recording)
"""Imported before the first fork."""


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
    sys.argv = ["privaudit", "run", *more, "--workers", "1"]
    code = 1
    try:
        main()
    except SystemExit as left:
        code = int(left.code or 0)
    finally:
        os._exit(code)


def wait(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def killed_after(process: int, seconds: float, how: signal.Signals) -> int:
    """Exit code of a child that is sent a signal after a time, if it still lives."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(process, how)
    return wait(process)


def interrupted_at_work(process: int, sign: Path) -> int:
    """Exit code of a child that is sent SIGINT as soon as this folder is there."""
    while not sign.is_dir():
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(process, signal.SIGINT)
    return wait(process)


def story(folder: Path, kills: int, seed: int) -> dict[str, object]:
    secrets.token_bytes = lambda count=32: bytes(range(count))  # type: ignore[assignment]
    load_world(load_scenario("quickstart", SMALL).model_dump_json(), default_data_dir())
    started = time.monotonic()
    codes = [wait(start(folder / "whole"))]
    whole = time.monotonic() - started
    rng = random.Random(seed)
    runs, ended = [folder / "killed-0"], []
    while ended.count(-signal.SIGKILL) < kills and len(ended) < 4 * kills:
        seconds = rng.uniform(0.02, 0.3) * whole
        ended.append(killed_after(start(runs[-1]), seconds, signal.SIGKILL))
        if ended[-1] == 0:
            runs.append(folder / f"killed-{len(runs)}")
    codes.append(wait(start(runs[-1])))
    stopped = folder / "stopped"
    interrupted = interrupted_at_work(start(stopped), stopped / "traces")
    told = Path(f"{stopped}.err").read_text()
    codes.append(wait(start(stopped)))
    return {
        "codes": codes,
        "ended": ended,
        "runs": [run.name for run in runs],
        "interrupted": interrupted,
        "told": told,
        "seconds": [whole, time.monotonic() - started],
    }


if __name__ == "__main__":
    print(json.dumps(story(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))), flush=True)
