"""A hundred traces that no federation wrote, for ``privaudit attack``: one line or a result."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from privaudit.engine.layout import Layout
from privaudit.observation.trace import TraceWriter

ROUNDS = 6
MOST_MEMORY = 1e9
"""Bytes, of the process and those it starts."""

PROGRAM = """
import contextlib, io, json, resource, sys, traceback
sys.path[:0] = [sys.argv[1]]
from ledger_runs import run_command
told = {}
for name in sys.argv[3:]:
    out, errors = io.StringIO(), io.StringIO()
    code = None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            code = run_command(
                "attack", f"{sys.argv[2]}/{name}", "--auxiliary", f"{sys.argv[2]}/mine.npz",
                "--model", "small_models:Dense", "--attack", "linear", "--shadows", "2", "--json",
                "--force",
            )
        except Exception:
            traceback.print_exc()
    told[name] = [code, out.getvalue(), errors.getvalue()]
# Not ru_maxrss for its own: that begins with what the process held that started it.
own = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
use = max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
print(json.dumps([told, 1024 * use]))
"""

Change = Callable[[Path], object]


def base(path: Path) -> None:
    """A small trace that can be attacked, not sealed, so that its files may be changed."""
    from small_models import Dense

    torch.manual_seed(1)
    model, rng = Dense(), np.random.default_rng(3)
    layout = Layout.of([(name, p.shape) for name, p in model.named_parameters()])
    weights = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    about = {"lr": 0.1, "batch_size": 8, "persistent": False}
    writer = TraceWriter(path, weights, layout, about=about)
    for _ in range(ROUNDS):
        mean, own = (torch.tensor(rng.normal(size=layout.size) / 50).float() for _ in "ab")
        writer.append(mean, own, own_weight=1 / 3, participants=3)


def manifest(**changes: Any) -> Change:
    def change(path: Path) -> None:
        file = path / "manifest.json"
        table = json.loads(file.read_text())
        table.update(changes)
        file.write_text(json.dumps(table))

    return change


def about(**changes: Any) -> Change:
    return manifest(about={"lr": 0.1, "batch_size": 8, "persistent": False} | changes)


def facts(**changes: Any) -> Change:
    """Of a round, in the header of its file."""

    def change(path: Path) -> None:
        file = path / "round-000002.safetensors"
        tensors = load_file(file)
        known = {"own_weight": 1 / 3, "participants": 3, "client_weights": {}} | changes
        save_file(tensors, file, metadata={"round": json.dumps(known)})

    return change


def tensors(name: str, **changes: torch.Tensor | None) -> Change:
    """Of a round, or of the start; None takes one out."""

    def change(path: Path) -> None:
        file = path / f"{name}.safetensors"
        table: dict[str, torch.Tensor | None] = {**load_file(file), **changes}
        known = {"own_weight": 1 / 3, "participants": 3, "client_weights": {}}
        kept = {key: tensor for key, tensor in table.items() if tensor is not None}
        save_file(kept, file, metadata={"round": json.dumps(known)})

    return change


def raw(name: str, content: bytes) -> Change:
    return lambda path: (path / name).write_bytes(content)


def cut(name: str, share: float) -> Change:
    def change(path: Path) -> None:
        content = (path / name).read_bytes()
        (path / name).write_bytes(content[: int(share * len(content))])

    return change


def only(rounds: int) -> Change:
    def change(path: Path) -> None:
        for file in sorted(path.glob("round-*"))[rounds:]:
            file.unlink()

    return change


def pipe(name: str) -> Change:
    def change(path: Path) -> None:
        (path / name).unlink()
        os.mkfifo(path / name)

    return change


def spoilt(rng: random.Random) -> Change:
    """A few bytes of any file are others."""

    def change(path: Path) -> None:
        file = rng.choice(sorted(path.iterdir()))
        content = bytearray(file.read_bytes())
        for _ in range(rng.randint(1, 6)):
            content[rng.randrange(min(len(content), 600))] = rng.randrange(256)
        file.write_bytes(bytes(content))

    return change


ROUND, START = "round-000002", "initial"
NAN, INF, HUGE = float("nan"), float("inf"), 10**12
NUMBERS: list[Any] = [0, 1, -1, 2, 1.5, HUGE, 10**400, NAN, INF, "3", True, None, [3], {}]


def changes() -> dict[str, Change]:
    rng = random.Random(12)
    found: dict[str, Change] = {"as it is": lambda _: None}
    for value in NUMBERS:
        found |= {f"own weight {value!r}"[:40]: facts(own_weight=value)}
        found |= {f"heads {value!r}"[:40]: facts(participants=value)}
    for key in ("batch_size", "local_steps", "lr", "participants", "property_share", "noise"):
        for value in (0, 1e-320, HUGE, 1e308, NAN, "8"):
            found[f"{key} {value!r}"] = about(**{key: value})
    found |= {
        "sharing": about(sharing_rule="nonsense"),
        "fraction": about(shared_fraction=1e-320),
        "clip": about(clip_norm=1e-300),
        "momentum": about(momentum=1.0),
        "target without server": manifest(target=1),
        "server without target": manifest(view="server"),
        "server without deltas": manifest(view="server", target=1),
        "target huge": manifest(view="server", target=HUGE),
        "one round": only(1),
        "no round": only(0),
        "rounds huge": manifest(rounds=HUGE),
        "rounds negative": manifest(rounds=-1),
        "layout huge": manifest(layout=[{"name": "w", "shape": [2**40]}]),
        "layout beyond": manifest(layout=[{"name": "w", "shape": [2**62, 2**62]}]),
        "layout negative": manifest(layout=[{"name": "w", "shape": [-3]}]),
        "layout empty": manifest(layout=[]),
        "layout long": manifest(layout=[{"name": f"w{n}", "shape": [1]} for n in range(100_000)]),
        "layout deep": manifest(layout=[{"name": "w", "shape": [1] * 10_000}]),
        "precision": manifest(precision="half"),
        "version": manifest(version=3),
        "about deep": raw("manifest.json", b'{"about": ' + b"[" * 100_000),
        "manifest long": raw("manifest.json", b" " * 50_000_000),
        "manifest empty": raw("manifest.json", b""),
        "manifest binary": raw("manifest.json", bytes(range(256))),
        "manifest pipe": pipe("manifest.json"),
        "start pipe": pipe("initial.safetensors"),
        "round pipe": pipe(f"{ROUND}.safetensors"),
        "header huge": raw(f"{ROUND}.safetensors", b"\xff" * 7 + b"\x0f" + b"{}"),
        "header deep": raw(f"{ROUND}.safetensors", (90_000).to_bytes(8, "little") + b"[" * 90_000),
        "start in double": tensors(START, parameters=torch.zeros(3, dtype=torch.float64)),
        "start short": tensors(START, parameters=torch.zeros(3)),
        "delta short": tensors(ROUND, global_delta=torch.zeros(3)),
        "delta none": tensors(ROUND, global_delta=None),
        "delta nan": tensors(ROUND, global_delta=torch.full((66,), NAN)),
        "delta whole": tensors(ROUND, global_delta=torch.zeros(66, dtype=torch.int32)),
        "index beyond": tensors(
            ROUND,
            global_delta=None,
            **{
                "global_delta/indices": torch.tensor([2**31 - 1], dtype=torch.int32),
                "global_delta/values": torch.ones(1),
            },
        ),
    }
    for name in ("manifest.json", "initial.safetensors", f"{ROUND}.safetensors"):
        for share in (0.0, 0.3, 0.9):
            found[f"cut {name} {share}"] = cut(name, share)
    for number in range(12):
        found[f"spoilt {number}"] = spoilt(rng)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="units of ru_maxrss, pipes")
def test_each_is_a_result_or_one_line_in_little_memory(tmp_path: Path) -> None:
    base(tmp_path / "base")
    rng = np.random.default_rng(4)
    np.savez(
        tmp_path / "mine.npz",
        inputs=rng.normal(size=(60, 5)).astype(np.float32),
        labels=np.arange(60) % 3,
        secret=np.arange(60) % 2,
    )
    known = {f"{number}": item for number, item in enumerate(changes().items())}
    for number, (_, change) in known.items():
        shutil.copytree(tmp_path / "base", tmp_path / number)
        change(tmp_path / number)
    assert len(known) >= 100
    support = str(Path(__file__).parents[1] / "support")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, support, str(tmp_path), *known],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told, memory = json.loads(done.stdout.splitlines()[-1])
    wrong = {}
    for number, (name, _) in known.items():
        code, out, errors = told[number]
        line = code == 2 and errors.startswith("privaudit: ") and errors.count("\n") == 1
        result = code == 0 and not errors and json.loads(out)["scores"]
        if not line and not result:
            wrong[name] = [code, errors[-300:]]
    assert not wrong
    assert memory < MOST_MEMORY
    assert told["0"][0] == 0, "the unchanged one is a result"
    assert sum(code == 2 for code, *_ in told.values()) >= 60
