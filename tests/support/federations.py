"""Real federations on this machine: Flower's simulation, a SuperLink with SuperNodes, NVFlare."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # a node of its own, on the loopback interface
    "OMP_NUM_THREADS": "1",
}
WAIT = 1800.0
"""Seconds after which a federation hangs."""


def environment(name: str) -> Path:
    """The environment of a framework, which ``make test`` makes; skipped where there is none."""
    said = os.environ.get(f"PRIVAUDIT_{name}", "")
    if not said or not (Path(said) / "bin" / "python").is_file():
        pytest.skip(f"no environment PRIVAUDIT_{name} (make test makes it)")
    return Path(said)


def variables(place: Path, home: Path) -> dict[str, str]:
    """Of a process of a framework: its programs first, no telemetry, a home of its own."""
    path = f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return os.environ | QUIET | {"PATH": path, "FLWR_HOME": str(home)}


def settings(out: Path, **config: object) -> str:
    """The run's configuration as ``flwr run`` takes it, with everything kept in ``out``."""
    places = {"privaudit-tap": "tap", "truth": "truth", "server-trace": "server"}
    config |= {key: f"'{out / name}'" for key, name in places.items()}
    return " ".join(f"{key}={value}" for key, value in config.items())


@contextmanager
def flower_home(folder: Path, port: int | None = None) -> Iterator[Path]:
    """A home of Flower, and an end of whatever SuperLink ``flwr run`` started there."""
    folder.mkdir(parents=True)
    if port is not None:
        table = f'[superlink]\ndefault = "here"\n\n[superlink.here]\naddress = "127.0.0.1:{port}"\n'
        (folder / "config.toml").write_text(table + "insecure = true\n")
    try:
        yield folder
    finally:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                mine = f"FLWR_HOME={folder}\0".encode() in (process / "environ").read_bytes()
                if mine:
                    os.kill(int(process.name), signal.SIGTERM)
            except (OSError, ProcessLookupError):
                continue


def flwr_run(place: Path, home: Path, config: str, *more: str) -> str:
    """``flwr run`` of the example, to its end; what it said."""
    app = home.parent / f"app-{home.name}"
    shutil.copytree(EXAMPLES / "flower", app)
    words = [place / "bin" / "flwr", "run", app, *more, "--run-config", config, "--stream"]
    done = subprocess.run(
        words, env=variables(place, home), capture_output=True, text=True, timeout=WAIT, check=False
    )
    assert "Strategy execution finished" in done.stdout, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def free_ports(number: int) -> list[int]:
    """Ports of the loopback interface that nobody uses now."""
    with_them = [socket.socket() for _ in range(number)]
    for one in with_them:
        one.bind(("127.0.0.1", 0))
    found = [one.getsockname()[1] for one in with_them]
    for one in with_them:
        one.close()
    return found


@contextmanager
def superlink(
    place: Path, home: Path, nodes: Sequence[str], ports: Sequence[int]
) -> Iterator[None]:
    """A SuperLink and a SuperNode per configuration, each a process of its own."""
    link, *others = ports
    bins, env = place / "bin", variables(place, home)
    address, state = f"127.0.0.1:{link}", home / "state.db"
    own = ["--host", "127.0.0.1", "--port", str(link), "--database", state]
    commands = [[bins / "flower-superlink", "--insecure", *own]]
    for config, port in zip(nodes, others, strict=True):
        own = ["--superlink", address, "--port", str(port), "--node-config", config]
        commands.append([bins / "flower-supernode", "--insecure", *own])
    processes = []
    try:
        for command in commands:
            log = (home / f"process-{len(processes)}.log").open("wb")
            processes.append(subprocess.Popen(command, env=env, stdout=log, stderr=log))
            if len(processes) == 1:
                answers(link)
        yield
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(60)


def answers(port: int) -> None:
    """Wait until somebody listens there."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise AssertionError(f"nobody listens on {port}")


def records_of(app: Path, file: Path, partition: int, config: dict[str, object]) -> None:
    """What a node of the example holds, as ``privaudit judge`` takes it."""
    import sys

    sys.path.insert(0, str(app))
    try:
        from audited_app.task import records_of as held
    finally:
        sys.path.remove(str(app))
    np.savez(file, **held(partition, config))
